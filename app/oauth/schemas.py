"""The consent form and the authorization details, as they come in."""

from __future__ import annotations

from datetime import date
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load, validate

from app.money import MAX_AMOUNT_YEN, MAX_SUM_YEN
from app.oauth.typed_codes import LENGTH, LETTERS, letters_of

_ISO_DAY = validate.Regexp(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_SOME = validate.Length(1, 100)


def _each_once(codes: list[str]) -> None:
    if len(set(codes)) != len(codes):
        raise ValidationError("named twice")


class _Day(fields.Date):
    """A day as YYYY-MM-DD, and no other of ISO 8601's ways to write one."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> date:
        if not isinstance(value, str):
            raise self.make_error("invalid", obj_type="date", input=value)
        _ISO_DAY(value)
        return super()._deserialize(value, attr, data, **kwargs)


class PaymentDetailSchema(Schema):
    """One authorization detail of type `payment` (RFC 9396): the limits a client asks for. Each is optional."""

    type = fields.String(required=True, validate=validate.Equal("payment"))
    money = fields.List(fields.String(), validate=[_SOME, _each_once])
    shops = fields.List(fields.String(), validate=[_SOME, _each_once])
    max_per_payment_yen = fields.Integer(strict=True, validate=validate.Range(1, MAX_AMOUNT_YEN))
    max_per_day_yen = fields.Integer(strict=True, validate=validate.Range(1, MAX_SUM_YEN))
    max_per_month_yen = fields.Integer(strict=True, validate=validate.Range(1, MAX_SUM_YEN))
    until = _Day()


class ConsentForm(Schema):
    """The answer to アクセス許可. Only the very word `allow` is consent."""

    class Meta:
        unknown = EXCLUDE

    decision = fields.String(load_default="cancel")
    permission = fields.List(fields.String(), load_default=list)


class UserCodeForm(Schema):
    """The eight letters a device shows, as people type them: any case and width, with or without hyphen or blanks."""

    class Meta:
        unknown = EXCLUDE

    user_code = fields.String(required=True, validate=validate.Regexp(rf"[{LETTERS}]{{{LENGTH}}}\Z"))

    @pre_load
    def _plain_letters(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**data, "user_code": letters_of(str(data.get("user_code", "")))}
