"""The limits of payment as a member types them: on アクセス許可, and wherever they are lowered afterwards.

The fields are in templates/oauth/mandate_fields.html. Whatever is sent, the result is never more than the limits that
were offered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields
from werkzeug.datastructures import MultiDict

from app.oauth.errors import InvalidMandate, ShopsChanged
from app.oauth.ports import CEILINGS, Mandate

_YEN = re.compile(r"[0-9]{1,9}")
_DAY = re.compile(r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?")


def read(form: MultiDict[str, str], *, within: Mandate, today: date) -> Mandate:
    """The limits in `form`, each at most what `within` offers; `today` is the issuer's.

    A ceiling that is higher than the one for a longer time means no more than that one, and is read so. A shop or
    money that `within` does not hold is passed over. Raises InvalidMandate, naming every field that is wrong, and
    ShopsChanged where none of the named shops is offered any more.
    """
    typed, wrong = _typed(form)
    wrong |= {name for name in CEILINGS if not 1 <= (typed.get(name) or 0) <= getattr(within, name)}
    shops = tuple(shop for shop in within.shops if str(shop) in typed["shop"])
    monies = None if within.monies is None else tuple(money for money in within.monies if money in typed["money"])
    if not typed["shop"]:
        wrong.add("shop")
    if monies == ():
        wrong.add("money")
    if not _good_until(typed.get("until"), within=within, today=today):
        wrong.add("until")
    if wrong:
        raise InvalidMandate(fields=sorted(wrong))
    if not shops:
        raise ShopsChanged
    per_month = typed["max_per_month_yen"]
    per_day = min(typed["max_per_day_yen"], per_month)
    return Mandate(
        max_per_payment_yen=min(typed["max_per_payment_yen"], per_day),
        max_per_day_yen=per_day,
        max_per_month_yen=per_month,
        shops=shops,
        monies=monies,
        until=typed["until"],
    )


def shown(within: Mandate, form: MultiDict[str, str] | None = None) -> dict[str, Any]:
    """What the fields hold: the limits offered, or once a form was sent, what was typed in it."""
    if form is not None:
        return {**{name: form.get(name, "") for name in (*CEILINGS, "until")}, **_ticked(form)}
    return {
        **{name: getattr(within, name) for name in CEILINGS},
        "until": "" if within.until is None else within.until.isoformat(),
        "shop": [str(shop) for shop in within.shops],
        "money": list(within.monies or ()),
    }


class _TypedYen(fields.Field[int]):
    """Whole yen: full-width digits and thousands separators are meant well."""

    def _deserialize(self, value: str, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> int:
        plain = unicodedata.normalize("NFKC", value).replace(",", "").strip()
        if not _YEN.fullmatch(plain):
            raise ValidationError("not an amount")
        return int(plain)


class _TypedDay(fields.Field[date | None]):
    """A day as a browser sends it, or as it is typed where the browser has no field for days; empty is None."""

    def _deserialize(self, value: str, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> date | None:
        plain = unicodedata.normalize("NFKC", value).strip()
        if not plain:
            return None
        found = _DAY.fullmatch(plain)
        try:
            return date(*map(int, found.groups())) if found else self._refuse()
        except ValueError:
            return self._refuse()

    @staticmethod
    def _refuse() -> None:
        raise ValidationError("not a day")


class MandateForm(Schema):
    """The fields, each read by itself."""

    class Meta:
        unknown = EXCLUDE

    max_per_payment_yen = _TypedYen(required=True)
    max_per_day_yen = _TypedYen(required=True)
    max_per_month_yen = _TypedYen(required=True)
    until = _TypedDay(load_default=None)
    shop = fields.List(fields.String(), load_default=list)
    money = fields.List(fields.String(), load_default=list)


def _typed(form: MultiDict[str, str]) -> tuple[dict[str, Any], set[str]]:
    """What could be read, and the fields that could not."""
    data = {**form.to_dict(), **_ticked(form)}
    try:
        typed: dict[str, Any] = MandateForm().load(data)
    except ValidationError as error:
        assert isinstance(error.valid_data, dict)
        return {**_ticked(form), **error.valid_data}, set(error.messages_dict)
    return typed, set()


def _ticked(form: MultiDict[str, str]) -> dict[str, list[str]]:
    return {name: form.getlist(name) for name in ("shop", "money")}


def _good_until(until: date | None, *, within: Mandate, today: date) -> bool:
    """From today to the day that was asked for; without one, `until` may be left open too."""
    if until is None:
        return within.until is None
    return today <= until and (within.until is None or until <= within.until)
