"""The resource API's fields: names, types, examples, descriptions. This is the text of the OpenAPI document."""

from __future__ import annotations

import re

from marshmallow import INCLUDE, Schema, ValidationError, fields, validate

from app.money import MAX_AMOUNT_YEN

MAX_METADATA_KEYS = 20
MAX_PAGE = 100
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
REQUEST_ID_FORM = r"^[A-Za-z0-9_.:\-]{1,128}$(?!\n)"  # in Python `$` alone lets a last newline pass


def storable_text(value: str) -> None:
    """Refuse what PostgreSQL or a receipt cannot hold: control characters, lone surrogates."""
    if _CONTROL_CHARACTERS.search(value):
        raise ValidationError("Must not contain control characters.")


def amount_yen_field(*, example: int = 450) -> fields.Integer:
    """A whole number of yen, at least one."""
    return fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(min=1, max=MAX_AMOUNT_YEN),
        metadata={"description": "Amount in whole yen.", "example": example},
    )


def request_id_field(
    *, description: str, required: bool = True, example: str = "order-2026-11-23-0001"
) -> fields.String:
    """The caller's own name of a request."""
    return fields.String(
        required=required,
        validate=validate.Regexp(REQUEST_ID_FORM, error="Use 1 to 128 letters, digits or _ . : -"),
        metadata={"description": description, "example": example},
    )


class MoneyView(Schema):
    code = fields.String(required=True, metadata={"description": "The money's code.", "example": "meal"})
    name = fields.String(required=True, metadata={"description": "Its name.", "example": "学食マネー"})


class ShopView(Schema):
    id = fields.String(required=True, metadata={"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-000000000001"})
    code = fields.String(required=True, metadata={"description": "The shop's code.", "example": "canteen"})
    name = fields.String(required=True, metadata={"description": "Its name.", "example": "中央食堂"})


class PartView(Schema):
    """What a transaction did to one wallet."""

    money = fields.Nested(MoneyView, required=True)
    signed_amount_yen = fields.Integer(
        required=True, metadata={"description": "Negative where value left it.", "example": -450}
    )
    balance_yen = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "The wallet's balance right after it; null where the token may not read balances.",
            "example": 1550,
        },
    )


class TransactionView(Schema):
    """A transaction (取引): what people see. Amounts are whole yen."""

    id = fields.String(required=True, metadata={"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-0000000000aa"})
    receipt_no = fields.String(
        required=True, metadata={"description": "The receipt's number, to be read out.", "example": "0000-1234"}
    )
    kind = fields.String(
        required=True,
        metadata={"description": "charge, payment, refund, …", "example": "payment"},
    )
    amount_yen = fields.Integer(required=True, metadata={"description": "Always positive.", "example": 450})
    signed_amount_yen = fields.Integer(
        required=True,
        metadata={
            "description": "What it did to what the member has, points apart: negative for a payment, zero for a hold "
            "and its release. Of a move: to the money it was moved out of.",
            "example": -450,
        },
    )
    money = fields.Nested(MoneyView, required=True, metadata={"description": "The money that was asked for."})
    parts = fields.List(
        fields.Nested(PartView),
        required=True,
        metadata={
            "description": "What it did to each wallet it touched: points spent and earned, monies that the payment "
            "fell through to, both sides of a move.",
            "example": [
                {},
                {"money": {"code": "points", "name": "ポイント"}, "signed_amount_yen": 4, "balance_yen": 4},
            ],
        },
    )
    points_granted_yen = fields.Integer(
        required=True,
        metadata={"description": "Points it earned; of a refund, negative: those taken back.", "example": 4},
    )
    points_missing_yen = fields.Integer(
        required=True,
        metadata={"description": "Of a refund: points to be taken back that were spent already.", "example": 0},
    )
    shop = fields.Nested(ShopView, required=True, allow_none=True)
    description = fields.String(required=True, metadata={"example": "昼食 A定食"})
    metadata = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={
            "description": "What the client attached; a payment's items stand in it as `items`.",
            "example": {"order": "A-17", "items": [{"group": "meal", "amount_yen": 450, "name": "A定食"}]},
        },
    )
    request_id = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The Idempotency-Key it was asked with.", "example": "order-2026-11-23-0001"},
    )
    reverses = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "uuid", "description": "For a refund: the transaction it gives back.", "example": None},
    )
    hold_id = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "uuid", "description": "The hold it placed, captured or released.", "example": None},
    )
    taken_at = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "date-time", "description": "The terminal's own time.", "example": None},
    )
    created_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T03:34:56.123456+00:00"}
    )
    balance_yen = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "The wallet's balance right after it; null where the token may not read balances.",
            "example": 1550,
        },
    )


