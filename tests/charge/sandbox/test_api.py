"""The API for merchants: what it takes, what it refuses, and that it is done once."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.charge.sandbox.conftest import KEY, Desk, card_order, slip_order

PAN = "4242424242424242"


def test_both_ways_to_send_the_key(desk: Desk) -> None:
    path = f"/v1/payments?order_id={uuid4()}"
    assert desk.client.get(path, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert desk.client.get(path, auth=(KEY, "")).status_code == 200
    for stranger in (
        {},
        {"Authorization": "Bearer no"},
        {"Authorization": "Basic ÿ"},
        {"Authorization": "Basic ***"},
        {"Authorization": "Bearer あ"},
    ):
        refused = desk.client.get(path, headers=stranger)
        assert (refused.status_code, refused.get_json()["error"]["code"]) == (401, "unauthorized")
        assert desk.client.get("/test/payments", headers=stranger).status_code == 401


def test_a_payment_as_it_is_answered(desk: Desk) -> None:
    made = desk.slip(chain="familymart")
    assert re.fullmatch("pay_[a-z]{30}", made["id"]), "no digits: a card number could be among them"
    assert made["state"] == "pending"
    assert made["received"] == []
    assert made["slip"]["company_code"] == "20020"
    assert made["slip"]["voucher_url"] == f"http://localhost:8002/voucher/{made['id']}"
    assert desk.api("GET", f"/v1/payments/{made['id']}").get_json() == made
    assert desk.api("GET", f"/v1/payments?order_id={made['order_id']}").get_json() == {"payments": [made]}
    assert desk.api("GET", f"/v1/payments?order_id={uuid4()}").get_json() == {"payments": []}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"method": "cash"}, "method"),
        ({"method": ...}, "method"),
        ({"method": ["card"]}, "method"),
        ({"order_id": ...}, "order_id"),
        ({"order_id": "a b"}, "order_id"),
        ({"order_id": "x" * 65}, "order_id"),
        ({"order_id": 7}, "order_id"),
        ({"amount_yen": 0}, "amount_yen"),
        ({"amount_yen": -1}, "amount_yen"),
        ({"amount_yen": "5000"}, "amount_yen"),
        ({"amount_yen": 5000.0}, "amount_yen"),
        ({"amount_yen": True}, "amount_yen"),
        ({"amount_yen": 10**30}, "amount_yen"),
        ({"description": ""}, "description"),
        ({"description": " "}, "description"),
        ({"description": "a\0b"}, "description"),
        ({"description": "x" * 201}, "description"),
        ({"locale": "fr"}, "locale"),
        ({"email": "hanako"}, "email"),
        ({"return_url": ...}, "return_url"),
        ({"return_url": "javascript:alert(1)"}, "return_url"),
        ({"return_url": "/charge"}, "return_url"),
        ({"return_url": "http://a@b.example/"}, "return_url"),
        ({"return_url": "http://[::1/"}, "return_url"),
        ({"return_url": "http://x.example:99999/"}, "return_url"),
        ({"return_url": "http://x.example/; script-src *"}, "return_url"),
        ({"chain": "lawson"}, "chain"),
    ],
)
def test_a_card_order_that_cannot_be(desk: Desk, changes: dict[str, Any], field: str) -> None:
    _refused(desk, card_order(**changes), field)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount_yen": 300_000}, "amount_yen"),
        ({"chain": "kiosk"}, "chain"),
        ({"chain": ...}, "chain"),
        ({"name": ...}, "name"),
        ({"name": "花\ud800子"}, "name"),
        ({"name": "花\n子"}, "name"),
        ({"name_kana": "はなこ"}, "name_kana"),
        ({"name_kana": "ﾊﾅｺ"}, "name_kana"),
        ({"email": ...}, "email"),
        ({"phone": "090-1234-5678"}, "phone"),
        ({"phone": "0901234567890"}, "phone"),
        ({"phone": "1234567890"}, "phone"),
        ({"phone": "０９０１２３４５６７８"}, "phone"),
        ({"pay_until": ...}, "pay_until"),
        ({"pay_until": "tomorrow"}, "pay_until"),
        ({"pay_until": "2099-01-01T00:00:00"}, "pay_until"),
        ({"pay_until": "2099-01-01T00:00:00Z"}, "pay_until"),
        ({"pay_until": (datetime.now(UTC) - timedelta(days=1)).isoformat()}, "pay_until"),
        ({"pay_until": "0001-01-01T00:00:00+23:00"}, "pay_until"),
        ({"return_url": "http://localhost/"}, "return_url"),
    ],
    ids=range(20),
)
def test_a_slip_that_cannot_be(desk: Desk, changes: dict[str, Any], field: str) -> None:
    _refused(desk, slip_order(**changes), field)


def _refused(desk: Desk, body: dict[str, Any], field: str) -> None:
    refused = desk.client.post("/v1/payments", data=json.dumps(body), content_type="application/json", auth=(KEY, ""))
    assert refused.status_code == 400, refused.text
    assert refused.get_json()["error"]["field"] == field
    assert desk.api("GET", "/test/payments").get_json() == {"payments": []}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 60_000, b'{"amount_yen": ' + b"9" * 5_000 + b"}"], ids=range(7)
)
def test_a_body_that_is_none(desk: Desk, body: bytes) -> None:
    refused = desk.client.post("/v1/payments", data=body, content_type="application/json", auth=(KEY, ""))
    assert refused.status_code == 400


def test_a_body_that_is_too_long(desk: Desk) -> None:
    refused = desk.client.post("/v1/payments", data=b"x" * 70_000, auth=(KEY, ""))
    assert refused.status_code == 413


@pytest.mark.parametrize(
    "card",
    [
        {"card": {"number": PAN}},
        {"number": PAN},
        {"cvc": "123"},
        {"exp_month": 12},
        {"description": f"card {PAN}"},
        {"description": "4242 4242 4242 4242"},
        {"description": "4242-4242-4242-4242"},
        {"order_id": PAN},
        {"email": f"{PAN}@example.jp"},
    ],
    ids=range(9),
)
def test_card_data_never_comes_by_api(desk: Desk, tmp_path: Path, card: dict[str, Any]) -> None:
    refused = desk.api("POST", "/v1/payments", card_order(**card), headers={"Idempotency-Key": "once"})
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (400, "card_data_refused")
    assert PAN not in refused.text
    assert PAN.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_an_order_is_repeatable_and_stands_for_one_payment(desk: Desk) -> None:
    order = card_order()
    first = desk.api("POST", "/v1/payments", order)
    again = desk.api("POST", "/v1/payments", order)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.get_json() == first.get_json()
    other = desk.api("POST", "/v1/payments", {**order, "amount_yen": 6_000})
    assert (other.status_code, other.get_json()["error"]) == (
        422,
        {"code": "order_conflict", "message": "this order has another payment", "field": "order_id"},
    )


def test_a_key_brings_the_first_answer_again(desk: Desk) -> None:
    order, key = card_order(), {"Idempotency-Key": "k-1"}
    first = desk.api("POST", "/v1/payments", order, headers=key)
    desk.api("POST", f"/test/payments/{first.get_json()['id']}/card", {"card": "visa"})
    again = desk.api("POST", "/v1/payments", order, headers=key)
    assert (again.status_code, again.data) == (201, first.data)
    other = desk.api("POST", "/v1/payments", card_order(), headers=key)
    assert (other.status_code, other.get_json()["error"]["code"]) == (422, "idempotency_key_reused")
    bad = desk.api("POST", "/v1/payments", card_order(), headers={"Idempotency-Key": "x" * 256})
    assert (bad.status_code, bad.get_json()["error"]["field"]) == (400, "Idempotency-Key")


def test_a_refusal_is_not_kept(desk: Desk) -> None:
    order, key = card_order(), {"Idempotency-Key": "k"}
    assert desk.api("POST", "/v1/payments", {**order, "amount_yen": 0}, headers=key).status_code == 400
    assert desk.api("POST", "/v1/payments", order, headers=key).status_code == 201


def test_cancelling_leaves_what_is_over(desk: Desk) -> None:
    ref = desk.card()["id"]
    for _ in range(2):
        assert desk.api("POST", f"/v1/payments/{ref}/cancel").get_json()["state"] == "cancelled"
    assert [event["kind"] for event in desk.seen(ref)["events"]] == ["payment.pending", "payment.cancelled"]
    paid = desk.slip()["id"]
    desk.api("POST", f"/test/payments/{paid}/pay", {})
    assert desk.api("POST", f"/v1/payments/{paid}/cancel").get_json()["state"] == "paid"


@pytest.mark.parametrize("path", ["/v1/none", "/v1/payments/none", "/v1/payments/%00", "/v1/payments/%E7%B5%84"])
def test_what_is_not_there(desk: Desk, path: str) -> None:
    refused = desk.api("GET", path)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "2026-1-1x", "0001-01-01", "9999-12-31"])
def test_a_day_that_is_none(desk: Desk, day: str) -> None:
    refused = desk.api("GET", f"/v1/settlements/{day}.csv")
    assert refused.status_code in (200, 400)
    if refused.status_code == 200:
        assert refused.text.count("\n") == 1


def test_a_wrong_method(desk: Desk) -> None:
    refused = desk.api("DELETE", "/v1/payments")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (405, "method_not_allowed")


def test_numbers_of_a_chain_are_its_own(desk: Desk) -> None:
    slips = [desk.slip(chain="lawson")["slip"]["receipt_no"] for _ in range(30)]
    assert len(set(slips)) == 30
    assert all(len(number) == 6 and number[0] != "0" for number in slips)


def test_an_order_id_is_no_card_number(desk: Desk) -> None:
    """A UUID of digits has the check digit of a card now and then."""
    for order_id in ("42424242-4242-4242-8242-424242424242", "00000000-4242-4242-4242-4242a0000000"):
        assert desk.card(order_id=order_id)["order_id"] == order_id
