"""Instants as callers name them: RFC 3339, or a day of the issuer's calendar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from marshmallow import ValidationError, fields

from app.issuer import issuer_zone

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1970, 9000

LEAST = timedelta(microseconds=1)
"""What two instants differ by at least, in PostgreSQL and in Python."""


def beginning(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a day."""
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def end(day: date, zone: ZoneInfo) -> datetime:
    """The last instant of a day."""
    return beginning(day + timedelta(days=1), zone) - LEAST


def read(text: str, *, zone: ZoneInfo, of_day: Literal["beginning", "end"]) -> datetime:
    """The instant in UTC; of a day, its first or last. Raises ValueError for what names none."""
    if _DAY.fullmatch(text):
        day = date.fromisoformat(text)
        _check_year(day)
        return beginning(day, zone) if of_day == "beginning" else end(day, zone)
    if not _INSTANT.fullmatch(text):
        raise ValueError(text)
    instant = datetime.fromisoformat(text.upper())
    _check_year(instant)
    return instant.astimezone(UTC)


def _check_year(day: date) -> None:
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(day)


class Instant(fields.String):
    """A field that takes either; loads to a datetime in UTC."""

    def __init__(self, *, of_day: Literal["beginning", "end"], description: str, example: str) -> None:
        form = f"RFC 3339, or a day of the issuer's calendar: its {of_day}."
        super().__init__(
            load_default=None,
            metadata={
                "description": f"{description} {form}",
                "example": example,
                "pattern": rf"^{_INSTANT.pattern}$|^{_DAY.pattern}$".replace(r"\d", "[0-9]"),
            },
        )
        self._of_day = of_day

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return read(text, zone=issuer_zone(), of_day=self._of_day)
        except ValueError:
            raise ValidationError(
                "Must be RFC 3339 such as 2026-11-23T12:34:56+09:00 (in an address, + is written %2B), or a day such "
                "as 2026-11-23."
            ) from None
