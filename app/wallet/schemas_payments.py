"""The fields of payments, refunds, holds and moves. This is the text of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.money import MAX_AMOUNT_YEN
from app.wallet.schemas import (
    MAX_METADATA_KEYS,
    MoneyView,
    ProblemView,
    ShopView,
    TransactionView,
    amount_yen_field,
    request_id_field,
    storable_text,
)

MAX_ITEMS = 50
MAX_BATCH = 500
MAX_NAME = 32
MAX_DESCRIPTION = 200
POINTS_FIRST, MONEY_ONLY = "points_first", "money_only"
_KEY = (
    "Your own name for this request, made and stored before it is sent. Sent again with the same body it moves nothing "
    "and answers the same."
)


def _name_field(description: str, *, example: str, **options: Any) -> fields.String:
    """The code of a money or a shop."""
    return fields.String(
        required=True,
        validate=[validate.Length(1, MAX_NAME), storable_text],
        metadata={"description": description, "example": example},
        **options,
    )


def _description_field(example: str) -> fields.String:
    return fields.String(
        load_default="",
        validate=[validate.Length(max=MAX_DESCRIPTION), storable_text],
        metadata={"description": "Shown to the member.", "example": example},
    )


class _TrueOrFalse(fields.Boolean):
    """JSON's own true and false, and nothing that stands for them."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def _dry_run_field() -> fields.Boolean:
    return _TrueOrFalse(
        load_default=False,
        metadata={
            "description": "Only say what would happen now: nothing moves, nothing is kept. The answer is 200, and no "
            "Idempotency-Key is needed.",
            "example": False,
        },
    )


def _part_of_amount(description: str) -> fields.Integer:
    """An amount that may be left out."""
    return fields.Integer(
        load_default=None,
        strict=True,
        validate=validate.Range(min=1, max=MAX_AMOUNT_YEN),
        metadata={"description": description, "example": 200},
    )


class KeyUnlessDryHeader(Schema):
    idempotency_key = request_id_field(
        description=f"{_KEY} Required, except for a dry run, which nothing remembers.", required=False
    )
    idempotency_key.data_key = "Idempotency-Key"


class ItemBody(Schema):
    """Part of what is paid for."""

    group = _name_field("The product group, by which a money may be restricted.", example="meal")
    amount_yen = amount_yen_field()
    name = fields.String(
        load_default=None,
        validate=[validate.Length(1, 100), storable_text],
        metadata={"description": "What it is, for the receipt.", "example": "A定食"},
    )


class SpendingBody(Schema):
    """Value of the member for a shop."""

    amount_yen = amount_yen_field()
    money = _name_field("A money's code.", example="meal")
    shop = _name_field("A shop's code; one of those named at consent.", example="canteen")
    strategy = fields.String(
        load_default=POINTS_FIRST,
        validate=validate.OneOf([POINTS_FIRST, MONEY_ONLY]),
        metadata={
            "description": "`points_first`: points and other free monies that the shop accepts pay before `money`; "
            "`money_only`: they stay.",
            "example": POINTS_FIRST,
        },
    )
    items = fields.List(
        fields.Nested(ItemBody),
        load_default=list,
        validate=validate.Length(max=MAX_ITEMS),
        metadata={
            "description": "What the amount is made of, where a money buys some product groups only. They add up to "
            "it, and stand in the transaction's metadata.",
            "example": [{"group": "meal", "amount_yen": 450, "name": "A定食"}],
        },
    )
    description = _description_field("昼食 A定食")
    metadata = fields.Dict(
        keys=fields.String(validate=[validate.Length(1, 40), storable_text]),
        values=fields.String(validate=[validate.Length(max=500), storable_text]),
        load_default=dict,
        validate=validate.Length(max=MAX_METADATA_KEYS),
        metadata={"description": "Up to 20 texts of your own.", "example": {"order": "A-17"}},
    )

    @validates_schema
    def _one_place_for_items(self, data: Mapping[str, Any], **_: Any) -> None:
        if data["items"] and "items" in data["metadata"]:
            raise ValidationError("`items` in the metadata is for the items of the payment.", "metadata")


class PaymentBody(SpendingBody):
    """A payment out of the member's wallets to a shop."""

    dry_run = _dry_run_field()


class RefundBody(Schema):
    """A payment, or part of it, goes back."""

    amount_yen = _part_of_amount("How much; left out, all that is left of the payment.")
    description = _description_field("A定食の取り消し")
    dry_run = _dry_run_field()


