"""The sandbox's adapter against the real program, over HTTP."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from standardwebhooks import Webhook

from app.charge.gateways.chosen import NoGateway, gateway
from app.charge.gateways.sandbox import SandboxGateway
from app.charge.ports import Chain, EventRefused, GatewayRefused, GatewayState, GatewayUnavailable
from app.settings import Settings
from tests.charge.gateways.contract import card_request, konbini_request
from tests.charge.vendor import Vendor
from tests.ports import free_port

NUMBERS = {
    Chain.LAWSON: (6, True, False),
    Chain.MINISTOP: (6, True, False),
    Chain.SEICOMART: (6, True, False),
    Chain.FAMILYMART: (12, False, True),
    Chain.DAILY_YAMAZAKI: (11, False, False),
    Chain.SEVEN_ELEVEN: (13, False, False),
}
"""Digits of the number, whether the phone number goes with it, whether a company's code does."""


@pytest.fixture
def adapter(sandbox: Vendor) -> SandboxGateway:
    return sandbox.gateway()


def test_a_card_payment_is_started_once_and_found_again(sandbox: Vendor, adapter: SandboxGateway) -> None:
    request = card_request()
    page = adapter.start_card(request)
    assert page.url == f"{sandbox.url}/pay/{page.ref}"
    assert adapter.start_card(request) == page
    found = adapter.lookup(page.ref)
    assert (found.ref, found.order_id, found.state, found.received) == (
        page.ref,
        request.order_id,
        GatewayState.PENDING,
        (),
    )


