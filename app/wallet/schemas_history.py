"""The fields of history, of balances of the past, and of a shop's books. This is the text of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.money import MAX_AMOUNT_YEN
from app.wallet.instants import Instant
from app.wallet.models import KINDS
from app.wallet.schemas import MAX_PAGE, MoneyView, ShopView, TransactionView, storable_text

MAX_SEARCH_LENGTH = 100


def _code(description: str, *, example: str) -> fields.String:
    return fields.String(
        load_default=None,
        validate=[validate.Length(1, 32), storable_text],
        metadata={"description": description, "example": example},
    )


def _yen(description: str, *, example: int) -> fields.Integer:
    return fields.Integer(
        load_default=None,
        validate=validate.Range(min=0, max=MAX_AMOUNT_YEN),
        metadata={"description": description, "example": example},
    )


class PageQuery(Schema):
    limit = fields.Integer(
        load_default=20,
        validate=validate.Range(min=1, max=MAX_PAGE),
        metadata={"description": "Transactions per page.", "example": 20},
    )
    cursor = fields.String(
        load_default=None,
        validate=validate.Length(max=64),
        metadata={"description": "`next_cursor` of the page before; every other parameter as it was there."},
    )
    money = _code("Only what touched this money, if only with a part of it.", example="meal")
    kind = fields.List(
        fields.String(validate=validate.OneOf(KINDS), metadata={"example": "payment"}),
        load_default=list,
        validate=validate.Length(max=len(KINDS)),
        metadata={"description": "Only these kinds; may be given several times.", "example": ["payment", "refund"]},
    )
    from_ = Instant(of_day="beginning", description="Nothing before this.", example="2026-11-01")
    from_.data_key = "from"
    until = Instant(of_day="end", description="Nothing after this.", example="2026-11-30")
    min_yen = _yen("Only amounts of this or more.", example=100)
    max_yen = _yen("Only amounts of this or less.", example=5_000)

    @validates_schema
    def _in_order(self, data: Mapping[str, Any], **_: Any) -> None:
        if None not in (data.get("min_yen"), data.get("max_yen")) and data["min_yen"] > data["max_yen"]:
            raise ValidationError("Must not be less than min_yen.", "max_yen")
        if None not in (data.get("from_"), data.get("until")) and data["from_"] > data["until"]:
            raise ValidationError("Must not be before from.", "until")


class HistoryQuery(PageQuery):
    shop = _code("Only this shop, by its code.", example="canteen")
    q = fields.String(
        load_default=None,
        validate=[validate.Length(1, MAX_SEARCH_LENGTH), storable_text],
        metadata={
            "description": "Only what holds each of these words in its description, its shop's name or code, its "
            "receipt number, or, where this client asked for it, its Idempotency-Key or metadata. Upper and lower "
            "case are the same, and so are full and half width.",
            "example": "昼食",
        },
    )


class HistoryView(Schema):
    transactions = fields.List(fields.Nested(TransactionView), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "For the next page; null on the last. A page of a search may be short, even empty, and "
            "yet not be the last: one page looks at so many transactions and no more.",
            "example": None,
        },
    )
    looked_back_to = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "format": "date-time",
            "description": "Up to where this page has looked, going back; null: at all there is to look at.",
            "example": None,
        },
    )


class AsOfQuery(Schema):
    at = Instant(of_day="end", description="The balances of then.", example="2026-10-31")


class _AsOfView(Schema):
    at = fields.String(
        required=True,
        metadata={
            "format": "date-time",
            "description": "The instant that was asked for.",
            "example": "2026-10-31T14:59:59.999999+00:00",
        },
    )


class BalanceView(Schema):
    money = fields.Nested(MoneyView, required=True)
    balance_yen = fields.Integer(required=True, metadata={"description": "Whole yen.", "example": 2000})


class PastWalletView(BalanceView, _AsOfView):
    """A wallet as it was."""


class PastWalletsView(_AsOfView):
    """The wallets as they were."""

    wallets = fields.List(fields.Nested(BalanceView), required=True)
    total_yen = fields.Integer(required=True, metadata={"description": "Over all monies.", "example": 2000})


class TakingsView(Schema):
    money = fields.Nested(MoneyView, required=True)
    balance_yen = fields.Integer(
        required=True,
        metadata={"description": "Paid here, less refunds and what was settled with the shop.", "example": 45_000},
    )


class ShopBalanceView(_AsOfView):
    """A shop's takings, by money."""

    shop = fields.Nested(ShopView, required=True)
    takings = fields.List(fields.Nested(TakingsView), required=True)
    total_yen = fields.Integer(required=True, metadata={"description": "Over all monies.", "example": 45_000})


class ShopPartView(Schema):
    money = fields.Nested(MoneyView, required=True)
    signed_amount_yen = fields.Integer(
        required=True, metadata={"description": "What it did to the shop's takings.", "example": 450}
    )
    balance_yen = fields.Integer(
        required=True, metadata={"description": "The shop's takings in this money right after it.", "example": 45_450}
    )


class ShopTransactionView(Schema):
    """A transaction as its shop sees it: what it did to the takings, and no member's name."""

    id = fields.String(required=True, metadata={"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-0000000000aa"})
    receipt_no = fields.String(
        required=True, metadata={"description": "The receipt's number, to be read out.", "example": "0000-1234"}
    )
    kind = fields.String(
        required=True, metadata={"description": "payment, capture, refund or settlement.", "example": "payment"}
    )
    amount_yen = fields.Integer(required=True, metadata={"description": "Always positive.", "example": 450})
    parts = fields.List(fields.Nested(ShopPartView), required=True)
    member = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The same for the same member at this shop, and at no other; null for a settlement.",
            "example": "q1Z6b0zqkq8nW4mXh2YpDg",
        },
    )
    description = fields.String(required=True, metadata={"example": "昼食 A定食"})
    request_id = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The Idempotency-Key, where this client asked for it.", "example": None},
    )
    reverses = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "uuid", "description": "For a refund: the transaction it gives back.", "example": None},
    )
    terminal_id = fields.String(
        required=True, allow_none=True, metadata={"format": "uuid", "description": "The till.", "example": None}
    )
    taken_at = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "date-time", "description": "The terminal's own time.", "example": None},
    )
    created_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T03:34:56.123456+00:00"}
    )


class ShopHistoryView(HistoryView):
    transactions = fields.List(fields.Nested(ShopTransactionView), required=True)
