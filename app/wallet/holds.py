"""Holds (仮押さえ) after they were placed: looking at one, taking its value, letting it go. Only the client that
placed a hold, with a token of that member, finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from app import clock
from app.db import autocommit
from app.errors import NotFound
from app.oauth.protector import Access
from app.wallet import directory, ledger
from app.wallet.hold_models import Hold
from app.wallet.models import Transaction
from app.wallet.payments import Asked
from app.wallet.postings import Capture, Declined, Outcome, Refused, Release


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOfHold(Asked):
    """A client's request about a hold; the hold is named by the path."""

    hold_id: UUID


def hold(*, hold_id: UUID, access: Access, locale: str) -> dict[str, Any]:
    """A hold as it is now. Raises NotFound."""
    columns = (
        Hold.id,
        Hold.state,
        Hold.amount_yen,
        Hold.captured_yen,
        Hold.shop_id,
        Hold.ended_by,
        Hold.created_at,
        Hold.expires_at,
        Transaction.money_id,
        Transaction.request_id,
        Transaction.description,
        Transaction.extra.label("extra"),
    )
    query = select(*columns).join(Transaction, Transaction.id == Hold.id).where(*_of(access), Hold.id == hold_id)
    with autocommit().connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound
    return _view(row, locale)


def capture(asked: AskedOfHold) -> Outcome:
    """The hold's value goes to its shop, all of it or part."""
    if not _is_theirs(asked):
        return _unknown(asked)
    body = asked.body
    return ledger.post(
        Capture(**asked.name, hold_id=asked.hold_id, amount_yen=body["amount_yen"], description=body["description"])
    )


def release(asked: AskedOfHold) -> Outcome:
    """The hold ends without a payment."""
    if not _is_theirs(asked):
        return _unknown(asked)
    return ledger.post(Release(**asked.name, hold_id=asked.hold_id, description=asked.body["description"]))


def _of(access: Access) -> tuple[Any, Any]:
    return Hold.requester == access.client_id, Hold.member_id == access.member


def _is_theirs(asked: AskedOfHold) -> bool:
    """Whether the token is that member's; that the client is the one, the ledger checks."""
    query = select(Hold.id).where(*_of(asked.access), Hold.id == asked.hold_id)
    with autocommit().connect() as connection:
        return connection.scalar(query) is not None


def _unknown(asked: AskedOfHold) -> Outcome:
    return ledger.post(Declined(**asked.name, member_id=asked.access.member_id, refused=Refused(code="hold_unknown")))


def _view(row: Row[Any], locale: str) -> dict[str, Any]:
    is_over = row.state == "held" and row.expires_at <= clock.now()
    return {
        "id": str(row.id),
        "state": "expired" if is_over else row.state,
        "amount_yen": row.amount_yen,
        "captured_yen": row.captured_yen,
        "money": directory.money_by_id(row.money_id).view(locale),
        "shop": directory.shop_by_id(row.shop_id).view(locale),
        "description": row.description,
        "metadata": row.extra,
        "request_id": row.request_id,
        "ended_by": str(row.ended_by) if row.ended_by else None,
        "created_at": row.created_at.isoformat(),
        "expires_at": row.expires_at.isoformat(),
    }