def test_a_card_without_challenge_pays_and_is_known_again(sandbox: Vendor, adapter: SandboxGateway) -> None:
    one, other = (adapter.start_card(card_request()).ref for _ in range(2))
    for ref in (one, other):
        sandbox.card(ref, "jcb")
    found = adapter.lookup(one)
    assert found.state is GatewayState.PAID
    assert [each.amount_yen for each in found.received] == [5_000]
    assert abs(found.received[0].received_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert found.card is not None
    assert (found.card.brand, found.card.last4) == ("jcb", "0000")
    again = adapter.lookup(other)
    assert again.card == found.card
    assert again.received[0].id != found.received[0].id


@pytest.mark.parametrize("chain", Chain)
def test_each_chain_has_its_numbers(adapter: SandboxGateway, chain: Chain) -> None:
    request = konbini_request(chain=chain)
    slip = adapter.start_konbini(request)
    digits, by_phone, by_company = NUMBERS[chain]
    assert slip.chain is chain
    assert slip.receipt_no is not None
    assert slip.receipt_no.isdigit()
    assert len(slip.receipt_no) == digits
    assert slip.confirmation_no == (request.phone if by_phone else None)
    assert (slip.company_code is not None) == by_company
    assert slip.barcode == (slip.receipt_no if chain is Chain.SEVEN_ELEVEN else None)
    assert slip.pay_until == request.pay_until
    assert adapter.start_konbini(request) == slip


def test_an_order_stands_for_one_payment(adapter: SandboxGateway) -> None:
    request = konbini_request()
    adapter.start_konbini(request)
    with pytest.raises(GatewayRefused, match="idempotency_key_reused"):
        adapter.start_konbini(konbini_request(order_id=request.order_id, amount_yen=4_000))


def test_many_at_once_make_one_payment(adapter: SandboxGateway) -> None:
    request, refs = card_request(), list[str]()
    starting = [threading.Thread(target=lambda: refs.append(adapter.start_card(request).ref)) for _ in range(8)]
    for thread in starting:
        thread.start()
    for thread in starting:
        thread.join()
    assert len(refs) == 8
    assert len(set(refs)) == 1


def test_what_came_of_it(sandbox: Vendor, adapter: SandboxGateway) -> None:
    refs = [adapter.start_konbini(konbini_request()).ref for _ in range(3)]
    sandbox.expire(refs[0])
    assert adapter.cancel(refs[1]) is GatewayState.CANCELLED
    assert adapter.cancel(refs[1]) is GatewayState.CANCELLED
    sandbox.pay(refs[2])
    assert adapter.cancel(refs[2]) is GatewayState.PAID
    states = [adapter.lookup(ref).state for ref in refs]
    assert states == [GatewayState.EXPIRED, GatewayState.CANCELLED, GatewayState.PAID]
    page = adapter.start_card(card_request())
    sandbox.card(page.ref, "no_funds")
    found = adapter.lookup(page.ref)
    assert (found.state, found.failure) == (GatewayState.FAILED, "insufficient_funds")
    assert found.received == ()


def test_late_double_and_other_money_is_all_there(sandbox: Vendor, adapter: SandboxGateway) -> None:
    ref = adapter.start_konbini(konbini_request()).ref
    sandbox.pay(ref, late=True)
    sandbox.pay(ref, amount_yen=2_900, times=2)
    found = adapter.lookup(ref)
    assert found.state is GatewayState.PAID
    assert [each.amount_yen for each in found.received] == [3_000, 2_900, 2_900]
    assert len({each.id for each in found.received}) == 3


def test_a_payment_nobody_knows(adapter: SandboxGateway) -> None:
    for ref in ("pay_none", "../payments", "a/b?c#d", "組合", "\x00", " "):
        with pytest.raises(GatewayRefused, match="not_found"):
            adapter.lookup(ref)
        with pytest.raises(GatewayRefused, match="not_found"):
            adapter.cancel(ref)


@pytest.mark.parametrize("kind", ["api_500", "api_500_after", "api_cut", "api_timeout"])
def test_no_answer_is_no_refusal_and_asking_again_makes_no_second_payment(sandbox: Vendor, kind: str) -> None:
    adapter, request = sandbox.gateway(timeouts_s=(3, 0.3)), konbini_request()
    sandbox.fault(kind, order_id=request.order_id, operation="create", seconds=1)
    with pytest.raises(GatewayUnavailable):
        adapter.start_konbini(request)
    slip = adapter.start_konbini(request)
    payment = sandbox.of_order(request.order_id)
    assert payment is not None
    assert payment["id"] == slip.ref


@pytest.mark.parametrize("operation", ["get", "cancel"])
def test_every_operation_can_fail(sandbox: Vendor, operation: str) -> None:
    adapter, request = sandbox.gateway(), card_request()
    ref = adapter.start_card(request).ref
    calls = {
        "get": lambda: adapter.lookup(ref),
        "cancel": lambda: adapter.cancel(ref),
    }
    sandbox.fault("api_cut", payment_id=ref, operation=operation)
    with pytest.raises(GatewayUnavailable):
        calls[operation]()
    calls[operation]()
    assert sandbox.calls()[0]["fault"] is None
    assert sandbox.calls()[1]["fault"] == "api_cut"


def test_a_slow_answer_is_an_answer(sandbox: Vendor, adapter: SandboxGateway) -> None:
    request = card_request()
    sandbox.fault("api_slow", order_id=request.order_id, seconds=0.2)
    assert adapter.start_card(request).ref


def test_a_wrong_key_says_nothing_of_the_payment(sandbox: Vendor, adapter: SandboxGateway) -> None:
    ref = adapter.start_card(card_request()).ref
    stranger = SandboxGateway(url=sandbox.url, key="sk_wrong", webhook_secret=sandbox.webhook_secret)
    with pytest.raises(GatewayUnavailable, match="401"):
        stranger.lookup(ref)


def test_nobody_there() -> None:
    adapter = SandboxGateway(url=f"http://localhost:{free_port()}", key="k", webhook_secret="whsec_c2VjcmV0")
    with pytest.raises(GatewayUnavailable):
        adapter.lookup("pay_1")


ODD_ANSWERS = [
    (200, b""),
    (200, b"<html>"),
    (200, b"[]"),
    (200, b"{}"),
    (200, b"[" * 100_000),
    (200, b'{"id": "pay_1", "order_id": "x", "state": "paid", "received": [], "card": null, "failure": null}'),
    (302, b"{}"),
    (404, b"<html>"),
    (404, b"{}"),
    (429, b'{"error": {"code": "busy"}}'),
    (503, b'{"error": {"code": "busy"}}'),
]


@pytest.fixture(scope="module")
def odd() -> Iterator[tuple[SandboxGateway, list[tuple[int, bytes]]]]:
    """A gateway behind something that answers as it likes."""
    answers: list[tuple[int, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.pop()
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield SandboxGateway(url=url, key="k", webhook_secret="whsec_c2VjcmV0"), answers
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("answer", ODD_ANSWERS, ids=[str(number) for number in range(len(ODD_ANSWERS))])
def test_an_answer_that_the_gateway_never_wrote(
    odd: tuple[SandboxGateway, list[tuple[int, bytes]]], answer: tuple[int, bytes]
) -> None:
    adapter, answers = odd
    answers.append(answer)
    with pytest.raises(GatewayUnavailable):
        adapter.lookup("pay_1")


def test_nothing_personal_is_logged(sandbox: Vendor, adapter: SandboxGateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    request = konbini_request(name="秘密 太郎", email="himitsu@example.ac.jp", phone="09087654321")
    adapter.start_konbini(request)
    for private in ("himitsu", "09087654321", "秘密", sandbox.key):
        assert private not in caplog.text
        assert private not in sandbox.said()


def test_an_event_names_the_payment(sandbox: Vendor, adapter: SandboxGateway) -> None:
    ref = adapter.start_card(card_request()).ref
    sandbox.card(ref)
    (one, first), (_, second) = sandbox.messages(ref)
    assert [adapter.parse_event(headers, body).kind for headers, body in sandbox.messages(ref)] == [
        "payment.pending",
        "payment.paid",
    ]
    event = adapter.parse_event({name.upper(): value for name, value in one.items()}, first)
    assert (event.ref, event.id) == (ref, one["webhook-id"])
    with pytest.raises(EventRefused):
        adapter.parse_event(one, second)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", ""),
        ("webhook-id", "evt_other"),
        ("webhook-timestamp", ""),
        ("webhook-timestamp", "NaN"),
        ("webhook-timestamp", "99999999999999999999"),
        ("webhook-signature", ""),
        ("webhook-signature", "v1"),
        ("webhook-signature", "v1,****"),
        ("webhook-signature", "v1,あ"),
        ("webhook-signature", "v2,aaaa"),
        ("webhook-signature", "v1,a,b"),
    ],
)
def test_an_event_of_somebody_else(sandbox: Vendor, adapter: SandboxGateway, name: str, value: str) -> None:
    headers, body = sandbox.messages(adapter.start_card(card_request()).ref)[0]
    adapter.parse_event(headers, body)
    with pytest.raises(EventRefused):
        adapter.parse_event({**headers, name: value}, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'{"id": "evt_1"}',
        b'{"id": 1, "type": "t", "data": {"payment_id": "p"}}',
        b"x" * 99_999,
    ],
    ids=range(7),
)
def test_an_event_that_makes_no_sense(sandbox: Vendor, adapter: SandboxGateway, body: bytes) -> None:
    now = datetime.now(UTC)
    text = body.decode(errors="replace")
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(sandbox.webhook_secret).sign("evt_1", now, text),
    }
    with pytest.raises(EventRefused):
        adapter.parse_event(headers, body)


