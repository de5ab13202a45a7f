"""What the FCF area of a student card says, read by a profile that is data: not every school lays it out alike.

The layout of `FCF` is as seen on cards of the shared campus format (system FE00, service 1A8B). Block 1 holds the
bearer's name; no profile names it, so it is never asked for, sent or kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from app.reader.errors import CardUnreadable

BLOCK_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one value lies: bytes `offset` to `offset + length` of a block, ASCII, padded with spaces or zeros."""

    block: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderProfile:
    """How one kind of student card is laid out."""

    student_id: Place
    issue: Place
    school: Place
    valid_from: Place
    valid_until: Place
    card_number: Place

    @property
    def blocks(self) -> frozenset[int]:
        """The blocks a tap must bring."""
        places = (self.student_id, self.issue, self.school, self.valid_from, self.valid_until, self.card_number)
        return frozenset(place.block for place in places)


FCF = ReaderProfile(
    student_id=Place(block=0, offset=2, length=12),
    issue=Place(block=0, offset=14, length=1),
    school=Place(block=2, offset=0, length=8),
    valid_from=Place(block=2, offset=8, length=8),
    valid_until=Place(block=3, offset=0, length=8),
    card_number=Place(block=3, offset=8, length=8),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardText:
    """What the blocks say. `issue` counts re-issues of the card; a date is None where the card leaves it blank."""

    student_id: str
    issue: str
    school: str
    valid_from: date | None
    valid_until: date | None
    card_number: str

    def identity(self) -> str:
        """All of it in one line, to be hashed: a copy with any other value is another card."""
        values = (
            self.student_id,
            self.issue,
            self.school,
            str(self.valid_from),
            str(self.valid_until),
            self.card_number,
        )
        return "\0".join(values)


def parse(blocks: Mapping[int, bytes], profile: ReaderProfile = FCF) -> CardText:
    """Read the blocks of one card. Raises CardUnreadable where they are not what the profile says."""
    student_id = _text(blocks, profile.student_id)
    if not student_id:
        raise CardUnreadable
    return CardText(
        student_id=student_id,
        issue=_text(blocks, profile.issue),
        school=_text(blocks, profile.school),
        valid_from=_date(_text(blocks, profile.valid_from)),
        valid_until=_date(_text(blocks, profile.valid_until)),
        card_number=_text(blocks, profile.card_number),
    )


def _text(blocks: Mapping[int, bytes], place: Place) -> str:
    block = blocks.get(place.block, b"")
    if len(block) != BLOCK_BYTES:
        raise CardUnreadable
    value = block[place.offset : place.offset + place.length].rstrip(b" \0")
    if not value.isascii() or not value.decode("ascii").isprintable():
        raise CardUnreadable
    return value.decode("ascii")


def _date(text: str) -> date | None:
    if not text.strip("0"):
        return None
    if len(text) != 8 or not text.isdecimal():
        raise CardUnreadable
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError as error:
        raise CardUnreadable from error
