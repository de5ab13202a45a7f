"""The fields of a statement. This is the text of the OpenAPI document."""

from __future__ import annotations

from marshmallow import Schema, fields

from app.wallet.schemas import MoneyView, ShopView

_NULL = "null where the token may not read balances."


def _yen(description: str, *, example: int) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description, "example": example})


def _balance(description: str, *, example: int) -> fields.Integer:
    described = {"description": f"{description}; {_NULL}", "example": example}
    return fields.Integer(required=True, allow_none=True, metadata=described)


class ExpiringView(Schema):
    expires_on = fields.String(
        required=True, metadata={"format": "date", "description": "Its last day.", "example": "2027-03-31"}
    )
    amount_yen = _yen("What expires with it.", example=1_550)


class StatementMoneyView(Schema):
    money = fields.Nested(MoneyView, required=True)
    opening_yen = _balance("The balance when the month began", example=2_000)
    closing_yen = _balance("The balance at its end, or now", example=1_550)
    expiring = fields.List(
        fields.Nested(ExpiringView),
        required=True,
        allow_none=True,
        metadata={"description": f"What of the closing balance is good until which day; {_NULL}"},
    )


class StatementChangeView(Schema):
    money = fields.Nested(MoneyView, required=True)
    signed_amount_yen = _yen("Negative where value left the wallet.", example=-450)
    balance_yen = _balance("The wallet's balance right after it", example=1_550)


class StatementLineView(Schema):
    id = fields.String(required=True, metadata={"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-0000000000aa"})
    receipt_no = fields.String(
        required=True, metadata={"description": "The receipt's number, to be read out.", "example": "0000-1234"}
    )
    kind = fields.String(required=True, metadata={"description": "charge, payment, refund, …", "example": "payment"})
    created_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T03:34:56.123456+00:00"}
    )
    amount_yen = _yen("The whole amount, always positive.", example=450)
    shop = fields.Nested(ShopView, required=True, allow_none=True)
    description = fields.String(required=True, metadata={"example": "昼食 A定食"})
    reverses = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "uuid", "description": "For a refund: the transaction it gives back.", "example": None},
    )
    changes = fields.List(
        fields.Nested(StatementChangeView),
        required=True,
        metadata={"description": "What it did to each wallet; nothing for a hold and its release."},
    )


class StatementTotalView(Schema):
    money = fields.Nested(MoneyView, required=True)
    kind = fields.String(required=True, metadata={"example": "payment"})
    count = fields.Integer(required=True, metadata={"description": "How many.", "example": 1})
    signed_amount_yen = _yen("What they did to the wallet in all.", example=-450)


class StatementView(Schema):
    """A month: opening balance, every transaction, closing balance. They add up; the server checks it each time."""

    month = fields.String(required=True, metadata={"description": "In the issuer's time zone.", "example": "2026-11"})
    from_ = fields.String(
        required=True,
        data_key="from",
        metadata={"format": "date-time", "example": "2026-10-31T15:00:00+00:00"},
    )
    until = fields.String(
        required=True,
        metadata={
            "format": "date-time",
            "description": "The last instant of the month, or now.",
            "example": "2026-11-30T14:59:59.999999+00:00",
        },
    )
    complete = fields.Boolean(required=True, metadata={"description": "Whether the month is over.", "example": True})
    monies = fields.List(fields.Nested(StatementMoneyView), required=True)
    transactions = fields.List(
        fields.Nested(StatementLineView), required=True, metadata={"description": "Oldest first."}
    )
    totals = fields.List(
        fields.Nested(StatementTotalView), required=True, metadata={"description": "By money and kind."}
    )
