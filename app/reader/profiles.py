"""Reader profiles: how each kind of card is laid out, as data (profiles.toml), and what the blocks of one say.

A school's own layout is one more table in a file (KUMIAI_READER_PROFILES), never code. No profile names the block of
the bearer's name, so it is never asked for, sent or kept.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from app.reader.errors import CardUnreadable

BLOCK_BYTES = 16
SHIPPED = Path(__file__).with_name("profiles.toml")
PROOFS = ("lite_s",)
"""How cards of a profile can prove that they are no copy."""

_FIELDS = ("student_id", "issue", "school", "valid_from", "valid_until", "card_number")
_DATES = ("valid_from", "valid_until")


class ProfilesWrong(ValueError):
    """A file of profiles that cannot be used; its text names the file, the profile and the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one value lies: bytes `offset` to `offset + length` of a block, padded with spaces or zeros."""

    block: int
    offset: int
    length: int
    encoding: str = "ascii"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderProfile:
    """How one kind of card is laid out. `system` and `service` are FeliCa's codes, which a till polls for and reads."""

    code: str
    name_ja: str
    name_en: str
    system: int
    service: int
    places: Mapping[str, Place]
    proof: str | None = None

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks a reading must bring."""
        return tuple(sorted({place.block for place in self.places.values()}))

    def view(self, locale: str) -> dict[str, Any]:
        """As the API shows it: all that a till needs to read such a card."""
        return {
            "code": self.code,
            "name": self.name_en if locale == "en" else self.name_ja,
            "system": f"{self.system:04X}",
            "service": f"{self.service:04X}",
            "blocks": list(self.blocks),
            "proof": self.proof,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CardText:
    """What the blocks say. `issue` counts re-issues of the card; a date is None where the card leaves it blank."""

    student_id: str
    issue: str = ""
    school: str = ""
    valid_from: date | None = None
    valid_until: date | None = None
    card_number: str = ""

    def identity(self) -> str:
        """All of it in one line, to be hashed: a copy with any other value is another card."""
        return "\0".join(str(getattr(self, name)) for name in _FIELDS)


def parse(blocks: Mapping[int, bytes], profile: ReaderProfile) -> CardText:
    """Read the blocks of one card. Raises CardUnreadable where they are not what the profile says."""
    texts = {name: _text(blocks, place) for name, place in profile.places.items()}
    if not texts.get("student_id"):
        raise CardUnreadable
    values: dict[str, Any] = {name: _date(text) if name in _DATES else text for name, text in texts.items()}
    return CardText(**values)


@cache
def profiles(own_file: Path | None = None) -> Mapping[str, ReaderProfile]:
    """The profiles by code: those shipped, and those of the issuer's own file, which may replace one.

    Raises ProfilesWrong.
    """
    found = _read(SHIPPED)
    return found if own_file is None else {**found, **_read(own_file)}


def _read(path: Path) -> dict[str, ReaderProfile]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfilesWrong(f"{path}: {error}") from error
    found = {}
    for code, table in tables.items():
        try:
            found[code] = ReaderProfile(code=code, **_PROFILE.load(table))
        except ValidationError as error:
            raise ProfilesWrong(f"{path}: [{code}] {_first(error.messages)}") from error
    return found


def _first(messages: Any) -> str:
    """The first of nested messages, as `field.field: what is wrong`."""
    names = []
    while isinstance(messages, dict):
        name, messages = next(iter(messages.items()))
        names.append(str(name))
    said = messages[0] if isinstance(messages, list) else messages
    return f"{'.'.join(names)}: {said}" if names else str(said)


def _text(blocks: Mapping[int, bytes], place: Place) -> str:
    block = blocks.get(place.block, b"")
    if len(block) != BLOCK_BYTES:
        raise CardUnreadable
    value = block[place.offset : place.offset + place.length]
    if place.encoding == "bcd":
        text = value.hex()
        if not text.isdecimal():
            raise CardUnreadable
        return text
    try:
        text = value.rstrip(b" \0").decode(place.encoding)
    except UnicodeDecodeError as error:
        raise CardUnreadable from error
    if not text.isprintable():
        raise CardUnreadable
    return text


def _date(text: str) -> date | None:
    if not text.strip("0"):
        return None
    if len(text) != 8 or not text.isdecimal():
        raise CardUnreadable
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError as error:
        raise CardUnreadable from error


class _PlaceTable(Schema):
    block = fields.Integer(required=True, strict=True, validate=validate.Range(0, 255))
    offset = fields.Integer(required=True, strict=True, validate=validate.Range(0, BLOCK_BYTES - 1))
    length = fields.Integer(required=True, strict=True, validate=validate.Range(1, BLOCK_BYTES))
    encoding = fields.String(load_default="ascii", validate=validate.OneOf(("ascii", "shift_jis", "bcd")))

    @post_load
    def _inside(self, data: dict[str, Any], **_: Any) -> Place:
        if data["offset"] + data["length"] > BLOCK_BYTES:
            raise ValidationError("Ends behind the block.", "length")
        return Place(**data)


class _PlacesTable(Schema):
    student_id = fields.Nested(_PlaceTable, required=True)
    issue = fields.Nested(_PlaceTable)
    school = fields.Nested(_PlaceTable)
    valid_from = fields.Nested(_PlaceTable)
    valid_until = fields.Nested(_PlaceTable)
    card_number = fields.Nested(_PlaceTable)


class _Code(fields.String):
    """A code of FeliCa, four hexadecimal digits."""

    def _deserialize(self, *args: Any, **kwargs: Any) -> Any:
        text: str = super()._deserialize(*args, **kwargs)
        validate.Regexp(r"[0-9A-Fa-f]{4}\Z", error="Use four hexadecimal digits.")(text)
        return int(text, 16)


class _ProfileTable(Schema):
    name_ja = fields.String(required=True, validate=validate.Length(1, 60))
    name_en = fields.String(required=True, validate=validate.Length(1, 60))
    system = _Code(required=True)
    service = _Code(required=True)
    places = fields.Nested(_PlacesTable, data_key="fields", load_default=dict)
    proof = fields.String(load_default=None, validate=validate.OneOf(PROOFS))


_PROFILE = _ProfileTable()
