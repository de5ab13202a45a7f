"""Room in a wallet kept for charges that are on their way: under its ceiling, so that what gets paid can be credited.

Called inside `transaction()`. The wallet's row is locked last, as the poster takes it.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, update

from app.db import session
from app.wallet.errors import LedgerRefusal
from app.wallet.models import Money, Wallet


def reserve(*, member_id: UUID, money: str, amount_yen: int) -> None:
    """Keep room for a charge. Raises LedgerRefusal: no such wallet, not active, or no room."""
    columns = (Wallet.id, Wallet.status, Wallet.total_yen, Wallet.reserved_yen, Money.ceiling_yen)
    theirs = (Wallet.member_id == member_id, Money.code == money)
    query = select(*columns).join(Money, Money.id == Wallet.money_id).where(*theirs)
    wallet = session().execute(query.with_for_update(key_share=True, of=Wallet)).one_or_none()
    if wallet is None:
        raise LedgerRefusal("wallet_unknown", money=money)
    if wallet.status != "active":
        raise LedgerRefusal(f"wallet_{wallet.status}", money=money)
    if wallet.ceiling_yen is not None:
        left_yen = max(0, wallet.ceiling_yen - wallet.total_yen - wallet.reserved_yen)
        if amount_yen > left_yen:
            raise LedgerRefusal("wallet_ceiling_exceeded", money=money, max_yen=wallet.ceiling_yen, left_yen=left_yen)
    session().execute(
        update(Wallet).where(Wallet.id == wallet.id).values(reserved_yen=Wallet.reserved_yen + amount_yen)
    )


def release(*, member_id: UUID, money_id: int, amount_yen: int) -> None:
    """Give back room that no charge will need."""
    theirs = (Wallet.member_id == member_id, Wallet.money_id == money_id)
    session().execute(update(Wallet).where(*theirs).values(reserved_yen=Wallet.reserved_yen - amount_yen))
