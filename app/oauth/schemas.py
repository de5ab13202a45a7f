"""The consent form and the authorization details, as they come in."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, pre_load, validate

from app.money import MAX_AMOUNT_YEN

_BETWEEN_LETTERS = re.compile(r"[\s_.・ー\u00ad\u2010-\u2015\u2212-]+")
"""What a keyboard, a Japanese one too, gives for a blank or a hyphen."""


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


class UserCodeForm(Schema):
    """The eight letters a device shows, as people type them: any case and width, with or without hyphen or blanks."""

    class Meta:
        unknown = EXCLUDE

    user_code = fields.String(required=True, validate=validate.Regexp(r"[BCDFGHJKLMNPQRSTVWXZ]{8}\Z"))

    @pre_load
    def _plain_letters(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        typed = unicodedata.normalize("NFKC", str(data.get("user_code", ""))).upper()
        return {**data, "user_code": _BETWEEN_LETTERS.sub("", typed)}
