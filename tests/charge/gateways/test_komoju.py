"""The adapter of KOMOJU against its documented payloads, over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.charge.gateways.komoju import STORES, KomojuGateway
from app.charge.ports import Chain, EventRefused, GatewayRefused, GatewayState, GatewayUnavailable
from tests.charge.gateways.contract import card_request, konbini_request
from tests.charge.gateways.replay import ODD_ANSWERS, Replay, documented, replay

KEY, SECRET, OTHER_SECRET = "sk_test_" + "k" * 24, "the webhook's secret", "the one after it"
ORDER = UUID(int=7)
SESSION = documented("komoju_session")["id"]
PAYMENT = documented("komoju_konbini")["id"]


@pytest.fixture
def vendor() -> Iterator[Replay]:
    with replay() as running:
        yield running


@pytest.fixture
def adapter(vendor: Replay) -> KomojuGateway:
    return gateway(vendor)


def gateway(vendor: Replay, **options: Any) -> KomojuGateway:
    return KomojuGateway(key=KEY, webhook_secrets=(SECRET, OTHER_SECRET), url=f"{vendor.url}/api/v1", **options)


def slip(**changes: Any) -> dict[str, Any]:
    return documented("komoju_konbini", **{"external_order_num": str(ORDER), "status": "authorized", **changes})


def card(**changes: Any) -> dict[str, Any]:
    return documented("komoju_card", **{"external_order_num": str(ORDER), **changes})


def test_a_card_is_a_session_for_cards_only(vendor: Replay, adapter: KomojuGateway) -> None:
    vendor.says("POST /api/v1/sessions", documented("komoju_session"))
    request = card_request(amount_yen=5_000)
    for _ in range(2):
        page = adapter.start_card(request)
    assert (page.ref, page.url) == (f"s_{SESSION}", documented("komoju_session")["session_url"])
    first, again = vendor.asked
    assert first.json == again.json
    assert first.headers["X-KOMOJU-IDEMPOTENCY"] == again.headers["X-KOMOJU-IDEMPOTENCY"] == str(request.order_id)
    assert first.headers["Authorization"].startswith("Basic ")
    said = first.json
    assert (said["amount"], said["currency"], said["payment_types"]) == (5_000, "JPY", ["credit_card"])
    assert said["payment_data"]["external_order_num"] == str(request.order_id)
    assert (said["return_url"], said["default_locale"]) == (request.return_url, "ja")


@pytest.mark.parametrize("chain", Chain)
def test_each_chain_has_its_name_and_its_slip(vendor: Replay, adapter: KomojuGateway, chain: Chain) -> None:
    vendor.says("POST /api/v1/payments", slip(payment_details__store=STORES[chain]))
    request = konbini_request(chain=chain)
    made = adapter.start_konbini(request)
    assert (made.chain, made.ref, made.receipt_no, made.confirmation_no) == (chain, f"p_{PAYMENT}", "12345", "1111")
    assert made.voucher_url == f"https://komoju.com/en/instructions/{PAYMENT}"
    assert made.pay_until == datetime(2018, 10, 18, 14, 59, 59, tzinfo=UTC)
    details = vendor.asked[0].json["payment_details"]
    assert details == {
        "type": "konbini",
        "store": STORES[chain],
        "email": request.email,
        "phone": request.phone,
        "expiry_days": 7,
    }


def test_after_midnight_the_same_order_is_the_same_request(vendor: Replay, adapter: KomojuGateway) -> None:
    """An idempotency key with another body is an error: days count from when it was ordered."""
    vendor.says("POST /api/v1/payments", slip())
    yesterday = datetime.now(UTC) - timedelta(days=1)
    request = konbini_request(ordered_at=yesterday, pay_until=yesterday + timedelta(days=7))
    adapter.start_konbini(request)
    assert vendor.asked[0].json["payment_details"]["expiry_days"] == 7


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("pending", GatewayState.PENDING),
        ("authorized", GatewayState.PENDING),
        ("failed", GatewayState.FAILED),
        ("cancelled", GatewayState.CANCELLED),
        ("expired", GatewayState.EXPIRED),
    ],
)
def test_what_became_of_a_slip(vendor: Replay, adapter: KomojuGateway, status: str, state: GatewayState) -> None:
    vendor.says(f"GET /api/v1/payments/{PAYMENT}", slip(status=status))
    found = adapter.lookup(f"p_{PAYMENT}")
    assert (found.ref, found.order_id, found.state, found.received) == (f"p_{PAYMENT}", ORDER, state, ())
    assert (found.card, found.failure) == (None, "payment_failed" if state is GatewayState.FAILED else None)


@pytest.mark.parametrize("status", ["captured", "refunded"])
def test_paid_it_tells_what_the_customer_paid_without_komojus_own_fee(
    vendor: Replay, adapter: KomojuGateway, status: str
) -> None:
    """A refund at the gateway's console takes nothing back here: the office does that, with its reason."""
    paid = slip(status=status, captured_at="2026-11-25T03:10:00Z", total=3_190, payment_method_fee=190)
    vendor.says(f"GET /api/v1/payments/{PAYMENT}", paid)
    found = adapter.lookup(f"p_{PAYMENT}")
    [received] = found.received
    assert (found.state, received.id, received.amount_yen) == (GatewayState.PAID, PAYMENT, 3_000)
    assert received.received_at == datetime(2026, 11, 25, 3, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "payment", "state"),
    [
        ("pending", None, GatewayState.PENDING),
        ("pending", card(status="failed"), GatewayState.PENDING),
        ("pending", card(), GatewayState.PAID),
        ("completed", card(), GatewayState.PAID),
        ("completed", card(status="authorized"), GatewayState.PENDING),
        ("completed", card(status="failed"), GatewayState.FAILED),
        ("cancelled", card(status="failed"), GatewayState.CANCELLED),
        ("cancelled", None, GatewayState.CANCELLED),
        ("expired", None, GatewayState.EXPIRED),
    ],
)
def test_what_became_of_a_page(
    vendor: Replay, adapter: KomojuGateway, status: str, payment: dict[str, Any] | None, state: GatewayState
) -> None:
    """「payment may be re-attempted」: one that failed ends nothing while the page is open."""
    vendor.says(f"GET /api/v1/sessions/{SESSION}", documented("komoju_session", status=status, payment=payment))
    found = adapter.lookup(f"s_{SESSION}")
    assert (found.ref, found.state, len(found.received)) == (f"s_{SESSION}", state, state is GatewayState.PAID)
    assert found.order_id == (ORDER if payment else None)
    if state is GatewayState.PAID:
        assert found.card is not None
        assert (found.card.brand, found.card.last4, found.card.fingerprint) == ("visa", "1111", "visa:1111:1/2019")


