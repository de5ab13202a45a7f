"""The fields of charges. This is the text of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.charge.models import STATES
from app.charge.ports import Chain
from app.wallet.schemas import MAX_PAGE, MoneyView, amount_yen_field, storable_text

KANA = r"^[ァ-ヴー・　 ]+$(?!\n)"
"""Full-width katakana, as the chains print it."""

_CHAINS = [chain.value for chain in Chain]
LINK_CODE = "kcl_Vq3xP0b7Yl1sD9fK2mN4tR6wZ8cA5eG7hJ0uI3oL1pX"
"""Of the examples."""
_ID = "01936a7c-5b1e-7a10-8000-0000000000c1"


def _text(
    description: str, *, example: str, most: int, form: str | None = None, say: str | None = None
) -> fields.String:
    checks: list[Any] = [validate.Length(1, most), storable_text]
    if form is not None:
        checks.append(validate.Regexp(form, error=say))
    return fields.String(load_default=None, validate=checks, metadata={"description": description, "example": example})


def _yen(description: str, *, example: int, null: bool = False) -> fields.Integer:
    return fields.Integer(required=True, allow_none=null, metadata={"description": description, "example": example})


def _null(description: str, example: Any, **metadata: Any) -> fields.String:
    return fields.String(
        required=True, allow_none=True, metadata={"description": description, "example": example, **metadata}
    )


class ChargeBody(Schema):
    """What to charge, and how it will be paid. No card number is sent here: it is entered on the gateway's page."""

    money = fields.String(
        required=True,
        validate=[validate.Length(1, 32), storable_text],
        metadata={"description": "The code of the money to charge.", "example": "meal"},
    )
    amount_yen = amount_yen_field(example=3_000)
    method = fields.String(required=True, validate=validate.OneOf(["card", "konbini"]), metadata={"example": "konbini"})
    chain = fields.String(
        load_default=None,
        validate=validate.OneOf(_CHAINS),
        metadata={"description": "Of `konbini`: where it will be paid.", "example": "seicomart"},
    )
    name = _text("Of `konbini`: who pays.", example="組合 花子", most=40)
    name_kana = _text(
        "Of `konbini`: the name in full-width katakana.",
        example="クミアイ ハナコ",
        most=40,
        form=KANA,
        say="Must be full-width katakana.",
    )
    email = fields.Email(
        load_default=None,
        validate=validate.Length(max=254),
        metadata={"description": "Of `konbini`.", "example": "hanako@example.ac.jp"},
    )
    phone = _text(
        "Of `konbini`: 10 or 11 digits, without hyphens.",
        example="09012345678",
        most=11,
        form=r"^0[0-9]{9,10}$(?!\n)",
        say="Must be 10 or 11 digits beginning with 0.",
    )
    birthday_mmdd = _text(
        "Of `card`, where the issuer asks for it: month and day of the member's birthday.",
        example="0401",
        most=4,
        form=r"^(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$(?!\n)",
        say="Must be MMDD.",
    )
    return_url = fields.Url(
        load_default=None,
        relative=False,
        require_tld=False,
        schemes={"http", "https"},
        validate=validate.Length(max=500),
        metadata={
            "description": "Of `card`: where the gateway's page leads afterwards; at the origin of one of the client's "
            "redirect URIs. Left out, the co-op's own member page.",
        },
    )

    link = fields.String(
        load_default=None,
        validate=validate.Regexp(r"^kcl_[A-Za-z0-9_-]{43}$(?!\n)", error="Must be the code of a charge link."),
        metadata={"description": "Of somebody else's wallet: the code of the link that they gave to the member."},
    )

    @validates_schema
    def fits_its_method(self, data: Mapping[str, Any], **_: Any) -> None:
        of_slip = ("chain", "name", "name_kana", "email", "phone")
        if data.get("method") == "konbini":
            if missing := {name: ["Required for konbini."] for name in of_slip if data.get(name) is None}:
                raise ValidationError(missing)
        elif wrong := {name: ["Only for konbini."] for name in of_slip if data.get(name) is not None}:
            raise ValidationError(wrong)


class ChainBody(Schema):
    chain = fields.String(required=True, validate=validate.OneOf(_CHAINS), metadata={"example": "lawson"})


class SlipView(Schema):
    """What is shown or typed at the store. Which of them a chain has differs."""

    receipt_no = _null("The number to pay by.", "123456")
    confirmation_no = _null("Asked for beside it: often the phone number.", "09012345678")
    company_code = _null("FamilyMart's.", None)
    barcode = _null("Digits of a barcode.", None)
    voucher_url = _null("The gateway's own page of this slip.", "https://pay.example/slips/1")


class CardView(Schema):
    """The card that paid."""

    brand = fields.String(required=True, metadata={"example": "visa"})
    last4 = fields.String(required=True, metadata={"example": "4242"})


class ReceivedView(Schema):
    """Money that arrived."""

    amount_yen = _yen("How much.", example=3_000)
    received_at = fields.String(required=True, metadata={"format": "date-time", "example": "2026-11-24T03:00:00+00:00"})
    state = fields.String(
        required=True,
        validate=validate.OneOf(["waiting", "credited", "suspense", "returned"]),
        metadata={
            "description": "`suspense`: it could not be credited by itself; the office looks into it (`reason`).",
            "example": "credited",
        },
    )
    reason = _null("Why it was not credited by itself: an error's code, or `amount_differs`, `new_card`.", None)
    late = fields.Boolean(required=True, metadata={"example": False})
    transaction_id = _null("What credited it.", "01936a7c-5b1e-7a10-8000-0000000000c2", format="uuid")


