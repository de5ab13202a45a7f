"""The fields of one-time codes. This is the text of the OpenAPI document."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from app.wallet.schemas import RefusalView, amount_yen_field, storable_text

_ID = {"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-0000000000c0"}
SHOPS_DIGITS = "2104593820174659302810"
MEMBERS_DIGITS = "2007381946255038172649"


def code_field(example: str) -> fields.String:
    """A code as it was scanned or typed."""
    return fields.String(
        required=True,
        validate=[validate.Length(1, 64), storable_text],
        metadata={"description": "The code's 22 digits. Spaces and hyphens do not matter.", "example": example},
    )


def money_field(*, description: str) -> fields.String:
    return fields.String(
        load_default=None,
        validate=[validate.Length(1, 32), storable_text],
        metadata={"description": description, "example": "meal"},
    )


def description_field() -> fields.String:
    return fields.String(
        load_default="",
        validate=[validate.Length(max=200), storable_text],
        metadata={"description": "Shown to the member.", "example": "昼食 A定食"},
    )


class MemberCodeBody(Schema):
    """A code for the member to show at a till."""

    purpose = fields.String(
        load_default="payment",
        validate=validate.OneOf(["payment", "charge"]),
        metadata={"description": "What a till may do with it; needs the scope of that name.", "example": "payment"},
    )
    money = money_field(description="The money to pay with, or to charge; left out, the till's own.")


class MemberCodeView(Schema):
    id = fields.String(required=True, metadata=_ID)
    code = fields.String(
        required=True, metadata={"description": "Show it as a QR or bar code.", "example": MEMBERS_DIGITS}
    )
    expires_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T03:35:56.123456+00:00"}
    )
    rotate_after_s = fields.Integer(
        required=True, metadata={"description": "Ask for the next one after so many seconds.", "example": 30}
    )


class ShopCodeBody(Schema):
    """A code for a till to show: whoever scans it pays this amount, once."""

    amount_yen = amount_yen_field()
    money = money_field(description="The only money it may be paid with; left out, the member chooses.")
    description = description_field()
    expires_in_s = fields.Integer(
        load_default=300,
        strict=True,
        validate=validate.Range(min=30, max=1800),
        metadata={"description": "How long it is good, in seconds.", "example": 300},
    )


class ShopCodeMade(Schema):
    id = fields.String(required=True, metadata=_ID)
    code = fields.String(required=True, metadata={"example": SHOPS_DIGITS})
    url = fields.String(
        required=True,
        metadata={
            "format": "uri",
            "description": "What the QR code says: the member page opens it, an app takes the digits from it.",
            "example": f"https://mypage.coop.example/pay?code={SHOPS_DIGITS}",
        },
    )
    expires_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T03:39:56.123456+00:00"}
    )


class CodeStatusView(Schema):
    """What became of a code."""

    id = fields.String(required=True, metadata=_ID)
    purpose = fields.String(required=True, metadata={"example": "payment"})
    status = fields.String(
        required=True,
        validate=validate.OneOf(["open", "used", "cancelled", "expired"]),
        metadata={"example": "open"},
    )
    amount_yen = fields.Integer(required=True, allow_none=True, metadata={"example": 450})
    expires_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T03:39:56.123456+00:00"}
    )
    transaction_id = fields.String(
        required=True, allow_none=True, metadata={"format": "uuid", "description": "Once it is used.", "example": None}
    )
    last_refusal = fields.Nested(
        RefusalView,
        required=True,
        allow_none=True,
        metadata={"description": "Why the last scan did not pay; the code may be scanned again."},
    )
    last_refused_at = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "date-time", "example": "2026-11-23T03:35:10.123456+00:00"},
    )


class ScannedQuery(Schema):
    code = code_field(SHOPS_DIGITS)


class ScannedView(Schema):
    """What a member is about to pay."""

    shop = fields.Dict(
        required=True,
        metadata={"example": {"id": "01936a7c-5b1e-7a10-8000-000000000001", "code": "canteen", "name": "中央食堂"}},
    )
    amount_yen = fields.Integer(required=True, metadata={"example": 450})
    money = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The only money it may be paid with; null: the member chooses.", "example": "meal"},
    )
    description = fields.String(required=True, metadata={"example": "昼食 A定食"})
    status = fields.String(required=True, metadata={"example": "open"})
    expires_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T03:39:56.123456+00:00"}
    )


class PayByCodeBody(Schema):
    """A payment of what a shop's code asks for."""

    code = code_field(SHOPS_DIGITS)
    money = money_field(description="The money to pay with, where the code leaves the choice.")
    strategy = fields.String(
        load_default="points_first",
        validate=validate.OneOf(["points_first", "money_only"]),
        metadata={"description": "Whether points are spent before the money.", "example": "points_first"},
    )


class CodePaymentBody(Schema):
    """A payment by the code that a member shows."""

    code = code_field(MEMBERS_DIGITS)
    amount_yen = amount_yen_field()
    money = money_field(description="A money's code; left out, the one the member chose, or the terminal's own.")
    description = description_field()


class CodeChargeBody(Schema):
    """Cash paid in at the till, for the member who shows a code."""

    code = code_field(MEMBERS_DIGITS)
    amount_yen = amount_yen_field()
    money = money_field(description="A money's code; left out, the one the member chose, or the terminal's own.")
