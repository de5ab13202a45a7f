"""What must exist before value can move: monies, shops, wallets, and the accounts behind them.

Called inside `transaction()`. Everything is made once and asked for again without harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.db import Base, session
from app.ids import new_id
from app.member.models import Member
from app.wallet.models import Account, IssuerHead, Money, MoveRule, Shop, ShopMoney, Wallet

BOOKS = (
    "issued_by_cash",
    "issued_by_card",
    "issued_by_konbini",
    "granted",
    "points_granted",
    "corrected",
    "expired",
    "refunded_in_cash",
    "forfeited",
    "moved",
    "settled_with_shops",
)
"""The issuer's book accounts of every money: where value comes from when it is issued, and goes when it is gone."""


def open_money(
    *,
    issuer_id: UUID,
    code: str,
    name_ja: str,
    name_en: str,
    backing: str = "paid",
    position: int = 0,
    **rules: Any,
) -> Money:
    """A money with its book accounts; the issuer's head too, with the first one. `rules` are columns of Money."""
    _put(IssuerHead, issuer_id=issuer_id)
    _put(
        Money,
        issuer_id=issuer_id,
        code=code,
        name_ja=name_ja,
        name_en=name_en,
        backing=backing,
        position=position,
        **rules,
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
        accept_money(shop=shop, money=money)
    return shop


def accept_money(*, shop: Shop, money: Money, falls_to: Sequence[str] = (), points_rate_bp: int | None = None) -> None:
    """Let a shop accept a money (again), and what it cannot pay be paid by those of `falls_to`, in order."""
    _put(Account, issuer_id=shop.issuer_id, money_id=money.id, kind="takings", shop_id=shop.id)
    values = {"accepted": True, "falls_to": list(falls_to), "points_rate_bp": points_rate_bp}
    statement = insert(ShopMoney).values(shop_id=shop.id, money_id=money.id, **values)
    session().execute(statement.on_conflict_do_update(index_elements=["shop_id", "money_id"], set_=values))


def allow_move(
    *, from_money: Money, to_money: Money, min_yen: int = 1, max_yen: int = 1_000_000, step_yen: int = 1
) -> None:
    """Let members move value of one money into another, in such amounts."""
    values = {"min_yen": min_yen, "max_yen": max_yen, "step_yen": step_yen}
    pair = {"from_money_id": from_money.id, "to_money_id": to_money.id}
    statement = insert(MoveRule).values(**pair, **values)
    session().execute(statement.on_conflict_do_update(index_elements=list(pair), set_=values))


def open_wallet(*, issuer_id: UUID, member_id: UUID, money: Money) -> Wallet:
    """A member's wallet of one money, with its undated lot. It is stopped where the account is."""
    statement = select(Member.status).where(Member.id == member_id).with_for_update(read=True)
    status = session().scalars(statement).one()  # a stop of this moment is waited for, or finds the wallet
    _put(Wallet, id=new_id(), issuer_id=issuer_id, member_id=member_id, money_id=money.id, status=status)
    wallet = session().scalars(select(Wallet).filter_by(member_id=member_id, money_id=money.id)).one()
    _put(Account, issuer_id=issuer_id, money_id=money.id, kind="lot", wallet_id=wallet.id)
    return wallet


def _put(model: type[Base], **values: Any) -> None:
    """Insert unless it is there."""
    session().execute(insert(model).values(**values).on_conflict_do_nothing())