class OneTransactionView(TransactionView):
    receipt_url = fields.String(
        required=True,
        metadata={
            "format": "uri",
            "description": "The page where anyone who is shown the receipt sees that it is true.",
            "example": "https://pay.coop.example/receipts/AZNqfFseehCAAAAAAAAAqg2Xk3y1kZ0q8nW4mXh2YpDg",
        },
    )


class MeView(Schema):
    """Whom this token acts for, and what it may do."""

    client_id = fields.String(required=True, metadata={"example": "demo_app"})
    scopes = fields.List(
        fields.String(), required=True, metadata={"example": ["balance", "history", "payment", "profile"]}
    )
    id = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The member's `sub`; null for a client acting for itself.",
            "example": "01936a7c-5b1e-7a10-8000-000000000010",
        },
    )
    name = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "With scope `profile`.", "example": "組合 花子"},
    )


class IdempotencyHeader(Schema):
    idempotency_key = request_id_field(
        description="Your own name for this request, made and stored before it is sent. "
        "Sent again with the same body it moves nothing and answers the same."
    )
    idempotency_key.data_key = "Idempotency-Key"


class RefusalView(Schema):
    code = fields.String(required=True, metadata={"example": "insufficient_balance"})
    status = fields.Integer(required=True, metadata={"example": 422})
    title = fields.String(required=True, metadata={"example": "残高が足りません"})


class RequestOutcomeView(Schema):
    """What became of a request whose reply was lost."""

    request_id = fields.String(required=True, metadata={"example": "order-2026-11-23-0001"})
    outcome = fields.String(
        required=True, validate=validate.OneOf(["accepted", "refused"]), metadata={"example": "accepted"}
    )
    transaction = fields.Nested(TransactionView, required=True, allow_none=True)
    refusal = fields.Nested(RefusalView, required=True, allow_none=True, metadata={"example": None})


_DOC_URL = "https://pay.coop.example/docs/errors/insufficient_balance"


class ProblemView(Schema):
    """A refusal (RFC 9457): `code` is stable, the sentences are in the language of Accept-Language.

    What the sentences quote (`max_yen`, `money`, …) stands beside them as members of its own.
    """

    class Meta:
        unknown = INCLUDE

    type = fields.String(
        required=True, metadata={"format": "uri", "description": "The page about this error.", "example": _DOC_URL}
    )
    title = fields.String(required=True, metadata={"description": "What happened.", "example": "残高が足りません"})
    status = fields.Integer(required=True, metadata={"example": 422})
    detail = fields.String(
        required=True,
        metadata={
            "description": "What to do.",
            "example": "チャージするか、金額を変えて、新しい Idempotency-Key でもう一度お試しください。",
        },
    )
    code = fields.String(required=True, metadata={"description": "Stable.", "example": "insufficient_balance"})
    request_id = fields.String(
        required=True, metadata={"description": "Tell us this when you ask.", "example": "5f0c1f6c2b7d4e0e"}
    )
    doc_url = fields.String(required=True, metadata={"format": "uri", "example": _DOC_URL})
    errors = fields.Dict(metadata={"description": "For invalid fields: what is wrong, by field name."})
