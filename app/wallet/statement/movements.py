"""What transactions did to a member's wallets, read from their transfers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, case, func, select

from app.wallet.models import Account, Transaction, Transfer, Wallet

Changes = dict[int, dict[int, int]]
"""By position, the yen by which each money changed; negative where value left."""


def of_member(connection: Connection, *, member_id: UUID, after: int, upto: int) -> Changes:
    """Of a member's transactions after a position, up to another."""
    within = (Transaction.position > after, Transaction.position <= upto)
    return _changes(connection, Transaction.member_id == member_id, *within)


def of_transactions(connection: Connection, ids: Sequence[UUID]) -> Changes:
    """Of these transactions."""
    return _changes(connection, Transaction.id.in_(ids))


def _changes(connection: Connection, *which: ColumnElement[bool]) -> Changes:
    enters = Transfer.credit_account_id == Account.id
    yen = func.sum(case((enters, Transfer.amount_yen), else_=-Transfer.amount_yen)).label("yen")
    rows = connection.execute(
        select(Transfer.position, Account.money_id, yen)
        .select_from(Transaction)
        .join(Transfer, Transfer.transaction_id == Transaction.id)
        .join(Account, Account.id.in_([Transfer.debit_account_id, Transfer.credit_account_id]))
        .join(Wallet, Wallet.id == Account.wallet_id)
        .where(*which)
        .group_by(Transfer.position, Account.money_id)
        .order_by(Transfer.position, func.min(Transfer.line))
    )
    found: Changes = defaultdict(dict)
    for row in rows:
        if row.yen:
            found[row.position][row.money_id] = int(row.yen)
    return found
