"""The quick way to load arguments against marshmallow's own: the same values, and never a value where that refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import INCLUDE, Schema, ValidationError, fields, post_load

from app.wallet.schemas_payments import KeyUnlessDryHeader, PaymentBody
from app.web.loading import Loader, is_plain

_TEXTS = st.text(max_size=40)
_ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS | st.lists(_TEXTS, max_size=2)
_ITEMS = st.fixed_dictionaries(
    {"group": st.just("meal"), "amount_yen": st.integers(min_value=0, max_value=9)}, optional={"name": _ANYTHING}
)
_BODIES = st.fixed_dictionaries(
    {},
    optional={
        "amount_yen": st.integers(min_value=-1, max_value=10**8) | _ANYTHING,
        "money": st.just("meal") | _ANYTHING,
        "shop": st.just("canteen") | _ANYTHING,
        "description": _ANYTHING,
        "metadata": st.dictionaries(_TEXTS | st.just("items"), _TEXTS | _ANYTHING, max_size=22) | _ANYTHING,
        "items": st.lists(_ITEMS, max_size=2) | _ANYTHING,
        "dry_run": _ANYTHING,
    },
)


def loaded(schema: Schema, data: dict[str, Any]) -> dict[str, Any] | None:
    """By marshmallow; None where it refuses."""
    try:
        values: dict[str, Any] = schema.load(data)
    except ValidationError:
        return None
    return values


@given(_BODIES)
def test_a_body_is_loaded_as_by_marshmallow_or_not_at_all(body: dict[str, Any]) -> None:
    schema = PaymentBody()
    assert Loader(schema).load(body) == loaded(schema, body)


def test_what_a_schema_says_of_the_whole_is_heard() -> None:
    body = {"amount_yen": 9, "money": "meal", "shop": "canteen", "items": [{"group": "meal", "amount_yen": 9}]}
    assert Loader(PaymentBody()).load(body) is not None
    assert Loader(PaymentBody()).load(body | {"metadata": {"items": "taken"}}) is None


@given(st.text(max_size=130) | st.from_regex(r"\A[A-Za-z0-9_.:\-]{1,128}\n?\Z"))
def test_a_header_is_loaded_as_by_marshmallow_or_not_at_all(key: str) -> None:
    schema = KeyUnlessDryHeader()
    assert Loader(schema).load({"Idempotency-Key": key}) == loaded(schema, {"Idempotency-Key": key})


class _Hooked(Schema):
    name = fields.String()

    @post_load
    def shout(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**data, "name": data["name"].upper()}


class _Named(Schema):
    name = fields.String(attribute="who.name")


@pytest.mark.parametrize(
    "schema",
    [_Hooked(), _Named(), PaymentBody(many=True), PaymentBody(partial=True), PaymentBody(unknown=INCLUDE)],
    ids=["hooks", "nested names", "many", "partial", "unknown names"],
)
def test_what_only_marshmallow_can_load_is_left_to_it(schema: Schema) -> None:
    assert not is_plain(schema)
