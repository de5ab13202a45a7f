"""The fields of wallets, monies and shops. This is the text of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from app.wallet.schemas import MoneyView, ShopView


def _yen(description: str, *, example: int | None) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description, "example": example})


def _yen_or_null(description: str, *, example: int | None) -> fields.Integer:
    return fields.Integer(
        required=True, allow_none=True, metadata={"description": f"{description}; null: none.", "example": example}
    )


def _text_or_null(description: str, **metadata: Any) -> fields.String:
    return fields.String(required=True, allow_none=True, metadata={"description": description, **metadata})


class LotView(Schema):
    amount_yen = _yen("What of the balance this is.", example=1_200)
    expires_on = _text_or_null(
        "Its last day, in the issuer's time zone; null: it does not expire.", format="date", example="2027-03-31"
    )


class LimitsView(Schema):
    """The limits of payments out of this wallet: the money's or the member's own, whichever is lower."""

    max_per_payment_yen = _yen_or_null("Limit of one payment", example=3_000)
    max_per_day_yen = _yen_or_null("Limit of one day", example=10_000)
    used_today_yen = _yen("What today's payments and holds use of it.", example=850)
    max_per_month_yen = _yen_or_null("Limit of one month", example=50_000)
    used_this_month_yen = _yen("What this month's payments and holds use of it.", example=8_200)


class WalletView(Schema):
    """A wallet (ウォレット): a member's holding of one money. Amounts are whole yen."""

    money = fields.Nested(MoneyView, required=True)
    status = fields.String(
        required=True,
        validate=validate.OneOf(["active", "suspended", "closed"]),
        metadata={"example": "active"},
    )
    balance_yen = _yen("All that is there, what is held included; what has expired is not.", example=1_550)
    available_yen = _yen("What of the balance can be spent now.", example=1_150)
    held_yen = _yen("What of the balance is set aside by holds.", example=400)
    reserved_yen = _yen("Room kept for charges that are on their way.", example=0)
    lots = fields.List(
        fields.Nested(LotView),
        required=True,
        metadata={
            "description": "What of the balance expires when, nearest first. They add up to it.",
            "example": [
                {"amount_yen": 1_200, "expires_on": "2027-03-31"},
                {"amount_yen": 350, "expires_on": "2028-03-31"},
            ],
        },
    )
    ceiling_yen = _yen_or_null("The most this wallet may hold", example=20_000)
    room_yen = _yen_or_null("How much can still be charged under that ceiling", example=18_450)
    limits = fields.Nested(LimitsView, required=True)


class WalletsView(Schema):
    wallets = fields.List(fields.Nested(WalletView), required=True)
    total_yen = _yen("The balances of all monies.", example=1_550)


class ExpiryView(Schema):
    """When value of a money expires.

    `never`; `fixed_date`: each year on `month_day`, unless that is nearer than `min_days`, then a year later;
    `after_charge`: `months` after the last charge, all of it.
    """

    rule = fields.String(
        required=True,
        validate=validate.OneOf(["never", "fixed_date", "after_charge"]),
        metadata={"example": "fixed_date"},
    )
    month_day = _text_or_null("Of `fixed_date`: the last day, as MM-DD.", example="03-31")
    min_days = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of `fixed_date`.", "example": 90}
    )
    months = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of `after_charge`.", "example": None}
    )


class PointsView(Schema):
    """The points that paying with a money earns."""

    money = fields.Nested(MoneyView, required=True, metadata={"example": {"code": "points", "name": "ポイント"}})
    rate_bp = fields.Integer(
        required=True,
        metadata={"description": "In hundredths of a percent; a shop may give another rate.", "example": 100},
    )
    rounding = fields.String(
        required=True, validate=validate.OneOf(["down", "nearest", "up"]), metadata={"example": "down"}
    )


class MoveRuleView(Schema):
    """A money that value may be moved into, in which amounts."""

    money = fields.Nested(MoneyView, required=True, metadata={"example": {"code": "base", "name": "ベースマネー"}})
    min_yen = _yen("The least.", example=100)
    max_yen = _yen("The most at once.", example=10_000)
    step_yen = _yen("A multiple of this.", example=100)


class MoneyRulesView(MoneyView):
    """A money (マネー) and its rules."""

    backing = fields.String(
        required=True,
        validate=validate.OneOf(["paid", "free"]),
        metadata={"description": "`free`: points and grants; they are spent first.", "example": "paid"},
    )
    groups = fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "The product groups it buys; null: anything.", "example": ["meal", "drink"]},
    )
    expiry = fields.Nested(ExpiryView, required=True)
    ceiling_yen = _yen_or_null("The most one wallet may hold", example=20_000)
    max_per_payment_yen = _yen_or_null("Limit of one payment", example=3_000)
    max_per_day_yen = _yen_or_null("Limit of one day", example=10_000)
    max_per_month_yen = _yen_or_null("Limit of one month", example=50_000)
    points = fields.Nested(PointsView, required=True, allow_none=True)
    moves_to = fields.List(fields.Nested(MoveRuleView), required=True)


class MoniesView(Schema):
    monies = fields.List(fields.Nested(MoneyRulesView), required=True)


class AcceptsView(Schema):
    """A money that a shop accepts."""

    money = fields.Nested(MoneyView, required=True)
    falls_to = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Codes of the monies that pay what this one cannot, in order.", "example": ["base"]},
    )


class ShopOfferView(ShopView):
    """A shop (店舗) and what it accepts."""

    status = fields.String(required=True, validate=validate.OneOf(["open", "closed"]), metadata={"example": "open"})
    accepts = fields.List(fields.Nested(AcceptsView), required=True)


class ShopsView(Schema):
    shops = fields.List(fields.Nested(ShopOfferView), required=True)