class HoldBody(SpendingBody):
    """Value set aside for a shop."""

    expires_in_s = fields.Integer(
        load_default=900,
        strict=True,
        validate=validate.Range(min=1),
        metadata={
            "description": "After so many seconds the hold ends by itself. The issuer sets the most: 7 days, unless "
            "it says otherwise.",
            "example": 900,
        },
    )


class CaptureBody(Schema):
    """What of a hold is taken."""

    amount_yen = _part_of_amount("How much; left out, all of the hold. What is not taken is free again.")
    description = _description_field("図書の予約")


class ReleaseBody(Schema):
    """The end of a hold without a payment."""

    description = _description_field("予約の取り消し")


class MoveBody(Schema):
    """Value of one money into another (マネー移動)."""

    money = _name_field("The code of the money it is moved out of.", example="base", data_key="from")
    to_money = _name_field("The code of the money it becomes.", example="meal", data_key="to")
    amount_yen = amount_yen_field()
    description = _description_field("学食マネーへ")
    dry_run = _dry_run_field()


class DryRunView(TransactionView):
    """What would happen: a transaction that was not written."""

    id = fields.String(required=True, allow_none=True, metadata={"description": "Null.", "example": None})
    receipt_no = fields.String(required=True, allow_none=True, metadata={"description": "Null.", "example": None})
    created_at = fields.String(required=True, allow_none=True, metadata={"description": "Null.", "example": None})
    dry_run = fields.Boolean(required=True, metadata={"example": True})


class PaymentView(TransactionView):
    """A payment, or the capture of a hold, and what went back of it."""

    refunded_yen = fields.Integer(required=True, metadata={"description": "What went back so far.", "example": 200})
    refundable_yen = fields.Integer(required=True, metadata={"description": "What is left of it.", "example": 250})
    refunds = fields.List(fields.Nested(TransactionView), required=True, metadata={"description": "In their order."})


class HoldView(Schema):
    """A hold (仮押さえ)."""

    id = fields.String(required=True, metadata={"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-0000000000ab"})
    state = fields.String(
        required=True,
        validate=validate.OneOf(["held", "captured", "released", "expired"]),
        metadata={"description": "`expired` from the moment of `expires_at`.", "example": "held"},
    )
    amount_yen = fields.Integer(required=True, metadata={"description": "What was set aside.", "example": 1_200})
    captured_yen = fields.Integer(required=True, metadata={"description": "What was taken of it.", "example": 0})
    money = fields.Nested(MoneyView, required=True)
    shop = fields.Nested(ShopView, required=True)
    description = fields.String(required=True, metadata={"example": "図書の予約"})
    metadata = fields.Dict(keys=fields.String(), required=True, metadata={"example": {"order": "B-3"}})
    request_id = fields.String(required=True, metadata={"example": "hold-2026-11-23-0001"})
    ended_by = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "uuid", "description": "The capture or release that ended it.", "example": None},
    )
    created_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T03:34:56.123456+00:00"}
    )
    expires_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T03:49:56.123456+00:00"}
    )


class BatchRow(SpendingBody):
    """One payment of a batch."""

    request_id = request_id_field(
        description="Your own name for this payment, as the Idempotency-Key is for a single one."
    )
    member = fields.UUID(
        required=True,
        metadata={
            "description": "Whose payment: the member's `sub`.",
            "example": "01936a7c-5b1e-7a10-8000-000000000010",
        },
    )


class BatchBody(Schema):
    """Payments of members who allowed this client to take them."""

    payments = fields.List(
        fields.Nested(BatchRow),
        required=True,
        validate=validate.Length(1, MAX_BATCH),
        metadata={"description": f"1 to {MAX_BATCH} payments, judged in their order, each by itself."},
    )


class BatchResultView(Schema):
    """What became of one payment: `transaction` where it was taken, else `problem`."""

    request_id = fields.String(required=True, metadata={"example": "meal-plan-2026-11-0001"})
    status = fields.Integer(
        required=True, metadata={"description": "What a request of its own would have answered.", "example": 201}
    )
    hit = fields.Boolean(
        required=True,
        metadata={"description": "It had been answered before; nothing moved now.", "example": False},
    )
    transaction = fields.Nested(TransactionView)
    problem = fields.Nested(ProblemView)


class BatchView(Schema):
    """One result per payment, in the order of the request."""

    results = fields.List(fields.Nested(BatchResultView), required=True)
