"""Input that no honest program sends is answered by a documented 4xx that names the field, never by a 500."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient

from app.wallet import directory
from tests import factories
from tests.reader.stand import stand as make_stand

NO_UNICODE = "half of a pair: \ud800"
NUL = "a\0b"
TOO_LONG = "9" * 5_000
"""More digits than Python converts."""


@dataclass
class Call:
    """A call that would be accepted as it is."""

    path: str
    token: str
    body: dict[str, Any]

    def send(self, app: Flask, body: bytes | str) -> Any:
        answer = app.test_client().post(
            self.path,
            data=body,
            content_type="application/json",
            headers={
                "Authorization": f"Bearer {self.token}",
                "Idempotency-Key": self.body.get("tap_id", "bad-input"),
            },
        )
        api = schemathesis.openapi.from_dict(app.extensions["kumiai.openapi"])
        api[self.path]["POST"].validate_response(answer)
        return answer


@pytest.fixture(params=["/v1/taps", "/v1/payments"])
def call(app: Flask, request: pytest.FixtureRequest) -> Call:
    with app.app_context():
        stand = make_stand()
        if request.param == "/v1/taps":
            return Call(request.param, stand.token, stand.body(money=stand.holder.money))
        shop = factories.oauth_client(allowed_shops=[stand.holder.shop_id])
        token = factories.access_token(member_id=stand.holder.member_id, client_id=shop.id, scopes=["payment"])
        body = {
            "amount_yen": 380,
            "money": stand.holder.money,
            "shop": directory.shop_by_id(stand.holder.shop_id).code,
            "metadata": {"order": "A-17"},
        }
        return Call(request.param, token, body)


def test_the_call_itself_is_good(app: Flask, call: Call) -> None:
    assert call.send(app, json.dumps(call.body)).status_code == 201


@pytest.mark.parametrize("text", [NO_UNICODE, NUL], ids=["no Unicode", "NUL"])
def test_text_that_cannot_be_kept_is_refused_by_its_field(app: Flask, call: Call, text: str) -> None:
    for field in (*call.body, text):  # the last is no field at all, and is named all the same
        for value in (text, [text], {text: "x"}, {"x": text}, {"x": [{"y": text}]}):
            answer = call.send(app, json.dumps({**call.body, field: value}))
            assert answer.status_code == 422
            assert answer.json["code"] == "invalid_fields"
            assert list(answer.json["errors"]) == [field.encode(errors="backslashreplace").decode()]


def test_a_backslash_is_no_such_text(app: Flask, call: Call) -> None:
    answer = call.send(app, json.dumps({**call.body, "money": "\\ud800 \\u0000 学食 \U0001f371"}))
    assert (answer.status_code, answer.json["code"]) == (422, "money_not_accepted")
    assert "学食" in answer.text


@pytest.mark.parametrize("number", [TOO_LONG, f"-{TOO_LONG}", "1e999", "NaN", "-Infinity", "9" * 19, "380.5"])
def test_a_number_out_of_all_bounds_is_refused_by_its_field(app: Flask, call: Call, number: str) -> None:
    body = json.dumps({**call.body, "amount_yen": "here"}).replace('"here"', number)
    answer = call.send(app, body)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["amount_yen"])


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 5_000,
        b'{"a":' * 5_000,
        b"[" * 200_000,
        b'{"amount_yen": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"amount_yen": ' + b"[" * 900 + TOO_LONG.encode() + b"]" * 900 + b"}",
        b'{"money": ' + b"[" * 900 + b'"\\ud800"' + b"]" * 900 + b"}",
        TOO_LONG.encode(),
        b'"\\ud800"',
        b"null",
        b"\xff\xfe",
        b'{"money": "\xed\xa0\x80"}',
        b"",
    ],
    ids=lambda body: f"{body[:16]!r}, {len(body)} bytes",
)
def test_a_body_that_is_no_object_of_fields(app: Flask, call: Call, body: bytes) -> None:
    answer = call.send(app, body)
    assert answer.status_code in (400, 422)
    assert answer.json["code"] == "invalid_fields"
    assert answer.json["errors"]


@pytest.mark.parametrize("name", ["%00", "a%00b", "%ff", "%ed%a0%80", "a%0A", "a%20b", "%E3%82%BF", "x" * 5_000])
@pytest.mark.parametrize("path", ["/v1/transactions/by-request/", "/v1/wallets/"])
def test_a_name_in_the_path_that_nothing_can_have(app: Flask, client: FlaskClient, path: str, name: str) -> None:
    with app.app_context():
        token = factories.access_token(
            member_id=factories.holder().member_id, client_id=factories.oauth_client().id, scopes=["balance", "history"]
        )
    answer = client.get(path + name, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
    assert client.get(path + name).status_code == 401, "who may not ask learns nothing"