@pytest.mark.parametrize("number", [None, "", "4573761470540-1bbf1e3247aa3258", "ORDER4"])
def test_a_payment_for_somebody_else_names_no_order(vendor: Replay, adapter: KomojuGateway, number: str | None) -> None:
    vendor.says(f"GET /api/v1/payments/{PAYMENT}", slip(external_order_num=number))
    assert adapter.lookup(f"p_{PAYMENT}").order_id is None


def test_money_does_not_wait_for_what_its_card_looks_like(vendor: Replay, adapter: KomojuGateway) -> None:
    payment = card(payment_details={"type": "credit_card", "email": "test@example.com"})
    vendor.says(f"GET /api/v1/sessions/{SESSION}", documented("komoju_session", status="completed", payment=payment))
    found = adapter.lookup(f"s_{SESSION}")
    assert (found.state, found.card, found.received[0].amount_yen) == (GatewayState.PAID, None, 2_780)


@pytest.mark.parametrize("kind", ["s", "p"])
def test_cancelled_it_says_what_it_is_then(vendor: Replay, adapter: KomojuGateway, kind: str) -> None:
    path = f"/api/v1/sessions/{SESSION}" if kind == "s" else f"/api/v1/payments/{PAYMENT}"
    over = documented("komoju_session", status="cancelled") if kind == "s" else slip(status="cancelled")
    paid = documented("komoju_session", status="completed", payment=card()) if kind == "s" else card(id=PAYMENT)
    ref = f"s_{SESSION}" if kind == "s" else f"p_{PAYMENT}"
    vendor.says(f"POST {path}/cancel", over)
    vendor.says(f"GET {path}", over)
    assert adapter.cancel(ref) is GatewayState.CANCELLED
    vendor.says(f"POST {path}/cancel", documented("komoju_error"), status=422)
    vendor.says(f"GET {path}", paid)
    assert adapter.cancel(ref) is GatewayState.PAID


def test_a_refusal_is_told_in_komojus_words(vendor: Replay, adapter: KomojuGateway) -> None:
    vendor.says("POST /api/v1/payments", documented("komoju_error"), status=422)
    with pytest.raises(GatewayRefused, match="unprocessable_entity"):
        adapter.start_konbini(konbini_request())
    for ref in ("", "x_1", "s_", "pay", "s_../payments"):
        with pytest.raises(GatewayRefused):
            adapter.lookup(ref)


