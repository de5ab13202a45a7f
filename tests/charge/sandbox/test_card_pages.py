"""The hosted card page and the bank's question, with each card."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.charge.sandbox import card_form, cards
from app.charge.sandbox.cards import TEST_CARDS, TestCard
from tests.charge.sandbox.conftest import RETURN_URL, Desk

FUTURE = {"expiry": "12/30", "cvc": "123"}
BY_NAME = {card.name: card for card in TEST_CARDS}


def typed(card: TestCard) -> dict[str, str]:
    return {"number": card.shown, "expiry": "12/30", "cvc": "1" * cards.cvc_digits(card.number)}


def pay(desk: Desk, ref: str, card: TestCard, *, code: str | None = None) -> str:
    """Pay by a card; where it led."""
    sent = desk.post(f"/pay/{ref}", **typed(card))
    assert sent.status_code == 303
    if not sent.location.endswith("/challenge"):
        return sent.location
    shown = re.search(r"\b[0-9]{6}\b", desk.client.get(sent.location).text.partition('class="sms"')[2])
    assert shown is not None
    return str(desk.post(sent.location, code=code or shown[0]).location)


@pytest.mark.parametrize("card", TEST_CARDS, ids=lambda card: str(card.name))
def test_each_test_card_does_what_its_list_says(desk: Desk, tmp_path: Path, card: TestCard) -> None:
    assert cards.luhn(card.number)
    assert card.brand
    ref = desk.card()["id"]
    assert pay(desk, ref, card) == RETURN_URL
    payment = desk.seen(ref)
    expected = {"paid": ("paid", None), "slow": ("pending", None)}.get(card.outcome, ("failed", card.outcome))
    assert (payment["state"], payment["failure"]) == expected
    assert (payment["card"]["brand"], payment["card"]["last4"]) == (card.brand, card.number[-4:])
    assert len(payment["received"]) == (expected[0] == "paid")
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert card.number.encode() not in kept
    assert card.shown.encode() not in kept


def test_the_bank_asks_only_where_the_card_says_so(desk: Desk) -> None:
    for card in TEST_CARDS:
        sent = desk.post(f"/pay/{desk.card()['id']}", **typed(card))
        assert sent.location.endswith("/challenge") == card.challenge, card.name


def test_the_same_card_has_the_same_fingerprint(desk: Desk) -> None:
    seen = []
    for name in ("visa", "visa", "jcb"):
        ref = desk.card()["id"]
        pay(desk, ref, BY_NAME[name])
        seen.append(desk.seen(ref)["card"]["fingerprint"])
    assert seen[0] == seen[1] != seen[2]


def test_three_wrong_codes_are_a_no(desk: Desk) -> None:
    ref = desk.card()["id"]
    asked = desk.post(f"/pay/{ref}", **typed(BY_NAME["challenge"])).location
    wrong = ["", "あ" * 6]
    for left, code in zip((2, 1), wrong, strict=True):
        again = desk.post(asked, code=code)
        assert again.status_code == 422
        assert f"あと{left}回" in again.text
    assert desk.post(asked, code="x").location == RETURN_URL
    assert (desk.seen(ref)["state"], desk.seen(ref)["failure"]) == ("failed", "three_ds_failed")


def test_cancelling_at_the_bank(desk: Desk) -> None:
    ref = desk.card()["id"]
    asked = desk.post(f"/pay/{ref}", **typed(BY_NAME["challenge"])).location
    assert desk.post(asked, give_up="1").location == RETURN_URL
    assert desk.seen(ref)["failure"] == "three_ds_cancelled"


def test_going_back_without_paying(desk: Desk) -> None:
    ref = desk.card()["id"]
    assert desk.post(f"/pay/{ref}/leave", page=f"/pay/{ref}").location == RETURN_URL
    assert desk.seen(ref)["failure"] == "customer_left"


def test_sent_twice_it_is_paid_once(desk: Desk) -> None:
    ref = desk.card()["id"]
    token = re.search(r'name="token" value="([^"]+)"', desk.client.get(f"/pay/{ref}").text)
    assert token is not None
    form = {**typed(BY_NAME["visa"]), "token": token[1]}
    answers = [desk.client.post(f"/pay/{ref}", data=form) for _ in range(3)]
    assert [answer.location for answer in answers] == [RETURN_URL] * 3
    assert len(desk.seen(ref)["received"]) == 1


def test_a_second_card_cannot_be_sent_while_the_bank_asks(desk: Desk) -> None:
    ref = desk.card()["id"]
    token = re.search(r'name="token" value="([^"]+)"', desk.client.get(f"/pay/{ref}").text)
    assert token is not None
    desk.client.post(f"/pay/{ref}", data={**typed(BY_NAME["challenge"]), "token": token[1]})
    again = desk.client.post(f"/pay/{ref}", data={**typed(BY_NAME["visa"]), "token": token[1]})
    assert again.location.endswith("/challenge")
    assert desk.client.get(f"/pay/{ref}").location.endswith("/challenge")
    assert desk.seen(ref)["card"]["last4"] == "3220"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"number": ""}, "number"),
        ({"number": "4242 4242 4242 4241"}, "number"),
        ({"number": "4242"}, "number"),
        ({"number": "4" * 40}, "number"),
        ({"number": "あ"}, "number"),
        ({"number": "4111 1111 1111 1111"}, "number"),  # could be somebody's
        ({"expiry": ""}, "expiry"),
        ({"expiry": "13/30"}, "expiry"),
        ({"expiry": "00/30"}, "expiry"),
        ({"expiry": "12/99"}, "expiry"),
        ({"expiry": "01/2020"}, "expiry"),
        ({"expiry": "12-30"}, "expiry"),
        ({"cvc": ""}, "cvc"),
        ({"cvc": "12"}, "cvc"),
        ({"cvc": "1234"}, "cvc"),
        ({"cvc": "abc"}, "cvc"),
    ],
)
def test_what_was_mistyped_is_said_beside_its_field(desk: Desk, changes: dict[str, str], field: str) -> None:
    ref = desk.card()["id"]
    page = desk.post(f"/pay/{ref}", **{"number": "4242424242424242", **FUTURE, **changes})
    assert page.status_code == 422
    assert f'id="{field}-error"' in page.text
    assert page.text.count('aria-invalid="true"') == 1
    assert desk.seen(ref)["state"] == "pending"
    assert desk.seen(ref)["card"] is None


@pytest.mark.parametrize(
    "form",
    [
        {"number": "４２４２　４２４２　４２４２　４２４２", "expiry": "１２／３０", "cvc": "１２３"},
        {"number": "4242-4242-4242-4242", "expiry": "1230", "cvc": "123"},
        {"number": " 4242424242424242 ", "expiry": "12 / 2030", "cvc": " 123 "},
        {"number": "3782 822463 10005", "expiry": "12/30", "cvc": "1234"},
    ],
    ids=range(4),
)
def test_ways_to_type_a_card(desk: Desk, form: dict[str, str]) -> None:
    assert desk.post(f"/pay/{desk.card()['id']}", **form).location == RETURN_URL


def test_a_card_is_good_to_the_end_of_its_month() -> None:
    today = datetime.now(UTC) + timedelta(hours=9)
    last_month = today.replace(day=1) - timedelta(days=1)
    typed_in = {"number": "4242424242424242", "cvc": "123"}
    assert not card_form.read({**typed_in, "expiry": f"{today:%m/%y}"}).problems
    assert card_form.read({**typed_in, "expiry": f"{last_month:%m/%y}"}).problems == {"expiry": "card.expiry.past"}


def test_a_test_card_fills_itself_in_without_script(desk: Desk) -> None:
    path = f"/pay/{desk.card()['id']}"
    page = desk.client.get(f"{path}?fill=amex").text
    for value in ("3782 822463 10005", "1234"):
        assert f'value="{value}"' in page
    assert desk.client.get(f"{path}?fill=none").status_code == 200


def test_a_payment_that_is_over_says_so_and_leads_back(desk: Desk) -> None:
    refs = [desk.card()["id"] for _ in range(4)]
    pay(desk, refs[0], BY_NAME["visa"])
    pay(desk, refs[1], BY_NAME["no_funds"])
    desk.api("POST", f"/test/payments/{refs[2]}/expire", {})
    desk.api("POST", f"/v1/payments/{refs[3]}/cancel")
    says = ("お支払いが完了しました", "残高または利用可能枠", "お支払いの時間が過ぎました", "取り消されました")
    for ref, words in zip(refs, says, strict=True):
        page = desk.client.get(f"/pay/{ref}").text
        assert words in page
        assert RETURN_URL in page
        assert 'name="cvc"' not in page


def test_the_page_is_in_the_merchants_language_unless_it_was_chosen(desk: Desk) -> None:
    path = f"/pay/{desk.card(locale='en')['id']}"
    assert '<html lang="en">' in desk.client.get(path, headers={"Accept-Language": "ja"}).text
    back = desk.client.get("/language/ja", query_string={"back": path})
    assert back.location == path
    assert '<html lang="ja">' in desk.client.get(path).text
    assert desk.client.get("/language/ja", query_string={"back": "//evil.example"}).location == "/"


def test_the_headers(desk: Desk) -> None:
    page = desk.client.get(f"/pay/{desk.card()['id']}")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action" not in policy, "where the merchant sends the browser on is not known here"
    assert "form-action 'self'" in desk.client.get("/console").headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("action", ["", "/challenge", "/leave"])
def test_no_other_site_sends_our_forms(desk: Desk, action: str) -> None:
    ref = desk.card()["id"]
    desk.client.get(f"/pay/{ref}")
    for form in ({}, {"token": "x"}, {"token": "あ"}):
        assert desk.client.post(f"/pay/{ref}{action}", data={**typed(BY_NAME["visa"]), **form}).status_code == 400
    token = re.search(r'name="token" value="([^"]+)"', desk.client.get(f"/pay/{ref}").text)
    assert token is not None
    foreign = desk.client.post(
        f"/pay/{ref}{action}",
        data={**typed(BY_NAME["visa"]), "token": token[1]},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert foreign.status_code == 400
    assert desk.seen(ref)["state"] == "pending"


def test_a_slip_has_no_card_page(desk: Desk) -> None:
    assert desk.client.get(f"/pay/{desk.slip()['id']}").status_code == 404
    assert desk.client.get("/pay/pay_none").status_code == 404
    assert desk.client.get("/pay/%E7%B5%84").status_code == 404
