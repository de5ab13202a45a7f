"""The adapter of Stripe against its documented payloads, over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from app.charge.gateways.stripe import STORES, VERSION, StripeGateway
from app.charge.ports import Chain, EventRefused, GatewayRefused, GatewayState, GatewayUnavailable
from tests.charge.gateways.contract import card_request, konbini_request
from tests.charge.gateways.replay import ODD_ANSWERS, Replay, documented, replay

KEY, SECRET, OTHER_SECRET = "sk_test_" + "k" * 24, "whsec_one", "whsec_the_next"
ORDER = UUID(int=7)
OURS = {"order_id": str(ORDER)}
PAGE = documented("stripe_session")["id"]
INTENT = documented("stripe_intent")["id"]
CHARGE = documented("stripe_charge")["id"]
_PAGE, _INTENT = f"/v1/checkout/sessions/{PAGE}", f"/v1/payment_intents/{INTENT}"


@pytest.fixture
def vendor() -> Iterator[Replay]:
    with replay() as running:
        yield running


@pytest.fixture
def adapter(vendor: Replay) -> StripeGateway:
    return gateway(vendor)


def gateway(vendor: Replay, **options: Any) -> StripeGateway:
    return StripeGateway(key=KEY, webhook_secrets=(SECRET, OTHER_SECRET), url=vendor.url, **options)


def paid(**changes: Any) -> dict[str, Any]:
    """A PaymentIntent that succeeded, with its charge expanded."""
    given = {"status": "succeeded", "amount_received": 5_000, "metadata": OURS}
    return documented("stripe_intent", **{**given, "latest_charge": documented("stripe_charge"), **changes})


def test_a_card_is_a_checkout_page_with_3d_secure(vendor: Replay, adapter: StripeGateway) -> None:
    vendor.says("POST /v1/checkout/sessions", documented("stripe_session"))
    request = card_request(amount_yen=5_000)
    for _ in range(2):
        page = adapter.start_card(request)
    assert (page.ref, page.url) == (PAGE, documented("stripe_session")["url"])
    first, again = vendor.asked
    assert first.form == again.form
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"] == str(request.order_id)
    assert first.headers["Stripe-Version"] == VERSION
    assert first.headers["Authorization"].startswith("Basic ")
    form = first.form
    assert form["line_items[0][price_data][unit_amount]"] == "5000", "yen have no smaller unit"
    assert form["payment_method_options[card][request_three_d_secure]"] == "any"
    assert form["metadata[order_id]"] == form["payment_intent_data[metadata][order_id]"] == str(request.order_id)
    assert form["success_url"] == form["cancel_url"] == request.return_url
    assert int(form["expires_at"]) == int(request.pay_until.timestamp())


@pytest.mark.parametrize("chain", STORES)
def test_each_chain_has_its_slip(vendor: Replay, adapter: StripeGateway, chain: Chain) -> None:
    vendor.says("POST /v1/payment_intents", documented("stripe_konbini"))
    request = konbini_request(chain=chain)
    made = adapter.start_konbini(request)
    digit = str(["familymart", "lawson", "ministop", "seicomart"].index(STORES[chain]) + 1)
    assert made.receipt_no is not None
    assert made.receipt_no.startswith(digit * 5)
    assert (made.ref, made.chain, made.confirmation_no) == (INTENT, chain, "09012345678")
    assert made.voucher_url == "https://payments.stripe.com/konbini/voucher/test_YWNjdF8x"
    assert made.pay_until == datetime(2026, 12, 1, 14, 59, 59, tzinfo=UTC)
    form = vendor.asked[0].form
    assert (form["amount"], form["currency"], form["confirm"]) == ("3000", "jpy", "true")
    assert form["payment_method_options[konbini][confirmation_number]"] == request.phone
    assert int(form["payment_method_options[konbini][expires_at]"]) == int(request.pay_until.timestamp())


def test_the_chains_on_offer_are_stripes_four() -> None:
    assert set(StripeGateway.chains) == {Chain.LAWSON, Chain.FAMILYMART, Chain.MINISTOP, Chain.SEICOMART}


@pytest.mark.parametrize(
    ("intent", "state"),
    [
        ({"status": "requires_action"}, GatewayState.PENDING),
        ({"status": "processing"}, GatewayState.PENDING),
        ({"status": "requires_confirmation"}, GatewayState.PENDING),
        ({"status": "requires_payment_method"}, GatewayState.PENDING),
        (
            {
                "status": "requires_payment_method",
                "payment_method_types": ["konbini"],
                "last_payment_error": {
                    "code": "payment_intent_payment_attempt_expired",
                    "type": "invalid_request_error",
                },
            },
            GatewayState.EXPIRED,
        ),
        (
            {
                "status": "requires_payment_method",
                "last_payment_error": {"code": "card_declined", "type": "card_error"},
            },
            GatewayState.PENDING,
        ),
        ({"status": "canceled"}, GatewayState.CANCELLED),
    ],
    ids=str,
)
def test_what_became_of_an_intent(
    vendor: Replay, adapter: StripeGateway, intent: dict[str, Any], state: GatewayState
) -> None:
    """A card that was declined may be followed by another on the same page; a slip whose time ran out is over."""
    vendor.says(f"GET {_INTENT}", documented("stripe_intent", metadata=OURS, **intent))
    found = adapter.lookup(INTENT)
    assert (found.ref, found.order_id, found.state, found.received) == (INTENT, ORDER, state, ())
    assert vendor.asked[0].query == {"expand[]": "latest_charge"}


def test_paid_it_tells_the_charge_and_the_card(vendor: Replay, adapter: StripeGateway) -> None:
    vendor.says(f"GET {_INTENT}", paid())
    found = adapter.lookup(INTENT)
    [received] = found.received
    assert (found.state, received.id, received.amount_yen) == (GatewayState.PAID, CHARGE, 5_000)
    assert received.received_at == datetime.fromtimestamp(1234567890, UTC)
    assert found.card is not None
    assert (found.card.fingerprint, found.card.brand, found.card.last4) == ("AOB934RVNwzk6xtn", "visa", "4242")


@pytest.mark.parametrize(
    ("details", "fingerprint"),
    [
        ({"type": "konbini", "konbini": {"store": {"chain": "seicomart"}}}, None),
        ({"type": "card", "card": {"brand": "visa", "last4": None, "fingerprint": "x"}}, None),
        (
            {
                "type": "card",
                "card": {"brand": "jcb", "last4": "0000", "fingerprint": None, "exp_month": 8, "exp_year": 2030},
            },
            "jcb:0000:8/2030",
        ),
    ],
    ids=["konbini", "no digits", "no fingerprint"],
)
def test_money_does_not_wait_for_what_its_card_looks_like(
    vendor: Replay, adapter: StripeGateway, details: dict[str, Any], fingerprint: str | None
) -> None:
    charge = documented("stripe_charge", payment_method_details=details)
    vendor.says(f"GET {_INTENT}", paid(latest_charge=charge))
    found = adapter.lookup(INTENT)
    assert (found.state, len(found.received)) == (GatewayState.PAID, 1)
    assert (found.card.fingerprint if found.card else None) == fingerprint


@pytest.mark.parametrize(
    ("page", "state"),
    [
        ({"status": "open"}, GatewayState.PENDING),
        ({"status": "expired"}, GatewayState.EXPIRED),
        (
            {"status": "complete", "payment_intent": documented("stripe_intent", status="processing")},
            GatewayState.PENDING,
        ),
        ({"status": "complete", "payment_status": "paid", "payment_intent": paid()}, GatewayState.PAID),
        ({"status": "expired", "payment_intent": paid()}, GatewayState.PAID),
    ],
    ids=["open", "expired", "processing", "paid", "paid before it expired"],
)
def test_what_became_of_a_page(
    vendor: Replay, adapter: StripeGateway, page: dict[str, Any], state: GatewayState
) -> None:
    vendor.says(f"GET {_PAGE}", documented("stripe_session", metadata=OURS, **page))
    found = adapter.lookup(PAGE)
    assert (found.ref, found.order_id, found.state, len(found.received)) == (
        PAGE,
        ORDER,
        state,
        state is GatewayState.PAID,
    )
    assert vendor.asked[0].query == {"expand[]": "payment_intent.latest_charge"}


@pytest.mark.parametrize("ref", [PAGE, INTENT])
def test_cancelled_it_says_what_it_is_then(vendor: Replay, adapter: StripeGateway, ref: str) -> None:
    is_page = ref == PAGE
    path, act = (_PAGE, f"{_PAGE}/expire") if is_page else (_INTENT, f"{_INTENT}/cancel")
    over = documented("stripe_session", status="expired") if is_page else documented("stripe_intent", status="canceled")
    was_paid = documented("stripe_session", status="complete", payment_intent=paid()) if is_page else paid()
    vendor.says(f"POST {act}", over)
    vendor.says(f"GET {path}", over)
    assert adapter.cancel(ref) is (GatewayState.EXPIRED if is_page else GatewayState.CANCELLED)
    vendor.says(f"POST {act}", documented("stripe_error"), status=400)
    vendor.says(f"GET {path}", was_paid)
    assert adapter.cancel(ref) is GatewayState.PAID


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (documented("stripe_error"), "payment_intent_unexpected_state"),
        (
            {"error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}},
            "insufficient",
        ),
        ({"error": {"type": "invalid_request_error", "message": "no such thing"}}, "invalid_request_error"),
    ],
    ids=["code", "decline code", "only a type"],
)
def test_a_refusal_is_told_in_stripes_words(
    vendor: Replay, adapter: StripeGateway, error: dict[str, Any], code: str
) -> None:
    vendor.says("POST /v1/payment_intents", error, status=402)
    with pytest.raises(GatewayRefused, match=code):
        adapter.start_konbini(konbini_request())


@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_where_nobody_knows_what_was_done(vendor: Replay, adapter: StripeGateway, answer: str) -> None:
    status, body = ODD_ANSWERS[answer]
    for asked in ("POST /v1/checkout/sessions", "POST /v1/payment_intents", f"GET {_INTENT}", f"POST {_INTENT}/cancel"):
        vendor.says(asked, body, status=status)
    for call in (
        lambda: adapter.start_card(card_request()),
        lambda: adapter.start_konbini(konbini_request()),
        lambda: adapter.lookup(INTENT),
        lambda: adapter.cancel(INTENT),
    ):
        with pytest.raises(GatewayUnavailable):
            call()


@pytest.mark.parametrize(
    "odd",
    [
        {"status": "unheard of"},
        {"latest_charge": None},
        {"latest_charge": CHARGE},
        {"amount_received": "5000"},
        {"amount_received": 0},
    ],
    ids=str,
)
def test_a_payment_that_cannot_be_read_is_looked_at_again(
    vendor: Replay, adapter: StripeGateway, odd: dict[str, Any]
) -> None:
    vendor.says(f"GET {_INTENT}", paid(**odd))
    with pytest.raises(GatewayUnavailable):
        adapter.lookup(INTENT)


@pytest.mark.parametrize("metadata", [{}, None, {"order_id": "R-2026-1"}, {"order_id": 7}, {"shop": "web"}], ids=str)
def test_a_payment_for_somebody_else_names_no_order(vendor: Replay, adapter: StripeGateway, metadata: Any) -> None:
    vendor.says(f"GET {_INTENT}", paid(metadata=metadata))
    assert adapter.lookup(INTENT).order_id is None


def test_a_connection_that_ends_and_one_that_waits(vendor: Replay) -> None:
    vendor.says("POST /v1/payment_intents", documented("stripe_konbini"))
    vendor.cuts, request = 1, konbini_request()
    with pytest.raises(GatewayUnavailable):
        gateway(vendor).start_konbini(request)
    vendor.holds = threading.Event()
    with pytest.raises(GatewayUnavailable):
        gateway(vendor, timeouts_s=(1, 0.1)).start_konbini(request)
    vendor.holds.set()
    assert gateway(vendor).start_konbini(request).ref == INTENT
    assert len({asked.headers["Idempotency-Key"] for asked in vendor.asked}) == 1


def event(subject: dict[str, Any], kind: str = "payment_intent.succeeded") -> bytes:
    return json.dumps(documented("stripe_event", type=kind, data={"object": subject})).encode()


def signed(body: bytes, secret: str = SECRET, *, at: float | None = None) -> dict[str, str]:
    instant = str(int(at if at is not None else time.time()))
    proof = hmac.new(secret.encode(), f"{instant}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={instant},v1={proof},v0={'0' * 64}"}


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
@pytest.mark.parametrize(
    ("name", "ref"), [("stripe_intent", INTENT), ("stripe_session", PAGE), ("stripe_charge", INTENT)]
)
def test_an_event_names_its_payment(adapter: StripeGateway, secret: str, name: str, ref: str) -> None:
    body = event(documented(name))
    said = adapter.parse_event({name.upper(): value for name, value in signed(body, secret).items()}, body)
    assert (said.id, said.ref) == (documented("stripe_event")["id"], ref)


def test_a_signature_by_both_secrets_is_taken_while_one_is_turned_over(adapter: StripeGateway) -> None:
    body = event(documented("stripe_intent"))
    by_old, by_new = (signed(body, secret)["Stripe-Signature"].split(",") for secret in ("whsec_gone", SECRET))
    adapter.parse_event({"Stripe-Signature": ",".join([by_new[0], by_old[1], by_new[1]])}, body)


def test_an_event_of_something_else_leads_nowhere(adapter: StripeGateway) -> None:
    body = event({"object": "payout", "id": "po_1"}, "payout.paid")
    assert adapter.parse_event(signed(body), body).ref is None


@pytest.mark.parametrize("age_s", [-400, 400])
def test_an_old_event_and_one_of_the_future_are_refused(adapter: StripeGateway, age_s: int) -> None:
    body = event(documented("stripe_intent"))
    with pytest.raises(EventRefused):
        adapter.parse_event(signed(body, at=time.time() - age_s), body)


@pytest.mark.parametrize(
    "signature",
    ["", "t=", "v1=00", "t=1", f"t={'9' * 13},v1=00", "t=１,v1=00", "t=-1,v1=0", "t=1.5", "あ", "t=1,v1=あ", ","],
)
def test_an_event_of_somebody_else(adapter: StripeGateway, signature: str) -> None:
    body = event(documented("stripe_intent"))
    with pytest.raises(EventRefused):
        adapter.parse_event({"Stripe-Signature": signature}, body)
    with pytest.raises(EventRefused):
        adapter.parse_event({}, body)
    with pytest.raises(EventRefused):
        adapter.parse_event(signed(body, "another secret"), body)
    with pytest.raises(EventRefused):
        adapter.parse_event(signed(body), body + b" ")


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b"null", b'{"id": 1}', b'{"id": "e", "type": "t"}', b"x" * 300_000]
)
def test_an_event_that_makes_no_sense(adapter: StripeGateway, body: bytes) -> None:
    with pytest.raises(EventRefused):
        adapter.parse_event(signed(body), body)


REPORT = (
    "balance_transaction_id,created,available_on,currency,gross,fee,net,reporting_category,charge_id,payment_intent_id,"
    "payment_metadata[order_id]\n"
)
LINE = f"txn_1,2026-11-25 03:10:00,2026-11-30 00:00:00,jpy,{{gross}},{{fee}},2892,{{kind}},{CHARGE},{INTENT},{ORDER}\n"


@pytest.mark.parametrize("gross", ["3000", "3000.00"])
def test_the_report_tells_each_charge(adapter: StripeGateway, gross: str) -> None:
    refund, charge = (LINE.format(gross=gross, fee="108", kind=kind) for kind in ("refund", "charge"))
    [line] = adapter.settlement("\ufeff" + REPORT + refund + charge)
    assert (line.number, line.received_id, line.ref, line.order_id) == (3, CHARGE, INTENT, ORDER)
    assert (line.amount_yen, line.fee_yen, line.settled_on) == (3_000, 108, date(2026, 11, 25))


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("a,b\n", "line 1: no column created, gross, fee"),
        (REPORT + LINE.format(gross="30.50", fee="1", kind="charge"), "line 2: not an amount"),
        (REPORT + LINE.format(gross="-3000", fee="1", kind="charge"), "line 2: not an amount"),
        (REPORT + LINE.format(gross="3000", fee="x", kind="charge"), "line 2: not an amount"),
        (REPORT + LINE.format(gross="3000", fee="1", kind="charge").replace("2026-11-25", "25.11.2026"), "line 2: "),
        (REPORT + LINE.format(gross="3000", fee="1", kind="charge").replace(CHARGE, ""), "line 2: not a text"),
        (REPORT + '"open', "line "),
    ],
)
def test_a_report_that_cannot_be_read_names_its_line(adapter: StripeGateway, file: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        list(adapter.settlement(file))


def test_nothing_personal_is_logged(vendor: Replay, adapter: StripeGateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.says("POST /v1/payment_intents", documented("stripe_konbini"))
    adapter.start_konbini(konbini_request(name="秘密 太郎", email="himitsu@example.ac.jp", phone="09087654321"))
    for private in ("himitsu", "09087654321", "秘密", KEY):
        assert private not in caplog.text
        assert private not in repr(adapter)
