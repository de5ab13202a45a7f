"""Amounts and instants as a person reads them, for templates: `{{ 1234|yen }}`, `{{ created_at|moment }}`."""

from __future__ import annotations

from datetime import UTC, date, datetime

from babel.dates import format_date, format_datetime
from flask import Flask
from flask_babel import get_locale, get_timezone

from app.money import format_yen
from app.web.locale import translate


def signed_yen(amount_yen: int) -> str:
    """+¥1,234 or −¥1,234, with a real minus sign, which screen readers say; nothing before zero."""
    sign = "+" if amount_yen > 0 else "−" if amount_yen < 0 else ""
    return f"{sign}{format_yen(abs(amount_yen))}"


def moment(value: datetime | str) -> str:
    """11月23日 12:34 or 23 Nov 12:34, in the issuer's time zone; with the year when it is not this year's.

    `value` is an aware datetime, or one written as RFC 3339.
    """
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    local = instant.astimezone(get_timezone())
    this_year = local.year == datetime.now(UTC).astimezone(get_timezone()).year
    pattern = translate("web.moment" if this_year else "web.moment_with_year")
    return str(format_datetime(local, pattern, tzinfo=get_timezone(), locale=get_locale()))


def day(value: date) -> str:
    """2026年11月23日 or 23 Nov 2026."""
    return str(format_date(value, translate("web.day"), locale=get_locale()))


def init_app(app: Flask) -> None:
    app.jinja_env.filters.update(yen=format_yen, signed_yen=signed_yen, moment=moment, day=day)
