"""A transaction of a member as its receipt shows it: what it did to each wallet, and the refunds made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app.db import autocommit
from app.errors import NotFound
from app.wallet import directory
from app.wallet.directory import MoneyEntry
from app.wallet.models import Transaction
from app.wallet.statement import movements
from app.wallet.statement.monthly import COLUMNS, Line, line


@dataclass(frozen=True, slots=True)
class Refunded:
    """A refund made of it."""

    position: int
    created_at: datetime
    amount_yen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt. The balances of the line's changes are not set: a receipt is shown around."""

    line: Line
    money: MoneyEntry
    refunds: Sequence[Refunded]


def receipt(transaction_id: UUID, *, member_id: UUID) -> Receipt:
    """The receipt of a member's transaction. Raises NotFound for another's as for none."""
    own = (Transaction.id == transaction_id, Transaction.member_id == member_id)
    with autocommit().connect() as connection:
        row = connection.execute(select(*COLUMNS, Transaction.money_id).where(*own)).one_or_none()
        if row is None:
            raise NotFound
        own_position = {"after": row.position - 1, "upto": row.position}
        changes = movements.changes(connection, member_id=member_id, **own_position)
        refunds = connection.execute(
            select(Transaction.position, Transaction.created_at, Transaction.amount_yen)
            .where(Transaction.reverses == transaction_id)
            .order_by(Transaction.position)
        ).all()
    return Receipt(
        line=line(row, changes.get(row.position, {}), {}),
        money=directory.money_by_id(row.money_id),
        refunds=[Refunded(*refund) for refund in refunds],
    )
