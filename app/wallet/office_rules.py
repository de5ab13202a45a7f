"""What the office sets: monies, shops, what a shop accepts, moves. Checked here, so that a mistake is said in words.

Called inside `transaction()`. Every change raises the version of the rules, and so holds for the next payment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, text

from app.db import session
from app.errors import DomainError
from app.issuer import current_issuer
from app.money import MAX_SUM_YEN
from app.oauth.client_rules import presentable
from app.wallet import setup
from app.wallet.models import Account, Money, MoveRule, Shop, ShopMoney

_MONEY_CODE = re.compile(r"[a-z][a-z0-9_]{1,31}")
_SHOP_CODE = re.compile(r"[a-z][a-z0-9_-]{1,31}")
_MONTH_DAY = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
_NO_SUCH_DAY = frozenset({"02-30", "02-31", "04-31", "06-31", "09-31", "11-31"})
_ROUNDINGS = ("down", "nearest", "up")
_LIMITS = ("ceiling_yen", "max_per_payment_yen", "max_per_day_yen", "max_per_month_yen")


class InvalidRule(DomainError):
    """What the office asked for cannot be. `field` says what, the translations (`rules.<field>`) what would do."""

    code, status = "invalid_rule", 422

    def __init__(self, field: str) -> None:
        super().__init__(field=field)


def money_of(code: str) -> Money:
    """The money of this code, locked. Raises InvalidRule."""
    row = session().scalars(select(Money).filter_by(code=code).with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise InvalidRule("money_unknown")
    return row


def shop_of(code: str) -> Shop:
    """The shop of this code, locked. Raises InvalidRule."""
    row = session().scalars(select(Shop).filter_by(code=code).with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise InvalidRule("shop_unknown")
    return row


def add_money(*, code: str, backing: str, name_ja: str, name_en: str, **rules: Any) -> Money:
    """A new money; `rules` as for `change_money`. Raises InvalidRule."""
    if not _MONEY_CODE.fullmatch(code):
        raise InvalidRule("money_code")
    if session().scalar(select(Money.id).filter_by(code=code)) is not None:
        raise InvalidRule("money_exists")
    _check_names(name_ja, name_en)
    issuer_id = current_issuer().id
    row = setup.open_money(issuer_id=issuer_id, code=code, name_ja=name_ja, name_en=name_en, backing=backing)
    change_money(row, **rules)
    return row


def change_money(row: Money, *, points_money: str | None = None, **changes: Any) -> None:
    """Set columns of a money. `points_money` is the code of the free money it earns; empty: none any more.

    Raises InvalidRule, with nothing written.
    """
    if points_money is not None:
        changes["points_money_id"] = _points_money(points_money) if points_money else None
    for name, value in changes.items():
        setattr(row, name, value)
    _check_money(row)
    session().flush()


def add_shop(*, code: str, name_ja: str, name_en: str) -> Shop:
    """A new shop that accepts nothing yet. Raises InvalidRule."""
    if not _SHOP_CODE.fullmatch(code):
        raise InvalidRule("shop_code")
    if session().scalar(select(Shop.id).filter_by(code=code)) is not None:
        raise InvalidRule("shop_exists")
    _check_names(name_ja, name_en)
    return setup.open_shop(issuer_id=current_issuer().id, code=code, name_ja=name_ja, name_en=name_en, accepts=())


def change_shop(row: Shop, **changes: Any) -> None:
    """Set names or status of a shop. Raises InvalidRule."""
    for name, value in changes.items():
        setattr(row, name, value)
    _check_names(row.name_ja, row.name_en)
    session().flush()


def accept(shop: Shop, money: Money, *, falls_to: Sequence[str], points_rate_bp: int | None) -> None:
    """Let a shop accept a money; what that cannot pay is paid by those of `falls_to`, which the shop accepts too.

    Raises InvalidRule.
    """
    if money.code in falls_to or len(set(falls_to)) != len(falls_to):
        raise InvalidRule("falls_to")
    known = select(Money.code).join(ShopMoney).where(ShopMoney.shop_id == shop.id, ShopMoney.accepted.is_(True))
    if not set(falls_to) <= set(session().scalars(known)):
        raise InvalidRule("falls_to")
    setup.accept_money(shop=shop, money=money, falls_to=falls_to, points_rate_bp=points_rate_bp)


def refuse(shop: Shop, money: Money) -> None:
    """Let a shop accept a money no more. What was paid with it can still be given back. Raises InvalidRule."""
    row = session().get(ShopMoney, (shop.id, money.id))
    if row is None:
        raise InvalidRule("not_accepted")
    row.accepted = False
    session().flush()


def set_overdraft(shop: Shop, money: Money, yen: int) -> None:
    """How far refunds may take a shop's takings in a money below zero. Raises InvalidRule where they are lower now."""
    where = (Account.shop_id == shop.id, Account.money_id == money.id)
    row = session().scalars(select(Account).where(*where).with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise InvalidRule("not_accepted")
    if row.posted_yen < -yen:
        raise InvalidRule("overdraft")
    row.floor_yen = -yen
    session().flush()


def set_move(from_money: Money, to_money: Money, *, min_yen: int, max_yen: int, step_yen: int) -> None:
    """Let members move value of one money into another. Raises InvalidRule."""
    if from_money.id == to_money.id or from_money.backing != to_money.backing:
        raise InvalidRule("move_pair")
    if not 0 < min_yen <= max_yen or -(-min_yen // step_yen) * step_yen > max_yen:
        raise InvalidRule("move_amounts")
    setup.allow_move(from_money=from_money, to_money=to_money, min_yen=min_yen, max_yen=max_yen, step_yen=step_yen)


def remove_move(from_money: Money, to_money: Money) -> None:
    """Let nobody move from the one money into the other any more. Raises InvalidRule."""
    row = session().get(MoveRule, (from_money.id, to_money.id))
    if row is None:
        raise InvalidRule("move_unknown")
    session().delete(row)
    session().flush()


def open_wallets(money: Money) -> int:
    """A wallet of this money for every member who has none; returns how many were opened.

    A wallet is stopped where the account is, and a stop of this moment is waited for.
    """
    values = {"issuer": current_issuer().id, "money": money.id}
    return len(session().execute(_OPEN_WALLETS, values).all())


_OPEN_WALLETS = text("""
WITH who AS (
    SELECT id, status FROM member m
     WHERE issuer_id = :issuer AND status <> 'closed'
       AND NOT EXISTS (SELECT FROM wallet w WHERE w.member_id = m.id AND w.money_id = :money)
     ORDER BY id FOR SHARE
), opened AS (
    INSERT INTO wallet (id, issuer_id, member_id, money_id, status)
    SELECT gen_random_uuid(), :issuer, id, :money, status FROM who
        ON CONFLICT DO NOTHING
    RETURNING id
)
INSERT INTO account (issuer_id, money_id, kind, wallet_id) SELECT :issuer, :money, 'lot', id FROM opened RETURNING id
""")


def _points_money(code: str) -> int:
    money_id = session().scalar(select(Money.id).filter_by(code=code, backing="free"))
    if money_id is None:
        raise InvalidRule("points_money")
    return money_id


def _check_names(*names: str) -> None:
    if not all(presentable(name) for name in names):
        raise InvalidRule("name")


def _check_money(row: Money) -> None:
    _check_names(row.name_ja, row.name_en)
    month_day = row.expires_month_day
    if month_day is not None and (not _MONTH_DAY.fullmatch(month_day) or month_day in _NO_SUCH_DAY):
        raise InvalidRule("expires_on")
    if row.points_money_id is not None and row.backing != "paid":
        raise InvalidRule("points_for_paid")
    if row.points_rounding not in _ROUNDINGS:
        raise InvalidRule("points_rounding")
    if row.groups is not None and not (row.groups and all(_MONEY_CODE.fullmatch(group) for group in row.groups)):
        raise InvalidRule("groups")
    limits = [getattr(row, name) for name in _LIMITS]
    if any(limit is not None and not 0 < limit <= MAX_SUM_YEN for limit in limits):
        raise InvalidRule("limits")
    payment, day, month = (row.max_per_payment_yen, row.max_per_day_yen, row.max_per_month_yen)
    given = [limit for limit in (payment, day, month) if limit is not None]
    if given != sorted(given):
        raise InvalidRule("limits_order")
