"""Settlements in the API: names, types, examples, descriptions. This is the text of the OpenAPI document."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from app.wallet.schemas import MAX_PAGE, MoneyView, ShopView


def _yen(description: str, example: int) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description, "example": example})


def _day(description: str, example: str | None) -> fields.String:
    return fields.String(
        required=True,
        allow_none=example is None,
        metadata={"format": "date", "description": description, "example": example},
    )


class SettlementLineView(Schema):
    """One money of a settlement: carried_in + payments − refunds + others = settled + carried_out."""

    money = fields.Nested(MoneyView, required=True)
    backing = fields.String(
        required=True,
        validate=validate.OneOf(["paid", "free"]),
        metadata={"description": "Whether members paid for this money or got it free.", "example": "paid"},
    )
    payments = fields.Integer(required=True, metadata={"description": "How many.", "example": 128})
    payments_yen = _yen("What they took.", 61_440)
    refunds = fields.Integer(required=True, metadata={"description": "How many.", "example": 1})
    refunds_yen = _yen("What was given back; positive.", 450)
    others_yen = _yen("Corrections of the takings, either way.", 0)
    carried_in_yen = _yen("What the shop owed from the settlement before; zero or negative.", 0)
    carried_out_yen = _yen("What it owes on to the next one; zero or negative.", 0)
    settled_yen = _yen("What leaves the shop's takings.", 60_990)
    reimbursed = fields.Boolean(
        required=True, metadata={"description": "Whether the issuer pays the shop for this money.", "example": True}
    )
    fee_rate_bp = fields.Integer(
        required=True, metadata={"description": "The fee, in hundredths of a percent.", "example": 150}
    )
    fee_yen = _yen("The fee.", 914)
    payable_yen = _yen("What the shop is paid.", 60_076)


class SettlementView(Schema):
    """A settlement (精算): a shop's period, closed; nothing can be written into it any more."""

    id = fields.String(required=True, metadata={"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-0000000000cc"})
    shop = fields.Nested(ShopView, required=True)
    number = fields.Integer(required=True, metadata={"description": "1, 2, 3, … of this shop.", "example": 12})
    first_day = _day("The day of its first transaction.", "2026-11-23")
    through_day = _day("The last day it covers.", "2026-11-23")
    after_position = fields.Integer(
        required=True, metadata={"description": "It covers the issuer's transactions after this one …", "example": 4096}
    )
    through_position = fields.Integer(
        required=True, metadata={"description": "… up to this one (`receipt_no` is the same number).", "example": 4322}
    )
    settled_yen = _yen("What leaves the shop's takings, of all monies.", 60_990)
    payable_yen = _yen("What the shop is paid, of all monies.", 60_076)
    state = fields.String(
        required=True,
        validate=validate.OneOf(["closing", "closed"]),
        metadata={"description": "`closing` until the ledger has posted it, a matter of moments.", "example": "closed"},
    )
    transaction_id = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "format": "uuid",
            "description": "The ledger's transaction.",
            "example": "01936a7c-5b1e-7a10-8000-0000000000cd",
        },
    )
    transfer_on = _day("The day of the bank transfer, once there is a file for it.", None)
    created_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T15:00:12.123456+00:00"}
    )
    closed_at = fields.String(
        required=True, allow_none=True, metadata={"format": "date-time", "example": "2026-11-23T15:00:12.234567+00:00"}
    )
    lines = fields.List(fields.Nested(SettlementLineView), required=True)


class SettlementsQuery(Schema):
    limit = fields.Integer(
        load_default=20,
        validate=validate.Range(min=1, max=MAX_PAGE),
        metadata={"description": "Settlements per page.", "example": 20},
    )
    cursor = fields.UUID(load_default=None, metadata={"description": "`next_cursor` of the page before."})


class SettlementsView(Schema):
    settlements = fields.List(fields.Nested(SettlementView), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "uuid", "description": "Null on the last page.", "example": None},
    )
