"""The fields of a tap: names, types, examples, descriptions. This is the text of the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, fields, validate

from app.wallet.schemas import amount_yen_field, request_id_field

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


class BlocksBody(Schema):
    """The FCF blocks as read. Block 1, the bearer's name, is not asked for and not accepted."""

    block_0 = _hex_field(length=32, data_key="0", description="Block 0.", example="30313236413130303435202020203031")
    block_2 = _hex_field(length=32, data_key="2", description="Block 2.", example="39393030303030313230323630343031")
    block_3 = _hex_field(length=32, data_key="3", description="Block 3.", example="32303330303333313030303130303435")


class CardBody(Schema):
    """What the reader read off the card."""

    idm = _hex_field(
        length=16, description="The IDm that answered the poll for system FE00.", example="0114B7F2A93C5D60"
    )
    blocks = fields.Nested(
        BlocksBody, required=True, metadata={"description": "Service 1A8B, by block number, in hexadecimal."}
    )


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