class ChargeView(Schema):
    """An order to charge (チャージ)."""

    id = fields.String(required=True, metadata={"format": "uuid", "example": _ID})
    role = fields.String(
        required=True,
        validate=validate.OneOf(["self", "payer", "receiver"]),
        metadata={
            "description": "`payer`: the member charges somebody else's wallet (`receiver` names them); `receiver`: "
            "somebody else charges the member's.",
            "example": "self",
        },
    )
    receiver = _null("Whose wallet it is, as their link names them; null: not somebody else's.", None)
    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata={
            "description": "`created`: the gateway has not answered yet; `pending`: to be paid; `late_paid`: paid "
            "after it had ended; `duplicate_paid`: paid more than once. What arrived is in `received`.",
            "example": "pending",
        },
    )
    method = fields.String(required=True, validate=validate.OneOf(["card", "konbini"]), metadata={"example": "konbini"})
    money = fields.Nested(MoneyView, required=True)
    amount_yen = _yen("What enters the wallet.", example=3_000)
    fee_yen = _yen("Paid on top.", example=0)
    to_pay_yen = _yen("Both.", example=3_000)
    redirect_url = _null("Of a card that is to be paid: the gateway's page, where to send the member.", None)
    chain = _null("Of a slip: where it is paid.", "seicomart")
    slip = fields.Nested(SlipView, required=True, allow_none=True)
    pay_until = _null("After that nobody can pay it.", "2026-12-01T14:59:59+00:00", format="date-time")
    failure = _null("Why it failed, in the gateway's word.", None)
    card = fields.Nested(CardView, required=True, allow_none=True, metadata={"example": None})
    received = fields.List(fields.Nested(ReceivedView), required=True, metadata={"example": []})
    credited_yen = _yen("What has entered the wallet.", example=0)
    replaces = _null("The charge in whose place another chain was chosen.", None, format="uuid")
    created_at = fields.String(required=True, metadata={"format": "date-time", "example": "2026-11-24T02:55:00+00:00"})
    ended_at = _null("When it was paid, failed, ran out or was cancelled.", None, format="date-time")


class ChargesQuery(Schema):
    cursor = fields.UUID(load_default=None, metadata={"description": "The `next_cursor` of the page before."})
    limit = fields.Integer(load_default=20, validate=validate.Range(1, MAX_PAGE), metadata={"example": 20})


class ChargesView(Schema):
    charges = fields.List(fields.Nested(ChargeView), required=True)
    next_cursor = _null("Where the next page begins; null: nowhere.", None, format="uuid")


class MethodView(Schema):
    """A way to pay."""

    method = fields.String(required=True, validate=validate.OneOf(["card", "konbini"]), metadata={"example": "konbini"})
    min_yen = _yen("The least.", example=1_000)
    max_yen = _yen("The most at once.", example=200_000)
    step_yen = _yen("A multiple of this.", example=1_000)
    fee_yen = _yen("Paid on top.", example=0)
    chains = fields.List(
        fields.String(validate=validate.OneOf(_CHAINS)), required=True, metadata={"example": ["lawson", "seicomart"]}
    )
    left_yen = _yen("Of cards: how much more this member may charge now; null: no limit.", example=10_000, null=True)


class ChargeableView(Schema):
    money = fields.Nested(MoneyView, required=True)
    balance_yen = _yen("What is there.", example=1_550)
    room_yen = _yen("How much fits in; null: any amount.", example=18_450, null=True)


class OptionsView(Schema):
    methods = fields.List(fields.Nested(MethodView), required=True)
    monies = fields.List(fields.Nested(ChargeableView), required=True)
    identity = fields.String(
        required=True,
        validate=validate.OneOf(["none", "birthday", "code"]),
        metadata={
            "description": "Before a card: `birthday_mmdd` is asked; or `code`, a sign-in of the last five minutes.",
            "example": "birthday",
        },
    )


class LinkBody(Schema):
    """A link for one of the member's wallets."""

    money = fields.String(
        required=True,
        validate=[validate.Length(1, 32), storable_text],
        metadata={"description": "The code of the money that may be charged by it.", "example": "meal"},
    )
    shown_as = fields.String(
        required=True,
        validate=[validate.Length(1, 40), storable_text],
        metadata={"description": "What whoever has the link is shown of the member.", "example": "花子"},
    )
    days = fields.Integer(
        load_default=365,
        validate=validate.Range(1, 366),
        metadata={"description": "How long it works.", "example": 365},
    )


class LinkCodeBody(Schema):
    code = fields.String(
        required=True, validate=validate.Length(1, 60), metadata={"description": "A link's code.", "example": LINK_CODE}
    )


class LinkShownView(Schema):
    """What whoever has a link may know."""

    shown_as = fields.String(required=True, metadata={"description": "Whose wallet it is.", "example": "花子"})
    money = fields.Nested(MoneyView, required=True)


class LinkView(LinkShownView):
    """One of the member's links (チャージ用リンク)."""

    id = fields.String(required=True, metadata={"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-0000000000c7"})
    created_at = fields.String(required=True, metadata={"format": "date-time", "example": "2026-11-24T02:55:00+00:00"})
    valid_until = fields.String(required=True, metadata={"format": "date-time", "example": "2027-11-24T02:55:00+00:00"})


class NewLinkView(LinkView):
    """With its code, which is shown this once."""

    code = fields.String(required=True, metadata={"example": LINK_CODE})
    url = fields.String(
        required=True,
        metadata={"description": "Give this away.", "example": f"https://my.coop.example/charge?for={LINK_CODE}"},
    )


class LinksView(Schema):
    links = fields.List(fields.Nested(LinkView), required=True)
