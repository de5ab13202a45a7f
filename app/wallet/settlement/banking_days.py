"""On which days banks in Japan move money."""

from __future__ import annotations

from datetime import date, timedelta

MAX_AHEAD = timedelta(days=180)
"""A file says only month and day; half a year is far from any doubt about the year."""


def may_transfer(on: date, *, today: date) -> bool:
    """Whether a file may name this day: not past, not too far ahead, no Saturday, Sunday or turn of the year.

    銀行法施行令5条 names Saturdays, Sundays, 31 December to 3 January, and the holidays of the 国民の祝日に関する法律.
    Those are not known here; the bank refuses a file for one of them, and `transfers.move` gives it another day.
    """
    turn_of_the_year = (on.month, on.day) in {(12, 31), (1, 1), (1, 2), (1, 3)}
    return today <= on <= today + MAX_AHEAD and on.weekday() < 5 and not turn_of_the_year
