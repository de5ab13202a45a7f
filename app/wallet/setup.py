"""What must exist before value can move: monies, shops, wallets, and the accounts behind them.

Called inside `transaction()`. Everything is made once and asked for again without harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.db import Base, session
from app.ids import new_id
from app.wallet.models import Account, IssuerHead, Money, Shop, Wallet
from app.wallet.postings import SETTLED_WITH_SHOPS

BOOKS = ("issued_by_cash", SETTLED_WITH_SHOPS)
"""The issuer's book accounts of every money: where value comes from when it is issued."""


def open_money(
    *, issuer_id: UUID, code: str, name_ja: str, name_en: str, backing: str = "paid", position: int = 0
) -> Money:
    """A money with its book accounts; the issuer's head too, with the first one."""
    _put(IssuerHead, issuer_id=issuer_id)
    _put(
        Money,
        issuer_id=issuer_id,
        code=code,
        name_ja=name_ja,
        name_en=name_en,
        backing=backing,
        position=position,
    )
    money = session().scalars(select(Money).filter_by(issuer_id=issuer_id, code=code)).one()
    for book in BOOKS:
        _put(Account, issuer_id=issuer_id, money_id=money.id, kind="book", book=book)
    return money


def open_shop(*, issuer_id: UUID, code: str, name_ja: str, name_en: str, accepts: Iterable[Money]) -> Shop:
    """A shop with an account for its takings in each money it accepts."""
    _put(Shop, id=new_id(), issuer_id=issuer_id, code=code, name_ja=name_ja, name_en=name_en)
    shop = session().scalars(select(Shop).filter_by(issuer_id=issuer_id, code=code)).one()
    for money in accepts:
        _put(Account, issuer_id=issuer_id, money_id=money.id, kind="takings", shop_id=shop.id)
    return shop


def open_wallet(*, issuer_id: UUID, member_id: UUID, money: Money) -> Wallet:
    """A member's wallet of one money, with its undated lot."""
    _put(Wallet, id=new_id(), issuer_id=issuer_id, member_id=member_id, money_id=money.id)
    wallet = session().scalars(select(Wallet).filter_by(member_id=member_id, money_id=money.id)).one()
    _put(Account, issuer_id=issuer_id, money_id=money.id, kind="lot", wallet_id=wallet.id)
    return wallet


def _put(model: type[Base], **values: Any) -> None:
    """Insert unless it is there."""
    session().execute(insert(model).values(**values).on_conflict_do_nothing())