@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_where_nobody_knows_what_was_done(vendor: Replay, adapter: KomojuGateway, answer: str) -> None:
    status, body = ODD_ANSWERS[answer]
    for asked in ("POST /api/v1/sessions", "POST /api/v1/payments", f"GET /api/v1/payments/{PAYMENT}"):
        vendor.says(asked, body, status=status)
    for call in (
        lambda: adapter.start_card(card_request()),
        lambda: adapter.start_konbini(konbini_request()),
        lambda: adapter.lookup(f"p_{PAYMENT}"),
        lambda: adapter.cancel(f"p_{PAYMENT}"),
    ):
        with pytest.raises((GatewayUnavailable, GatewayRefused)) as raised:
            call()
        assert raised.type is GatewayUnavailable or raised.value.args == ("not_found",)


@pytest.mark.parametrize(
    "odd",
    [
        {"status": "unheard of"},
        {"status": "captured", "captured_at": None},
        {"status": "captured", "captured_at": "2026-11-25T03:10:00"},
        {"status": "captured", "captured_at": "2026-11-25T03:10:00Z", "total": "330"},
        {"status": "captured", "captured_at": "2026-11-25T03:10:00Z", "total": -330},
    ],
    ids=str,
)
def test_a_payment_that_cannot_be_read_is_looked_at_again(
    vendor: Replay, adapter: KomojuGateway, odd: dict[str, Any]
) -> None:
    vendor.says(f"GET /api/v1/payments/{PAYMENT}", slip(**odd))
    with pytest.raises(GatewayUnavailable):
        adapter.lookup(f"p_{PAYMENT}")


def test_a_connection_that_ends_and_one_that_waits(vendor: Replay) -> None:
    vendor.says("POST /api/v1/payments", slip())
    vendor.cuts, request = 1, konbini_request()
    with pytest.raises(GatewayUnavailable):
        gateway(vendor).start_konbini(request)
    vendor.holds = threading.Event()
    with pytest.raises(GatewayUnavailable):
        gateway(vendor, timeouts_s=(1, 0.1)).start_konbini(request)
    vendor.holds.set()
    assert gateway(vendor).start_konbini(request).ref == f"p_{PAYMENT}"
    assert len({asked.headers["X-KOMOJU-IDEMPOTENCY"] for asked in vendor.asked}) == 1


def event(kind: str = "payment.captured", **data: Any) -> bytes:
    return json.dumps(documented("komoju_event", type=kind, data=slip(**data))).encode()


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Komoju-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
def test_an_event_names_its_payment(adapter: KomojuGateway, secret: str) -> None:
    body = event()
    said = adapter.parse_event({name.upper(): value for name, value in signed(body, secret).items()}, body)
    assert (said.id, said.kind, said.ref) == (documented("komoju_event")["id"], "payment.captured", f"p_{PAYMENT}")


def test_the_test_of_the_address_is_taken_and_leads_nowhere(adapter: KomojuGateway) -> None:
    body = json.dumps(documented("komoju_event", type="ping", data={})).encode()
    assert adapter.parse_event(signed(body), body).ref is None


@pytest.mark.parametrize("signature", ["", "0" * 64, "あ", signed(event(), "another secret")["X-Komoju-Signature"]])
def test_an_event_of_somebody_else(adapter: KomojuGateway, signature: str) -> None:
    with pytest.raises(EventRefused):
        adapter.parse_event({"X-Komoju-Signature": signature}, event())
    with pytest.raises(EventRefused):
        adapter.parse_event({}, event())
    with pytest.raises(EventRefused):
        adapter.parse_event(signed(event()), event(amount=301))


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b"null", b'{"id": 1}', b'{"id": "e", "type": "payment.captured"}', b"x" * 70_000]
)
def test_an_event_that_makes_no_sense(adapter: KomojuGateway, body: bytes) -> None:
    with pytest.raises(EventRefused):
        adapter.parse_event(signed(body), body)


def test_its_settlement_file_is_not_guessed_at(adapter: KomojuGateway) -> None:
    with pytest.raises(ValueError, match="no documented form"):
        list(adapter.settlement("a,b\n1,2\n"))


def test_nothing_personal_is_logged(vendor: Replay, adapter: KomojuGateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.says("POST /api/v1/payments", slip())
    adapter.start_konbini(konbini_request(order_id=uuid4(), email="himitsu@example.ac.jp", phone="09087654321"))
    for private in ("himitsu", "09087654321", KEY):
        assert private not in caplog.text
        assert private not in repr(adapter)
