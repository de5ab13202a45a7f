"""Undoing a tap at the till that took it, while the customer still stands there."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select

from app import clock
from app.db import autocommit
from app.errors import NotFound
from app.reader import terminals
from app.wallet import history, ledger
from app.wallet.errors import LedgerRefusal
from app.wallet.models import Request, Transaction
from app.wallet.postings import Outcome, Refund

WITHIN = timedelta(minutes=5)


def name_of(tap_id: str) -> str:
    """The request that undoes a tap: one, however often it is asked for."""
    return f"void:{tap_id}"


def void(tap_id: str, *, client_id: str) -> tuple[Outcome, UUID]:
    """Give all of a tap back; returns also the payment's id. Never inside a transaction.

    Raises NotFound where this terminal took no such tap, LedgerRefusal `void_too_late`. One that was undone before
    answers as it did.
    """
    till = terminals.till_of(client_id)
    if till is None:
        raise LedgerRefusal("terminal_revoked")
    theirs = (Request.requester == client_id, Request.request_id == tap_id, Transaction.kind == "payment")
    columns = select(Transaction.id, Transaction.created_at).join(Request, Request.transaction_id == Transaction.id)
    with autocommit().connect() as connection:
        paid = connection.execute(columns.where(*theirs)).one_or_none()
    if paid is None:
        raise NotFound
    refund = Refund(
        requester=client_id,
        request_id=name_of(tap_id),
        params_hash=ledger.params_hash({"void": tap_id}),
        transaction_id=paid.id,
        terminal_id=till.id,
    )
    if paid.created_at < clock.now() - WITHIN and not history.is_decided(
        requester=client_id, request_id=name_of(tap_id)
    ):
        raise LedgerRefusal("void_too_late")
    return ledger.post(refund), paid.id
