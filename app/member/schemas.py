"""What the forms of signing in and of a new password carry."""

from __future__ import annotations

import unicodedata
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load, validates_schema
from marshmallow.validate import Length, Regexp


class _Form(Schema):
    """Browsers send more than is asked for, such as the name of a button."""

    class Meta:
        unknown = EXCLUDE


class LoginForm(_Form):
    """E-mail address and password. Whether the address is one is not our business here: an unknown one is refused."""

    email = fields.String(required=True, validate=[Length(min=1, max=254), Regexp(r"[^\x00]*\Z")])
    password = fields.String(required=True, validate=Length(min=1, max=1024))


class CodeForm(_Form):
    """Six digits, as people type them: full-width, or with a blank or hyphen in the middle."""

    code = fields.String(required=True, validate=Regexp(r"[0-9]{6}\Z"))

    @pre_load
    def _half_width(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        typed = unicodedata.normalize("NFKC", str(data.get("code", "")))
        return {**data, "code": "".join(typed.replace("-", " ").split())}


class ForgotForm(_Form):
    """The address a code is asked for. Whether it is one, or a member's, only a mail says."""

    email = fields.String(required=True, validate=[Length(min=1, max=254), Regexp(r"[^\x00]*\Z")])


class NewPasswordForm(_Form):
    """A new password twice, so that a slip of the finger shows."""

    new = fields.String(required=True, validate=Length(min=1, max=1024))
    again = fields.String(required=True)

    @validates_schema
    def _both_the_same(self, data: dict[str, Any], **_: Any) -> None:
        if data["new"] != data["again"]:
            raise ValidationError("differs from the new password", "again")


class PasswordForm(NewPasswordForm):
    """The present password, and the new one."""

    current = fields.String(required=True, validate=Length(min=1, max=1024))


class ResetForm(NewPasswordForm, CodeForm):
    """The mailed code, and the new password."""
