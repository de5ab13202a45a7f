"""The fields of taps and cards: names, types, examples, descriptions. This is the text of the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, fields, validate

from app.reader.assurance import LEVELS
from app.reader.profiles import PROOFS
from app.wallet.schemas import MoneyView, amount_yen_field, request_id_field
from app.wallet.schemas_payments import MAX_ITEMS, ItemBody

IDM = "0114B7F2A93C5D60"
BLOCKS = {
    "0": "30313236413130303435202020203031",
    "2": "39393030303030313230323630343031",
    "3": "32303330303333313030303130303435",
}
MAX_BLOCKS = 8
"""More than any profile reads."""

REGISTRATION_CODE = "BCDF-GHJK"
_CARD_ID = "01936a7c-5b1e-7a10-8000-0000000000d1"

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)


def _hex_field(*, length: int, description: str, example: str, **options: Any) -> fields.String:
    return fields.String(
        required=True,
        # in Python `$` alone lets a last newline pass
        validate=validate.Regexp(rf"^[0-9A-Fa-f]{{{length}}}$(?!\n)", error=f"Use {length} hexadecimal digits."),
        metadata={"description": description, "example": example},
        **options,
    )


class CardBody(Schema):
    """What the reader read off the card."""

    idm = _hex_field(length=16, description="The IDm that answered the poll for the profile's system.", example=IDM)
    profile = fields.String(
        load_default="fcf",
        validate=validate.Length(1, 32),
        metadata={"description": "The code of the reader profile it was read by.", "example": "fcf"},
    )
    blocks = fields.Dict(
        keys=fields.String(validate=validate.Regexp(r"[0-9]{1,3}\Z", error="Use the block's number.")),
        values=_hex_field(length=32, description="A block of 16 bytes.", example=BLOCKS["0"]),
        load_default=dict,
        validate=validate.Length(max=MAX_BLOCKS),
        metadata={
            "description": "The profile's blocks by their numbers, in hexadecimal: all of them. Left out, the tap"
            " proves no more than a number. The block of the bearer's name is no profile's, and is not accepted.",
            "example": BLOCKS,
        },
    )


class MacBody(Schema):
    """How a card proved that it is no copy (FeliCa Lite-S)."""

    nonce = _hex_field(length=80, description="The nonce of `POST /v1/taps/challenges`.", example="0" * 80)
    block_82 = _hex_field(length=32, data_key="82", description="The block ID, as read.", example=f"{IDM}{'0' * 16}")
    block_81 = _hex_field(length=32, data_key="81", description="The block MAC, as read.", example="0" * 32)


class EvidenceBody(Schema):
    """What else proves who pays."""

    pin = fields.String(
        load_default=None,
        validate=validate.Length(1, 16),
        metadata={"description": "The member's PIN, as typed. Never keep it.", "example": "4829"},
    )
    photo_checked = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={"description": "Staff looked at the photo on the card: counts as a PIN.", "example": False},
    )
    mac = fields.Nested(MacBody, load_default=None, allow_none=True)


class TapBody(Schema):
    """One touch of a student card at a terminal."""

    tap_id = request_id_field(
        description="The terminal's own name for this tap, made and stored before it is sent. Sent again with the "
        "same body it moves nothing and answers the same.",
        example="tap-2026-11-23-0001",
    )
    amount_yen = amount_yen_field()
    card = fields.Nested(CardBody, required=True)
    money = fields.String(
        load_default=None,
        validate=validate.Length(1, 32),
        metadata={"description": "A money's code; left out, the terminal's own.", "example": "meal"},
    )
    items = fields.List(
        fields.Nested(ItemBody),
        load_default=list,
        validate=validate.Length(max=MAX_ITEMS),
        metadata={"description": "What is paid for, where a money buys some groups only. Adds up to the amount."},
    )
    evidence = fields.Nested(EvidenceBody, load_default=dict)
    taken_at = fields.AwareDateTime(
        load_default=None,
        format="iso",
        validate=validate.Range(min=_EARLIEST, max=_LATEST, error="Must lie between the years 2000 and 2100."),
        metadata={
            "description": "The terminal's own time of the touch, with its offset (RFC 3339); years 2000 to 2099.",
            "example": "2026-11-23T12:34:56.123+09:00",
        },
    )


class TapHeaders(Schema):
    idempotency_key = request_id_field(
        required=False,
        description="May be left out; if sent, it is the tap_id once more.",
        example="tap-2026-11-23-0001",
    )
    idempotency_key.data_key = "Idempotency-Key"


class PreviewView(Schema):
    """What a tap would become."""

    passes = fields.Boolean(required=True, metadata={"description": "Whether it would be paid now.", "example": True})
    member_name = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The family name of the card's member, for staff to compare.", "example": "山田"},
    )
    assurance = fields.String(
        required=True, validate=validate.OneOf(LEVELS), metadata={"description": "What it proves.", "example": "fcf"}
    )
    balance_yen = fields.Integer(
        required=True, allow_none=True, metadata={"description": "After it, where it passes.", "example": 1620}
    )
    money = fields.Nested(MoneyView, required=True, allow_none=True)
    code = fields.String(
        required=True, allow_none=True, metadata={"description": "Why not: an error's code.", "example": None}
    )
    title = fields.String(required=True, allow_none=True, metadata={"example": None})
    detail = fields.String(required=True, allow_none=True, metadata={"description": "What to do.", "example": None})


class ChallengeView(Schema):
    nonce = fields.String(required=True, metadata={"description": "40 bytes, in hexadecimal.", "example": "0" * 80})
    expires_at = fields.String(required=True, metadata={"format": "date-time", "example": "2026-11-23T03:37:00+00:00"})


class ProfileView(Schema):
    """How one kind of card is read."""

    code = fields.String(required=True, metadata={"example": "fcf"})
    name = fields.String(required=True, metadata={"example": "学生証（FCF）"})
    system = fields.String(required=True, metadata={"description": "The system to poll for.", "example": "FE00"})
    service = fields.String(required=True, metadata={"description": "The service to read.", "example": "1A8B"})
    blocks = fields.List(
        fields.Integer(), required=True, metadata={"description": "The blocks to read.", "example": [0, 2, 3]}
    )
    proof = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(PROOFS),
        metadata={"description": "How such a card can prove that it is no copy.", "example": None},
    )


class ProfilesView(Schema):
    profiles = fields.List(fields.Nested(ProfileView), required=True)


class StudentCardView(Schema):
    """A card as its member sees it."""

    id = fields.String(required=True, metadata={"format": "uuid", "example": _CARD_ID})
    last4 = fields.String(required=True, metadata={"description": "The end of its number.", "example": IDM[-4:]})
    profile = fields.String(required=True, metadata={"example": "fcf"})
    kind = fields.String(required=True, metadata={"description": "What it is called.", "example": "学生証（FCF）"})
    status = fields.String(
        required=True,
        validate=validate.OneOf(["active", "lost", "replaced", "expired"]),
        metadata={"example": "active"},
    )
    valid_until = fields.String(
        required=True, allow_none=True, metadata={"description": "Its last day.", "example": "2030-03-31"}
    )
    registered_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-04-06T01:02:03+00:00"}
    )
    stopped_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time", "example": None})
    replaced_by = fields.String(required=True, allow_none=True, metadata={"format": "uuid", "example": None})


LOST = {"status": "lost", "stopped_at": "2026-11-23T03:34:56.123456+00:00"}
"""What is different about a card after it was reported."""


class CardsView(Schema):
    cards = fields.List(fields.Nested(StudentCardView), required=True)
    pin = fields.String(
        required=True,
        validate=validate.OneOf(["none", "set", "locked"]),
        metadata={"description": "Whether the member has a PIN.", "example": "set"},
    )


class NewCardBody(CardBody):
    """A card to register: what a reader read off it."""

    replaces = fields.UUID(
        load_default=None,
        allow_none=True,
        metadata={"description": "The card in whose place it comes, which is stopped.", "example": None},
    )


class PinBody(Schema):
    pin = fields.String(
        required=True,
        validate=validate.Length(1, 16),
        metadata={"description": "Four to eight digits, none that a finder tries first.", "example": "4829"},
    )


class RegistrationCodeView(Schema):
    """A code for registering a card at a till."""

    code = fields.String(
        required=True, metadata={"description": "To be shown to the clerk, once.", "example": REGISTRATION_CODE}
    )
    expires_at = fields.String(required=True, metadata={"format": "date-time", "example": "2026-11-23T03:45:00+00:00"})


class RegistrationBody(Schema):
    """A card that was touched at a till, and the code its member showed."""

    code = fields.String(required=True, validate=validate.Length(1, 32), metadata={"example": REGISTRATION_CODE})
    card = fields.Nested(CardBody, required=True)


class RegisteredView(Schema):
    last4 = fields.String(required=True, metadata={"example": IDM[-4:]})
    kind = fields.String(required=True, metadata={"example": "学生証（FCF）"})
    member_name = fields.String(required=True, metadata={"description": "The family name.", "example": "山田"})


class HandedInBody(Schema):
    """A card that somebody found, touched at a till."""

    card = fields.Nested(CardBody, required=True)


class HandedInView(Schema):
    last4 = fields.String(required=True, metadata={"example": IDM[-4:]})
    status = fields.String(required=True, metadata={"example": "lost"})
