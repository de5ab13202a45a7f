"""Webhooks of the real program to a real receiver: signed, again until they are taken, and wrong in every way."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from app.charge.sandbox import command, events
from tests.charge.gateways.contract import card_request, konbini_request
from tests.charge.sandbox.conftest import Desk
from tests.charge.vendor import Vendor, vendor
from tests.live import eventually
from tests.wallet.webhooks.receiver import Receiver, receiver


@pytest.fixture
def merchant(sandbox: Vendor) -> Iterator[Receiver]:
    """The merchant's server, which knows the secret; what is not signed with it is answered 401."""
    with receiver() as state:
        state.secrets["/hook"] = sandbox.webhook_secret
        sandbox.webhooks_to(f"{state.url}/hook")
        yield state
        sandbox.webhooks_to("")


def told(merchant: Receiver, ref: str) -> list[tuple[str, str, int]]:
    """Kind, event id and answer of everything that came of a payment, in the order of coming."""
    return [(each.body["type"], each.id, each.status) for each in merchant.got if each.data["payment_id"] == ref]


def kinds(merchant: Receiver, ref: str) -> list[str]:
    return [kind for kind, _, _ in told(merchant, ref)]


def wait_for(merchant: Receiver, ref: str, expected: list[str]) -> None:
    eventually(lambda: True if len(kinds(merchant, ref)) >= len(expected) else None)
    assert kinds(merchant, ref) == expected


def settled(sandbox: Vendor, ref: str) -> list[dict[str, Any]]:
    """The events of a payment, once all are delivered and written down."""

    def look() -> list[dict[str, Any]] | None:
        found = sandbox.events(ref)
        return found if all(event["state"] == "delivered" for event in found) else None

    return eventually(look)


def test_what_happens_is_told_at_once_and_signed(sandbox: Vendor, merchant: Receiver) -> None:
    request = card_request()
    ref = sandbox.gateway().start_card(request).ref
    wait_for(merchant, ref, ["payment.pending"])
    sandbox.card(ref)
    wait_for(merchant, ref, ["payment.pending", "payment.paid"])
    assert merchant.got[-1].status == 204, "the receiver checked the signature"
    assert merchant.got[-1].data == {"payment_id": ref, "order_id": str(request.order_id)}
    assert merchant.got[-1].headers["webhook-id"] == merchant.got[-1].body["id"]
    assert sandbox.gateway().parse_event(merchant.got[-1].headers, merchant.got[-1].raw.encode()).ref == ref


def test_it_is_sent_again_under_the_same_id_until_it_is_taken(sandbox: Vendor, merchant: Receiver) -> None:
    ref = sandbox.gateway().start_konbini(konbini_request()).ref
    wait_for(merchant, ref, ["payment.pending"])
    answers = iter([500, 302, 404])
    merchant.answer = lambda body: next(answers, 204)
    sandbox.expire(ref)
    for tries in (1, 2, 3):
        eventually(lambda tries=tries: True if len(told(merchant, ref)) > tries else None)
        eventually(lambda tries=tries: True if len(sandbox.events(ref)[1]["attempts"]) == tries else None)
        sandbox.send()  # not waiting for the back-off
    event = settled(sandbox, ref)[1]
    assert [attempt["status"] for attempt in event["attempts"]] == [500, 302, 404, 204]
    assert {id_ for kind, id_, _ in told(merchant, ref) if kind == "payment.expired"} == {event["id"]}


def test_it_comes_again_by_itself(sandbox: Vendor, merchant: Receiver) -> None:
    answers = iter([503])
    merchant.answer = lambda body: next(answers, 204)
    ref = sandbox.gateway().start_konbini(konbini_request()).ref
    wait_for(merchant, ref, ["payment.pending", "payment.pending"])
    assert [status for _, _, status in told(merchant, ref)] == [503, 204]


def test_nobody_there_is_written_down_too(sandbox: Vendor) -> None:
    with receiver() as gone:
        url = f"{gone.url}/hook"
    sandbox.webhooks_to(url)
    ref = sandbox.gateway().start_konbini(konbini_request()).ref

    def attempt() -> dict[str, Any] | None:
        (event,) = sandbox.events(ref)
        return event["attempts"][0] if event["attempts"] else None

    found = eventually(attempt)
    assert (found["status"], found["error"], found["url"]) == (None, "ConnectionError", url)
    assert sandbox.events(ref)[0]["state"] == "waiting"


def test_late(sandbox: Vendor, merchant: Receiver) -> None:
    request = card_request()
    sandbox.fault("webhook_late", order_id=request.order_id, seconds=3_600)
    ref = sandbox.gateway().start_card(request).ref
    sandbox.card(ref)
    wait_for(merchant, ref, ["payment.paid"])
    (late, _) = sandbox.events(ref)
    assert late["state"] == "waiting"
    assert late["due_at"] > late["created_at"]
    sandbox.send(late["id"])
    wait_for(merchant, ref, ["payment.paid", "payment.pending"])


def test_twice(sandbox: Vendor, merchant: Receiver) -> None:
    ref = sandbox.gateway().start_card(card_request()).ref
    wait_for(merchant, ref, ["payment.pending"])
    sandbox.fault("webhook_twice", payment_id=ref)
    sandbox.card(ref)
    wait_for(merchant, ref, ["payment.pending", "payment.paid", "payment.paid"])
    assert len({id_ for _, id_, _ in told(merchant, ref)}) == 2
    assert [len(event["attempts"]) for event in settled(sandbox, ref)] == [1, 2]


