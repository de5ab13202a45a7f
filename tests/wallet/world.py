"""A member with base and meal money and points, at a shop where points pay first and meal falls through to base."""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import select, text

from app.db import autocommit, transaction
from app.issuer import current_issuer
from app.wallet import ledger, setup
from app.wallet.models import Money
from app.wallet.postings import (
    Accepted,
    Adjustment,
    Charge,
    Close,
    Expiry,
    Hold,
    Move,
    Outcome,
    Payment,
    Posting,
    Refused,
)
from tests import factories


class World:
    """A member with base, meal and pass money and points at a shop where pass falls to meal and meal to base."""

    def __init__(self, **meal: Any) -> None:
        self.member_id = factories.member()
        issuer_id = current_issuer().id
        tag = secrets.token_hex(4)
        with transaction():
            points = self._money(f"points_{tag}", backing="free")
            base = self._money(f"base_{tag}")
            self.base, self.points = base.code, points.code
            meal = {"points_money_id": points.id, "points_rate_bp": 100, **meal}
            meal_money = self._money(f"meal_{tag}", **meal)
            self.meal = meal_money.code
            shop = setup.open_shop(
                issuer_id=issuer_id, code=f"s-{tag}", name_ja="食堂", name_en="Canteen", accepts=[points, base]
            )
            setup.accept_money(shop=shop, money=meal_money, falls_to=[base.code])
            setup.allow_move(from_money=base, to_money=meal_money, step_yen=10)
            self.shop_id = shop.id
            for money in (points, base, meal_money):
                setup.open_wallet(issuer_id=issuer_id, member_id=self.member_id, money=money)

    @staticmethod
    def _money(code: str, **rules: Any) -> Money:
        return setup.open_money(issuer_id=current_issuer().id, code=code, name_ja=code, name_en=code, **rules)

    def charge(self, money: str, amount_yen: int) -> Accepted:
        return factories.charge(member_id=self.member_id, money=money, amount_yen=amount_yen)

    def posting(self, kind: type, **values: Any) -> Posting:
        values = {"requester": "test", "request_id": secrets.token_hex(8), "params_hash": b"x", **values}
        if kind in (Payment, Hold):
            values = {"shop_id": self.shop_id, "controls": (), "money": self.meal, **values}
        if kind in (Payment, Hold, Charge, Adjustment, Move, Expiry, Close):
            values = {"member_id": self.member_id, **values}
        made = kind(**values)
        assert isinstance(made, Posting)
        return made

    def post(self, kind: type, **values: Any) -> Outcome:
        return ledger.post(self.posting(kind, **values))

    def accepted(self, kind: type, **values: Any) -> Accepted:
        outcome = self.post(kind, **values)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    def refused(self, kind: type, **values: Any) -> str:
        outcome = self.post(kind, **values)
        assert isinstance(outcome, Refused), outcome
        return outcome.code

    def balance_yen(self, money: str) -> int:
        sql = "SELECT total_yen FROM wallet JOIN money ON money.id = money_id WHERE member_id = :m AND code = :c"
        return int(read(sql, m=self.member_id, c=money)[0][0])

    def lots(self, money: str) -> dict[date | None, int]:
        sql = (
            "SELECT account.expires_on, posted_yen FROM account JOIN wallet w ON w.id = wallet_id "
            "JOIN money ON money.id = w.money_id WHERE member_id = :m AND code = :c AND posted_yen > 0"
        )
        return dict(read(sql, m=self.member_id, c=money))

    def date_back(self, money: str, *, days: int) -> None:
        """The dated lots of a wallet come to their end so many days earlier."""
        sql = text(
            "UPDATE account SET expires_on = expires_on - :days WHERE expires_on IS NOT NULL AND wallet_id ="
            " (SELECT w.id FROM wallet w JOIN money m ON m.id = w.money_id WHERE w.member_id = :m AND m.code = :c)"
        )
        with transaction() as open_session:
            for step in (10_000 + days, -10_000):  # by way of days that no other lot has
                open_session.execute(sql, {"days": step, "m": self.member_id, "c": money})

    def rule(self, money: str, **values: Any) -> None:
        with transaction() as open_session:
            row = open_session.scalars(select(Money).where(Money.code == money)).one()
            for name, value in values.items():
                setattr(row, name, value)


def read(sql: str, **values: Any) -> list[Any]:
    with autocommit().connect() as connection:
        return list(connection.execute(text(sql), values))


def in_days(days: int) -> date:
    today: date = read("SELECT (clock_timestamp() AT TIME ZONE 'Asia/Tokyo')::date")[0][0]
    return today + timedelta(days=days)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=5)
