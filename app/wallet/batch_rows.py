"""The rows of a payment batch, checked: five hundred at a time, so most of them without their schema.

The schema says what is right and what is wrong with what is not. A row that is plain, of the shape nearly every
program sends, is known to pass it, and is taken as it is; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from marshmallow import ValidationError
from webargs.flaskparser import abort

from app.money import MAX_AMOUNT_YEN
from app.wallet.schemas import REQUEST_ID_FORM
from app.wallet.schemas_payments import MAX_BATCH, MAX_DESCRIPTION, MAX_NAME, MONEY_ONLY, POINTS_FIRST, BatchRow

_SCHEMA = BatchRow()
_REQUEST_ID = re.compile(REQUEST_ID_FORM)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
_NEEDED = frozenset({"request_id", "member", "money", "shop", "amount_yen"})
_DEFAULTS: dict[str, Any] = {"strategy": POINTS_FIRST, "items": [], "description": "", "metadata": {}}
_KNOWN = _NEEDED | _DEFAULTS.keys()


def check(body: Any) -> Sequence[Mapping[str, Any]]:
    """The rows of a body, as `BatchRow` loads them, but with `member` as text in its canonical form.

    Refuses the request where any row is wrong, naming each field as `payments.17.amount_yen`, 17 being the eighteenth.
    """
    if not isinstance(body, dict):
        _refuse({"_schema": ["Invalid input type."]})
    errors: dict[str, Any] = {str(name): ["Unknown field."] for name in body if name != "payments"}
    rows = body.get("payments")
    if rows is None:
        errors["payments"] = ["Missing data for required field."]
    elif not isinstance(rows, list):
        errors["payments"] = ["Not a valid list."]
    elif not 1 <= len(rows) <= MAX_BATCH:
        errors["payments"] = [f"Length must be between 1 and {MAX_BATCH}."]
    if errors:
        _refuse(errors)
    found = [row if is_plain(row) else _by_schema(row, number, errors) for number, row in enumerate(rows or ())]
    if errors:
        _refuse(errors)
    return [row if len(row) == len(_KNOWN) else _DEFAULTS | row for row in found]


def is_plain(row: Any) -> bool:
    """Whether a row is of the usual shape, and right: text for names, a whole number, no items."""
    if type(row) is not dict or not row.keys() >= _NEEDED or not row.keys() <= _KNOWN:
        return False
    amount_yen = row["amount_yen"]
    return (
        type(amount_yen) is int
        and 1 <= amount_yen <= MAX_AMOUNT_YEN
        and type(row["request_id"]) is str
        and _REQUEST_ID.match(row["request_id"]) is not None
        and type(row["member"]) is str
        and _UUID.fullmatch(row["member"]) is not None
        and _is_text(row["money"], least=1, most=MAX_NAME)
        and _is_text(row["shop"], least=1, most=MAX_NAME)
        and _is_text(row.get("description", ""), least=0, most=MAX_DESCRIPTION)
        and row.get("strategy", POINTS_FIRST) in (POINTS_FIRST, MONEY_ONLY)
        and row.get("items", []) == []
        and _is_texts(row.get("metadata", {}))
    )


def _is_text(value: Any, *, least: int, most: int) -> bool:
    return type(value) is str and least <= len(value) <= most and _PLAIN.fullmatch(value) is not None


def _is_texts(metadata: Any) -> bool:
    """A few texts under short names."""
    return (
        type(metadata) is dict
        and len(metadata) <= 20
        and all(
            _is_text(name, least=1, most=40) and _is_text(value, least=0, most=500) for name, value in metadata.items()
        )
    )


def _by_schema(row: Any, number: int, errors: dict[str, Any]) -> dict[str, Any]:
    """The row as its schema has it; what is wrong with it goes to `errors`."""
    try:
        loaded: dict[str, Any] = _SCHEMA.load(row)
    except ValidationError as error:
        errors.update({f"payments.{number}.{name}": said for name, said in error.messages_dict.items()})
        return {}
    return {**loaded, "member": str(loaded["member"])}


def _refuse(errors: Mapping[str, Any]) -> NoReturn:
    abort(422, messages={"json": dict(errors)})
