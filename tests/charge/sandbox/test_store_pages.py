"""The store: the numbers as each chain has them, paying, the receipt, the slip with its code."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import segno
from reportlab.graphics.barcode import code128 as reference

from app.charge.sandbox import barcode
from app.charge.sandbox.chains import CHAINS
from tests.charge.sandbox.conftest import Desk


def numbers(payment: dict[str, Any]) -> dict[str, str]:
    """What is typed at the store."""
    slip = payment["slip"]
    typed = {"receipt_no": slip["receipt_no"], "phone": slip["confirmation_no"], "company_code": slip["company_code"]}
    return {name: value for name, value in typed.items() if value is not None}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_slip_is_paid_at_its_store_and_nowhere_else(desk: Desk, chain: str) -> None:
    payment = desk.slip(chain=chain)
    voucher = desk.client.get(f"/voucher/{payment['id']}").text
    assert CHAINS[chain].shown(payment["slip"]["receipt_no"]) in voucher
    for other in CHAINS:
        if other != chain:
            assert desk.post(f"/store/{other}", **numbers(payment)).status_code == 422
    asked = desk.post(f"/store/{chain}", **numbers(payment))
    assert asked.status_code == 200
    assert "3,000円" in asked.text
    assert desk.seen(payment["id"])["state"] == "pending"
    paid = desk.post(f"/store/{chain}", **numbers(payment), pay="1")
    assert paid.status_code == 303
    receipt = desk.client.get(paid.location).text
    assert "領収書" in receipt
    assert "3,000円" in receipt
    assert desk.seen(payment["id"])["state"] == "paid"
    again = desk.post(f"/store/{chain}", **numbers(payment), pay="1")
    assert again.location == paid.location, "the button was pressed twice"
    assert len(desk.seen(payment["id"])["received"]) == 1
    assert "済んでいます" in desk.post(f"/store/{chain}", **numbers(payment)).text
    assert "お支払い済み" in desk.client.get(f"/voucher/{payment['id']}").text


@pytest.mark.parametrize(
    ("chain", "written"),
    [
        ("daily_yamazaki", lambda number: f"{number[:4]}-{number[4:]}"),
        ("daily_yamazaki", lambda number: f"{number[:4]} {number[4:]}"),
        ("seven_eleven", lambda number: number.translate({ord(str(digit)): 0xFF10 + digit for digit in range(10)})),
    ],
    ids=range(3),
)
def test_ways_to_type_a_number(desk: Desk, chain: str, written: Any) -> None:
    payment = desk.slip(chain=chain)
    number = payment["slip"]["receipt_no"]
    assert desk.post(f"/store/{chain}", receipt_no=written(number), pay="1").status_code == 303


@pytest.mark.parametrize("chain", CHAINS)
def test_numbers_that_are_none_are_said_beside_their_fields(desk: Desk, chain: str) -> None:
    kind = CHAINS[chain]
    fields = (
        {"receipt_no"} | ({"phone"} if kind.by_phone else set()) | ({"company_code"} if kind.company_code else set())
    )
    for typed in ({}, dict.fromkeys(fields, "1"), dict.fromkeys(fields, "9" * 40), dict.fromkeys(fields, "あ")):
        page = desk.post(f"/store/{chain}", **typed)
        assert page.status_code == 422
        assert set(re.findall(r'id="(\w+)-error"', page.text)) == fields


def test_the_phone_number_must_be_the_one_of_the_order(desk: Desk) -> None:
    payment = desk.slip(chain="lawson")
    page = desk.post("/store/lawson", **{**numbers(payment), "phone": "09099999999"})
    assert "見つかりません" in page.text
    assert (
        desk.post(
            "/store/familymart", **{**numbers(desk.slip(chain="familymart")), "company_code": "11111"}
        ).status_code
        == 422
    )


@pytest.mark.parametrize(("action", "words"), [("expire", "期限を過ぎている"), ("cancel", "取り消されています")])
def test_what_cannot_be_paid_any_more(desk: Desk, action: str, words: str) -> None:
    payment = desk.slip()
    path = f"/test/payments/{payment['id']}/expire" if action == "expire" else f"/v1/payments/{payment['id']}/cancel"
    desk.api("POST", path, {})
    page = desk.post("/store/seicomart", **numbers(payment), pay="1")
    assert page.status_code == 422
    assert words in page.text
    assert desk.seen(payment["id"])["received"] == []
    assert 'href="/store/' not in desk.client.get(f"/voucher/{payment['id']}").text


def test_a_slip_can_be_paid_to_its_last_moment_and_not_after(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    slips = [desk.slip(pay_until=ends.isoformat()) for _ in range(2)]
    monkeypatch.setattr("time.time", lambda: ends.timestamp())
    assert desk.post("/store/seicomart", **numbers(slips[0]), pay="1").status_code == 303
    monkeypatch.setattr("time.time", lambda: ends.timestamp() + 0.001)
    assert desk.post("/store/seicomart", **numbers(slips[1]), pay="1").status_code == 422
    assert desk.seen(slips[1]["id"])["state"] == "expired"


def test_the_slip_has_a_code_where_the_chain_has_one(desk: Desk) -> None:
    pages = {chain: desk.client.get(f"/voucher/{desk.slip(chain=chain)['id']}").text for chain in CHAINS}
    assert {chain for chain, page in pages.items() if 'class="barcode"' in page} == {"seven_eleven"}
    assert {chain for chain, page in pages.items() if 'class="qr"' in page} == {"familymart"}


def test_the_qr_code_says_both_numbers(desk: Desk) -> None:
    payment = desk.slip(chain="familymart")
    code = segno.make_qr(f"20020{payment['slip']['receipt_no']}", error="m").svg_data_uri(border=4, scale=5)
    assert code.replace("&", "&amp;").replace("'", "&#39;") in desk.client.get(f"/voucher/{payment['id']}").text


@pytest.mark.parametrize("digits", ["1234567890123", "00", "7", "9876543210987654"])
def test_the_barcode_is_code_128(digits: str) -> None:
    """Read back by another's table of symbols."""
    picture = barcode.code_128(digits)
    bars = [(int(at), int(width)) for at, width in re.findall(r"M(\d+) 0h(\d+)v", picture)]
    edges = sorted(edge for at, width in bars for edge in (at, at + width))
    widths = "".join("abcd"[end - begin - 1] for begin, end in itertools.pairwise(edges))
    table = {pattern.lower(): value for value, pattern in reference._patterns.items()}
    body, stop = widths[:-7], widths[-7:]
    values = [table[body[at : at + 6]] for at in range(0, len(body), 6)]
    assert table[stop] == 106
    assert values[0] == 105
    assert (values[0] + sum(place * value for place, value in enumerate(values[1:-1], 1))) % 103 == values[-1]
    read, in_b = "", False
    for value in values[1:-1]:
        if value == 100 and not in_b:
            in_b = True
        else:
            read += chr(value + 32) if in_b else f"{value:02}"
    assert read == digits


def test_what_is_not_there(desk: Desk) -> None:
    for path in ("/store/kiosk", "/voucher/none", "/voucher/%E7%B5%84", "/store/receipt/none"):
        assert desk.client.get(path).status_code == 404
    assert desk.client.get(f"/voucher/{desk.card()['id']}").status_code == 404
    assert desk.client.post("/store/lawson", data={"receipt_no": "1"}).status_code == 400
