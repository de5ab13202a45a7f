"""The demo's student card: what `kumiai demo card` emulates and the demo data registers."""

from __future__ import annotations

from datetime import date

from app import clock
from app.reader.profiles import BLOCK_BYTES

IDM = "0114B7F2A93C5D60"
STUDENT_ID = "26A10045"
PORT = 54321
"""Where the emulated card waits: nfcpy's own default."""

NAME_BLOCK = 1


def fcf_blocks(student_id: str = STUDENT_ID, *, issue: int = 0, valid_until: str | None = None) -> dict[int, bytes]:
    """The four FCF blocks of a card: `issue` counts re-issues (one digit), `valid_until` is YYYYMMDD.

    Left out, the card is good until the end of an academic year that is at least a year away.
    """
    if not (student_id.isascii() and 1 <= len(student_id) <= 12):
        raise ValueError("a student id is 1 to 12 ASCII characters")
    valid_until = valid_until or f"{_end_of_academic_year(clock.now().date()):%Y%m%d}"
    return {
        0: f"01{student_id:<12}{issue}1".encode("ascii"),
        NAME_BLOCK: "クミアイ　ハナコ".encode("shift_jis").ljust(BLOCK_BYTES),
        2: b"9900000120260401",
        3: f"{valid_until}00010045".encode("ascii"),
    }


def _end_of_academic_year(today: date) -> date:
    """31 March, at least a year and at most two after `today`."""
    this_year = date(today.year, 3, 31)
    return this_year.replace(year=today.year + (1 if today <= this_year else 2))
