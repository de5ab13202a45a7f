"""What the office has set, as the law needs it: monies, shops, moves. Plain values.

Posters keep rules by version (`app/wallet/rulebook.py`); what is missing here does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyRule:
    """A money: what it may buy, how long it lasts, how much of it one wallet may hold and spend, what it earns."""

    id: int
    code: str
    backing: str
    position: int
    groups: frozenset[str] | None = None
    expiry: str = "never"
    expires_month_day: str | None = None
    expiry_min_days: int = 0
    expiry_months: int | None = None
    refund_grace_days: int = 30
    ceiling_yen: int | None = None
    max_per_payment_yen: int | None = None
    max_per_day_yen: int | None = None
    max_per_month_yen: int | None = None
    points_money: str | None = None
    points_rate_bp: int = 0
    points_rounding: str = "down"
    books: dict[str, int] = field(default_factory=dict)
    """Account ids of the issuer's books in this money."""

    def lot_date(self, today: date) -> date | None:
        """The last day of value that is paid in today; None: the undated lot."""
        if self.expires_month_day is None:
            return None
        earliest = today + timedelta(days=self.expiry_min_days)
        for year in (earliest.year, earliest.year + 1):
            found = _date(year, self.expires_month_day)
            if found >= earliest:
                return found
        raise AssertionError("a date comes every year")

    def wallet_date(self, today: date) -> date | None:
        """The last day of the undated lot after a charge of today; None: it does not expire."""
        if self.expiry_months is None:
            return None
        years, month = divmod(today.month - 1 + self.expiry_months, 12)
        return _date(today.year + years, f"{month + 1:02d}-{today.day:02d}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepts:
    """How a shop accepts a money."""

    money: str
    takings_id: int
    accepted: bool
    falls_to: tuple[str, ...] = ()
    points_rate_bp: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopRule:
    """A shop and the monies it accepts, or did."""

    id: UUID
    status: str
    monies: dict[str, Accepts]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRule:
    """That value of one money may become value of another, in such amounts."""

    min_yen: int
    max_yen: int
    step_yen: int


@dataclass(slots=True, kw_only=True)
class Rules:
    """What is known of one version of the rules."""

    monies: dict[str, MoneyRule] = field(default_factory=dict)
    shops: dict[UUID, ShopRule] = field(default_factory=dict)
    moves: dict[tuple[str, str], MoveRule] = field(default_factory=dict)
    _candidates: dict[tuple[UUID, str, bool], list[str]] = field(default_factory=dict)

    def candidates(self, *, money: str, shop_id: UUID, money_only: bool) -> list[str]:
        """The monies that may pay at a shop, in the order in which they do: free ones, the one asked for, the rest."""
        shop = self.shops.get(shop_id)
        asked = shop.monies.get(money) if shop else None
        if shop is None or asked is None:
            return [money]
        key = shop_id, money, money_only
        if key not in self._candidates:
            self._candidates[key] = self._in_order(shop, asked, money_only=money_only)
        return self._candidates[key]

    def _in_order(self, shop: ShopRule, asked: Accepts, *, money_only: bool) -> list[str]:
        money = asked.money
        first: list[str] = []
        if not money_only:
            free = [code for code in shop.monies if self.monies[code].backing == "free" and code != money]
            first = sorted(free, key=lambda code: (self.monies[code].position, code))
        rest = [code for code in asked.falls_to if code != money and code not in first]
        return [code for code in (*first, money, *rest) if code == money or self._accepted(shop, code)]

    def earned_by(self, monies: list[str]) -> list[str]:
        """The free monies that paying with these earns."""
        earned = {rule.points_money for code in monies if (rule := self.monies.get(code)) and rule.points_money}
        return sorted(earned)

    @staticmethod
    def _accepted(shop: ShopRule, code: str) -> bool:
        accepts = shop.monies.get(code)
        return accepts is not None and accepts.accepted


def _date(year: int, month_day: str) -> date:
    """That day of a year; the month's last day where it has no such day (29 to 31)."""
    month, day = int(month_day[:2]), int(month_day[3:])
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return date(year, month, min(day, last))