def test_an_old_event_is_refused(sandbox: Vendor, adapter: SandboxGateway) -> None:
    body = json.dumps({"id": "evt_1", "type": "payment.paid", "data": {"payment_id": "pay_1"}})
    for age, fine in ((timedelta(minutes=4), True), (timedelta(minutes=6), False), (timedelta(minutes=-6), False)):
        at = datetime.now(UTC) - age
        headers = {
            "webhook-id": "evt_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(sandbox.webhook_secret).sign("evt_1", at, body),
        }
        if fine:
            assert adapter.parse_event(headers, body.encode()).ref == "pay_1"
        else:
            with pytest.raises(EventRefused):
                adapter.parse_event(headers, body.encode())


def test_the_settlement_file_has_each_arrival_with_its_fee(sandbox: Vendor, adapter: SandboxGateway) -> None:
    card, slip = card_request(amount_yen=5_001), konbini_request(amount_yen=10_000)
    refs = [adapter.start_card(card).ref, adapter.start_konbini(slip).ref]
    sandbox.card(refs[0])
    sandbox.pay(refs[1], times=2)
    today = datetime.now(timezone(timedelta(hours=9))).date()
    lines = [line for line in adapter.settlement(sandbox.settlement(today)) if line.ref in refs]
    assert [(line.order_id, line.amount_yen, line.fee_yen, line.settled_on) for line in lines] == [
        (card.order_id, 5_001, 180, today),
        (slip.order_id, 10_000, 250, today),
        (slip.order_id, 10_000, 250, today),
    ]
    received = [each.id for ref in refs for each in adapter.lookup(ref).received]
    assert [line.received_id for line in lines] == received
    assert lines[1].number == lines[0].number + 1 >= 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1"),
        ("a,b\n", "line 1"),
        ("{heading}2026-11-25,rcv_1,pay_1,{order},card,100,3\n2026-11-25,rcv_1\n", "line 3"),
        ("{heading}yesterday,rcv_1,pay_1,{order},card,100,3\n", "line 2"),
        ("{heading}2026-11-25,rcv_1,pay_1,order,card,100,3\n", "line 2"),
        ("{heading}2026-11-25,rcv_1,pay_1,{order},card,many,3\n", "line 2"),
        ("{heading}2026-11-25,rcv_1,pay_1,{order},card,-100,3\n", "line 2"),
        ("{heading}2026-11-25,rcv_1,pay_1,{order},card,1_000,3\n", "line 2"),
        ('{heading}2026-11-25,rcv_1,"pay_1\n', "line 2"),
        ("{heading}2026-11-25,rcv_1,pay_1,{order},card,100," + "3" * 140_000, "line 2"),
    ],
    ids=range(10),
)
def test_a_settlement_file_that_is_none(odd: tuple[SandboxGateway, object], text: str, says: str) -> None:
    heading = "settled_on,received_id,payment_id,order_id,method,amount_yen,fee_yen\n"
    written = text.replace("{heading}", heading).replace("{order}", "0198c0de-0000-7000-8000-000000000000")
    with pytest.raises(ValueError, match=says):
        list(odd[0].settlement(written))


def test_an_empty_settlement_file_has_no_lines(odd: tuple[SandboxGateway, object]) -> None:
    heading = "\ufeffsettled_on,received_id,payment_id,order_id,method,amount_yen,fee_yen\r\n"
    assert list(odd[0].settlement(heading + "\r\n")) == []


def test_the_settings_choose_the_gateway(sandbox: Vendor, settings: Settings) -> None:
    with pytest.raises(NoGateway):
        gateway(settings)
    chosen = gateway(replace(settings, **sandbox.settings))
    assert chosen.name == "sandbox"
    assert chosen.start_card(card_request()).url.startswith(sandbox.url)
