"""What transactions did to a member's wallets, read from the transfers of their lots."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from sqlalchemy import Connection, select, union_all

from app.wallet.models import Account, Transfer, Wallet

Changes = dict[int, dict[int, int]]
"""By position, the yen by which each money changed; negative where value left."""


def changes(connection: Connection, *, member_id: UUID, after: int, upto: int) -> Changes:
    """Of a member's transactions after a position, up to another."""
    of_member = select(Account.id).join(Wallet, Wallet.id == Account.wallet_id).where(Wallet.member_id == member_id)
    lots = list(connection.scalars(of_member))
    sides = [
        select(Transfer.position, Transfer.line, Transfer.money_id, yen.label("yen")).where(
            side.in_(lots), Transfer.position > after, Transfer.position <= upto
        )
        for side, yen in (
            (Transfer.debit_account_id, -Transfer.amount_yen),
            (Transfer.credit_account_id, Transfer.amount_yen),
        )
    ]
    found: Changes = defaultdict(dict)
    for position, _, money_id, yen in connection.execute(union_all(*sides).order_by("position", "line")):
        of_position = found[position]
        of_position[money_id] = of_position.get(money_id, 0) + yen
    return found
