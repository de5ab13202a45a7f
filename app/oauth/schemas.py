"""The consent form and the authorization details, as they come in."""

from __future__ import annotations

import unicodedata
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, pre_load, validate

from app.money import MAX_AMOUNT_YEN


class PaymentDetailSchema(Schema):
    """One authorization detail of type `payment` (RFC 9396): the ceiling per payment a client asks for."""

    type = fields.String(required=True, validate=validate.Equal("payment"))
    max_per_payment_yen = fields.Integer(required=True, strict=True, validate=validate.Range(1, MAX_AMOUNT_YEN))


class CeilingSchema(Schema):
    """The member's ceiling per payment, as typed: full-width digits and thousands separators are meant well."""

    class Meta:
        unknown = EXCLUDE

    max_per_payment_yen = fields.String(required=True, validate=validate.Regexp(r"[0-9]{1,7}\Z"))

    @pre_load
    def _plain_digits(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        typed = unicodedata.normalize("NFKC", data.get("max_per_payment_yen", ""))
        return {**data, "max_per_payment_yen": typed.replace(",", "").strip()}


class ConsentForm(Schema):
    """The answer to アクセス許可. Only the very word `allow` is consent."""

    class Meta:
        unknown = EXCLUDE

    decision = fields.String(load_default="cancel")
    permission = fields.List(fields.String(), load_default=list)
    shop = fields.List(fields.String(), load_default=list, metadata={"description": "The shops the page named."})
