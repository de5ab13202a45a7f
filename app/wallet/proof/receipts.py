"""What a receipt's page shows: the transaction, and whether the signed books say the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select

from app.db import autocommit
from app.errors import NotFound
from app.wallet import directory, views
from app.wallet.errors import LedgerRefusal
from app.wallet.models import Transaction
from app.wallet.proof import proofs
from app.wallet.proof.check import NotProven, Unreadable, check

_STATE_OF = {"proof_not_ready": "waiting", "record_changed": "changed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """`state` is signed, waiting (its day is not over or not signed yet) or changed."""

    kind: str
    amount_yen: int
    money: str
    shop: str | None
    receipt_no: str
    created_at: datetime
    state: str
    signed_day: date | None


def receipt(transaction_id: UUID, *, locale: str) -> Receipt:
    """The receipt of a transaction, checked as a stranger would check it. Raises NotFound."""
    columns = (Transaction.kind, Transaction.amount_yen, Transaction.money_id, Transaction.shop_id)
    query = select(*columns, Transaction.position, Transaction.created_at).where(Transaction.id == transaction_id)
    with autocommit().connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound
    state, signed_day = _state(transaction_id)
    return Receipt(
        kind=row.kind,
        amount_yen=row.amount_yen,
        money=directory.money_by_id(row.money_id).view(locale)["name"],
        shop=directory.shop_by_id(row.shop_id).view(locale)["name"] if row.shop_id else None,
        receipt_no=views.receipt_no(row.position),
        created_at=row.created_at,
        state=state,
        signed_day=signed_day,
    )


def _state(transaction_id: UUID) -> tuple[str, date | None]:
    try:
        proven = check(proofs.proof(transaction_id=transaction_id, sections=proofs.RECEIPT), keys=proofs.every_key())
    except LedgerRefusal as refusal:
        return _STATE_OF[refusal.code], None
    except (NotProven, Unreadable):
        return "changed", None
    return "signed", date.fromisoformat(proven.day["day"])
