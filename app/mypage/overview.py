"""What a member has, put in order for HOME, and dates in the words of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from babel.dates import format_date
from flask_babel import get_locale, get_timezone

from app.money import format_yen
from app.web.locale import translate


@dataclass(frozen=True, slots=True)
class Holdings:
    """Wallets that were paid for, points and other free ones apart, and what expires of them, nearest first."""

    paid: list[dict[str, Any]]
    free: list[dict[str, Any]]
    expiring: list[dict[str, Any]]

    @property
    def total_yen(self) -> int:
        """Of what was paid for."""
        return sum(wallet["balance_yen"] for wallet in self.paid)


def holdings(wallets: Sequence[dict[str, Any]], *, monies: Sequence[dict[str, Any]]) -> Holdings:
    free = free_monies(monies)
    expiring = [
        {**lot, "money": wallet["money"]} for wallet in wallets for lot in wallet.get("lots", ()) if lot["expires_on"]
    ]
    return Holdings(
        paid=[wallet for wallet in wallets if wallet["money"]["code"] not in free],
        free=[wallet for wallet in wallets if wallet["money"]["code"] in free],
        expiring=sorted(expiring, key=lambda lot: lot["expires_on"]),
    )


def free_monies(monies: Sequence[dict[str, Any]]) -> set[str]:
    """Codes of what nobody paid for: points and the like."""
    return {money["code"] for money in monies if money.get("backing") == "free"}


def today() -> date:
    """In the issuer's time zone."""
    return datetime.now(get_timezone()).date()


def until(day: str) -> str:
    """3月31日 or 31 Mar, with the year where it is not this one."""
    value = date.fromisoformat(day)
    pattern = translate("mypage.day" if value.year == today().year else "web.day")
    return str(format_date(value, pattern, locale=get_locale()))


def month_name(month: str) -> str:
    """2026年11月 or November 2026, of 2026-11."""
    return str(format_date(date.fromisoformat(f"{month}-01"), translate("mypage.month"), locale=get_locale()))


def clock_time(instant: str) -> str:
    """12:34:56, in the issuer's time zone."""
    return datetime.fromisoformat(instant).astimezone(get_timezone()).strftime("%H:%M:%S")


def yen(amount_yen: object) -> str:
    """¥1,234; nothing for what is no amount."""
    return format_yen(amount_yen) if isinstance(amount_yen, int) else ""