def test_out_of_order(sandbox: Vendor, merchant: Receiver) -> None:
    request = card_request()
    sandbox.fault("webhook_out_of_order", order_id=request.order_id)
    ref = sandbox.gateway().start_card(request).ref
    sandbox.card(ref)
    wait_for(merchant, ref, ["payment.paid", "payment.pending"])


def test_never(sandbox: Vendor, merchant: Receiver) -> None:
    ref = sandbox.gateway().start_card(card_request()).ref
    wait_for(merchant, ref, ["payment.pending"])
    sandbox.fault("webhook_never", payment_id=ref)
    sandbox.card(ref)
    assert sandbox.events(ref)[1]["state"] == "withheld"
    sandbox.made_up_event(ref, "payment.expired")
    wait_for(merchant, ref, ["payment.pending", "payment.expired"])
    sandbox.send(sandbox.events(ref)[1]["id"])
    wait_for(merchant, ref, ["payment.pending", "payment.expired", "payment.paid"])


def test_money_that_comes_after_the_cancellation_is_told(sandbox: Vendor, merchant: Receiver) -> None:
    ref = sandbox.gateway().start_konbini(konbini_request()).ref
    sandbox.fault("paid_after_cancel", payment_id=ref)
    assert sandbox.gateway().cancel(ref) == "cancelled"
    eventually(lambda: True if "payment.paid" in kinds(merchant, ref) else None)
    assert sandbox.gateway().lookup(ref).state == "paid"


def test_a_receiver_that_hangs_does_not_hold_up_the_others(sandbox: Vendor, merchant: Receiver) -> None:
    merchant.hold.clear()
    refs = [sandbox.gateway().start_konbini(konbini_request()).ref for _ in range(2)]
    eventually(lambda: True if merchant.now == 2 else None)
    assert sandbox.gateway().lookup(refs[0]).state == "pending"
    merchant.hold.set()
    for ref in refs:
        wait_for(merchant, ref, ["payment.pending"])


def test_payments_events_and_faults_survive_kill_9(tmp_path: Path) -> None:
    with vendor(tmp_path) as mine:
        ref = mine.gateway().start_konbini(konbini_request()).ref
        fault = mine.fault("paid_twice", payment_id=ref)
        with receiver() as state:
            state.secrets["/hook"] = mine.webhook_secret
            state.hold.clear()
            mine.webhooks_to(f"{state.url}/hook")
            assert state.holding.wait(30), "it is being sent"
            mine.stop(signal.SIGKILL)
            state.hold.set()
            mine.start()
            assert [each["seq"] for each in mine.call("GET", "/test/faults")["faults"]] == [fault]
            eventually(lambda: True if len(state.taken) >= 2 else None)
            assert {each.id for each in state.taken} == {mine.events(ref)[0]["id"]}, "it was sent again, as the same"
            assert mine.gateway().lookup(ref).state == "pending"
        assert mine.stop() == 0
        assert (tmp_path / "sandbox" / "sandbox.sqlite3").stat().st_mode & 0o777 == 0o600


def test_a_folder_has_one_program(sandbox: Vendor) -> None:
    second = Vendor(sandbox.folder, key=sandbox.key, webhook_secret=sandbox.webhook_secret)
    with pytest.raises(AssertionError, match="another sandbox runs on"):
        second.start()


@pytest.mark.parametrize("missing", ["KUMIAI_SANDBOX_KEY", "KUMIAI_SANDBOX_WEBHOOK_SECRET"])
def test_without_its_secrets_it_says_which(tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUMIAI_SANDBOX_KEY", "KUMIAI_SANDBOX_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, "" if name == missing else "x")
    monkeypatch.setenv("KUMIAI_INSTANCE", str(tmp_path))
    said = CliRunner().invoke(command.sandbox, [])
    assert said.exit_code == 1
    assert f"set {missing}" in said.output
    assert not (tmp_path / "sandbox").exists()


def test_the_back_off_grows_and_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without threads: the clock is ours."""
    desk.slip()
    clock = {"now": time.time()}
    monkeypatch.setattr("time.time", lambda: clock["now"])
    delays = []
    while True:
        with desk.sandbox.transaction() as db:
            due_at = events.next_due_at(db)
            if due_at is None:
                break
            delays.append(due_at - clock["now"])
            clock["now"] = max(clock["now"], due_at)
            event = events.take_due(db)
            assert event is not None
            assert events.take_due(db) is None, "leased"
            events.record(db, event, url="x", started_at=0, duration_ms=1, status=500, error=None)
    assert [round(delay, 1) for delay in delays[1:12]] == list(events.BACK_OFF_S)
    assert delays[13] == delays[-1] == pytest.approx(3_600)
    assert sum(delays) > events.GIVE_UP_AFTER_S
    (event,) = desk.api("GET", "/test/events").get_json()["events"]
    assert event["state"] == "given_up"


def test_the_log_of_deliveries_is_in_the_console(sandbox: Vendor, merchant: Receiver) -> None:
    merchant.answer = lambda body: 410 if body["type"] == "payment.paid" else 204
    ref = sandbox.gateway().start_card(card_request()).ref
    sandbox.card(ref)
    eventually(lambda: sandbox.events(ref)[1]["attempts"] or None)
    page = requests.get(f"{sandbox.url}/console/payments/{ref}", headers={"Accept-Language": "en"}, timeout=10).text
    assert re.search(r": 410 \(\d+ ms\)", page)
    assert sandbox.events(ref)[1]["id"] in page
