"""Charges through the API over the sandbox gateway: ordered, paid, credited once, whatever tells of it."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any

import pytest

from app.charge.crediting import settle
from app.charge.gateways.current import current_gateway
from tests.charge.scene import CONTACT, Scene
from tests.wallet.api.caller import refusal, taken, wrong_fields

pytestmark = pytest.mark.ledger


def test_a_slip_is_shown_paid_at_the_store_and_credited_by_the_webhook(scene: Scene) -> None:
    ordered = scene.ordered(3_000)
    assert (ordered["state"], ordered["chain"], ordered["to_pay_yen"]) == ("pending", "seicomart", 3_000)
    assert len(ordered["slip"]["receipt_no"]) == 6
    assert (scene.balance_yen(), scene.reserved_yen()) == (0, 3_000)
    ref = scene.ref(ordered["id"])
    scene.vendor.pay(ref)
    assert set(scene.deliver(ref)) == {204}
    paid = scene.charge(ordered["id"])
    assert (paid["state"], paid["credited_yen"], paid["slip"]) == ("paid", 3_000, None)
    assert [one["state"] for one in paid["received"]] == ["credited"]
    assert (scene.balance_yen(), scene.reserved_yen()) == (3_000, 0)


def test_a_card_is_charged_on_the_gateways_page_and_the_return_page_sees_it(scene: Scene) -> None:
    """No webhook ever comes: asking for the charge is enough."""
    ordered = scene.ordered(5_000, method="card")
    assert ordered["redirect_url"].startswith(scene.vendor.url)
    ref = scene.ref(ordered["id"])
    scene.vendor.card(ref, "visa")
    scene.rows("UPDATE charge_order SET looked_at = NULL WHERE id = :id RETURNING 1", id=ordered["id"])
    paid = scene.charge(ordered["id"])
    assert (paid["state"], paid["redirect_url"]) == ("paid", None)
    assert paid["card"]["last4"]
    assert scene.balance_yen() == 5_000


def test_what_nobody_told_the_worker_finds(scene: Scene) -> None:
    ordered = scene.ordered()
    scene.vendor.pay(scene.ref(ordered["id"]))
    scene.poll()
    assert (scene.balance_yen(), scene.charge(ordered["id"])["state"]) == (3_000, "paid")
    scene.poll()
    assert scene.balance_yen() == 3_000


def test_ten_webhooks_and_five_lookups_at_once_credit_once(scene: Scene) -> None:
    ordered = scene.ordered()
    ref = scene.ref(ordered["id"])
    scene.vendor.pay(ref)

    def look() -> None:
        with scene.app.app_context():
            settle(current_gateway(), ref)

    with ThreadPoolExecutor(15) as pool:
        told = [pool.submit(scene.deliver, ref) for _ in range(10)]
        looked = [pool.submit(look) for _ in range(5)]
    for one in (*told, *looked):
        one.result()
    assert scene.balance_yen() == 3_000
    assert len(scene.charge(ordered["id"])["received"]) == 1


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_events_in_any_order_and_twice_credit_once(scene: Scene, order: tuple[int, ...]) -> None:
    """Told that it is paid, that it ran out, that it is to be paid: none is believed, each only asks."""
    ordered = scene.ordered()
    ref = scene.ref(ordered["id"])
    scene.vendor.pay(ref)
    for kind in ("payment.expired", "payment.failed"):
        scene.vendor.made_up_event(ref, kind)
    messages = scene.vendor.messages(ref)
    http = scene.app.test_client()
    for at in (*order, *order):
        headers, body = messages[at]
        assert http.post("/charge/webhooks/sandbox", headers=headers, data=body).status_code == 204
    assert (scene.charge(ordered["id"])["state"], scene.balance_yen()) == ("paid", 3_000)


@pytest.mark.parametrize("fault", ["paid_before_cancel", "paid_after_cancel"])
def test_paid_while_it_is_being_cancelled_the_money_is_there(scene: Scene, fault: str) -> None:
    ordered = scene.ordered()
    ref = scene.ref(ordered["id"])
    scene.vendor.fault(fault, payment_id=ref)
    scene.cancel(ordered["id"])
    scene.deliver(ref)
    scene.poll()
    assert scene.charge(ordered["id"])["state"] in ("paid", "late_paid")
    assert (scene.balance_yen(), scene.reserved_yen()) == (3_000, 0)


def test_the_same_request_again_is_the_same_order(scene: Scene) -> None:
    key = secrets.token_hex(8)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: scene.order(key=key), range(5)))
    assert len({taken(answer)["id"] for answer in answers}) == 1
    assert scene.reserved_yen() == 3_000
    assert refusal(scene.order(4_000, key=key)) == (409, "request_id_conflict")


def test_paid_late_is_credited_and_said(scene: Scene) -> None:
    ordered = scene.ordered()
    ref = scene.ref(ordered["id"])
    scene.vendor.expire(ref)
    scene.deliver(ref)
    assert scene.charge(ordered["id"])["state"] == "expired"
    assert scene.reserved_yen() == 0
    scene.vendor.pay(ref, late=True)
    scene.deliver(ref)
    late = scene.charge(ordered["id"])
    assert (late["state"], late["received"][0]["late"], scene.balance_yen()) == ("late_paid", True, 3_000)


def test_paid_twice_is_credited_twice_and_said(scene: Scene) -> None:
    ordered = scene.ordered()
    ref = scene.ref(ordered["id"])
    scene.vendor.pay(ref, times=2)
    scene.deliver(ref)
    twice = scene.charge(ordered["id"])
    assert (twice["state"], twice["credited_yen"], scene.balance_yen()) == ("duplicate_paid", 6_000, 6_000)


def test_another_amount_waits_for_the_office(scene: Scene) -> None:
    ordered = scene.ordered()
    ref = scene.ref(ordered["id"])
    scene.vendor.pay(ref, amount_yen=2_000)
    scene.deliver(ref)
    paid = scene.charge(ordered["id"])
    [received] = paid["received"]
    assert (received["state"], received["reason"], received["amount_yen"]) == ("suspense", "amount_differs", 2_000)
    assert (paid["credited_yen"], scene.balance_yen(), scene.reserved_yen()) == (0, 0, 0)


def test_what_fails_at_the_gateway_fails_here(scene: Scene) -> None:
    ordered = scene.ordered(method="card")
    ref = scene.ref(ordered["id"])
    scene.vendor.fail(ref)
    scene.deliver(ref)
    failed = scene.charge(ordered["id"])
    assert (failed["state"], failed["failure"], scene.reserved_yen()) == ("failed", "card_declined", 0)


def test_cancelled_it_cannot_be_paid_and_its_room_is_free(scene: Scene) -> None:
    ordered = scene.ordered()
    assert taken(scene.cancel(ordered["id"]), 200)["state"] == "cancelled"
    assert taken(scene.cancel(ordered["id"]), 200)["state"] == "cancelled"
    assert scene.reserved_yen() == 0


def test_cancelling_what_was_paid_meanwhile_credits_it(scene: Scene) -> None:
    ordered = scene.ordered()
    scene.vendor.pay(scene.ref(ordered["id"]))
    assert refusal(scene.cancel(ordered["id"])) == (409, "charge_not_open")
    assert (scene.balance_yen(), scene.charge(ordered["id"])["state"]) == (3_000, "paid")


def test_another_chain_is_another_slip(scene: Scene) -> None:
    ordered = scene.ordered()
    path, key = f"/v1/charges/{ordered['id']}/chain", secrets.token_hex(8)
    changed = taken(scene.ask("POST", path, key=key, json={"chain": "lawson"}))
    assert (changed["chain"], changed["replaces"], changed["state"]) == ("lawson", ordered["id"], "pending")
    assert taken(scene.ask("POST", path, key=key, json={"chain": "lawson"}))["id"] == changed["id"]
    assert (scene.charge(ordered["id"])["state"], scene.reserved_yen()) == ("cancelled", 3_000)


def test_another_chain_for_what_was_paid_meanwhile_is_no_second_slip(scene: Scene) -> None:
    ordered = scene.ordered()
    scene.vendor.pay(scene.ref(ordered["id"]))
    answer = scene.ask("POST", f"/v1/charges/{ordered['id']}/chain", json={"chain": "lawson"})
    assert taken(answer)["state"] == "cancelled"
    assert (scene.charge(ordered["id"])["state"], scene.balance_yen(), scene.reserved_yen()) == ("paid", 3_000, 0)


def test_a_name_that_is_taken_changes_no_chain(scene: Scene) -> None:
    ordered, key = scene.ordered(), secrets.token_hex(8)
    scene.order(key=key)
    path = f"/v1/charges/{ordered['id']}/chain"
    assert refusal(scene.ask("POST", path, key=key, json={"chain": "lawson"})) == (409, "request_id_conflict")
    assert scene.charge(ordered["id"])["state"] == "pending"


def test_room_is_kept_under_the_ceiling(charging_app: Any, sandbox: Any) -> None:
    scene = Scene(charging_app, sandbox, {"ceiling_yen": 5_000})
    ordered = scene.ordered(3_000)
    assert refusal(scene.order(3_000)) == (422, "wallet_ceiling_exceeded")
    with scene.app.app_context():
        from app.wallet.postings import Charge

        over = {"money": scene.world.meal, "amount_yen": 2_001, "book": "issued_by_cash"}
        assert scene.world.refused(Charge, **over) == "wallet_ceiling_exceeded"
        scene.world.accepted(Charge, **{**over, "amount_yen": 2_000})
    ref = scene.ref(ordered["id"])
    scene.vendor.pay(ref)
    scene.deliver(ref)
    assert (scene.balance_yen(), scene.reserved_yen()) == (5_000, 0)
    scene.clean()


def test_what_was_agreed_is_credited_though_the_account_was_stopped(scene: Scene) -> None:
    ordered = scene.ordered()
    scene.rows("UPDATE wallet SET status = 'suspended' WHERE member_id = :m RETURNING 1", m=scene.member_id)
    ref = scene.ref(ordered["id"])
    scene.vendor.pay(ref)
    scene.deliver(ref)
    assert scene.balance_yen() == 3_000
    assert refusal(scene.order(2_000)) == (403, "wallet_suspended")


@pytest.mark.parametrize(
    ("amount_yen", "limit"), [(500, "min_yen"), (1_500, "step_yen"), (201_000, "max_yen"), (9_999_000, "max_yen")]
)
def test_amounts_have_steps_and_limits(scene: Scene, amount_yen: int, limit: str) -> None:
    answer = scene.order(amount_yen)
    assert refusal(answer) == (422, "charge_limit_exceeded")
    assert answer.get_json()["limit"] == limit


def test_a_member_without_an_old_card_charges_little_a_day(scene: Scene) -> None:
    scene.ordered(6_000, method="card")
    answer = scene.order(5_000, method="card")
    assert refusal(answer) == (422, "charge_limit_exceeded")
    assert (answer.get_json()["limit"], answer.get_json()["left_yen"]) == ("new_card_max_per_day_yen", 4_000)
    scene.ordered(4_000, method="card")


def test_a_new_card_of_a_member_with_an_old_one_waits_for_the_office(scene: Scene) -> None:
    """Which card it will be is known when it has paid: too much of one that nobody knows yet is looked into."""
    scene.rows(
        "INSERT INTO charge_order (id, issuer_id, payer_id, member_id, money_id, amount_yen, method, state, client_id,"
        " request_id, params_hash, gateway, gateway_ref, locale, card_hash, created_at, ended_at)"
        " SELECT gen_random_uuid(), issuer_id, member_id, member_id, money_id, 1000, 'card', 'paid', 'x', id::text,"
        " 'x', 'sandbox', id::text, 'ja', 'old', now() - interval '40 days', now()"
        "   FROM wallet WHERE member_id = :m LIMIT 1 RETURNING 1",
        m=scene.member_id,
    )
    for amount_yen, state in ((10_000, "credited"), (1_000, "suspense")):
        ordered = scene.ordered(amount_yen, method="card")
        ref = scene.ref(ordered["id"])
        scene.vendor.card(ref, "visa")
        scene.deliver(ref)
        assert [one["state"] for one in scene.charge(ordered["id"])["received"]] == [state]
    assert scene.balance_yen() == 10_000


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name_kana": "くみあい"}, ["name_kana"]),
        ({"phone": "090-1234-5678"}, ["phone"]),
        ({"chain": "nowhere"}, ["chain"]),
        ({"email": "x"}, ["email"]),
        ({"amount_yen": "3000"}, ["amount_yen"]),
        ({"method": "cash"}, ["method"]),
        ({"return_url": "javascript:alert(1)"}, ["return_url"]),
        ({"return_url": "https://evil.example/"}, ["return_url"]),
        ({"card_number": "4242424242424242"}, ["card_number"]),
        ({"birthday_mmdd": "1340"}, ["birthday_mmdd"]),
    ],
)
def test_wrong_fields_are_named(scene: Scene, body: dict[str, Any], fields: list[str]) -> None:
    assert wrong_fields(scene.order(**body)) == fields


def test_of_a_slip_everything_is_needed(scene: Scene) -> None:
    body = {"money": scene.world.meal, "amount_yen": 3_000, "method": "konbini"}
    assert sorted(wrong_fields(scene.ask("POST", "/v1/charges", json=body))) == sorted(CONTACT)


def test_a_strangers_event_is_refused_and_nothing_kept(scene: Scene) -> None:
    answer = scene.app.test_client().post("/charge/webhooks/sandbox", data=b"{}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "event_refused")
    assert scene.app.test_client().post("/charge/webhooks/komoju", data=b"{}").status_code == 404


def test_another_member_does_not_find_it(scene: Scene, charging_app: Any, sandbox: Any) -> None:
    ordered = scene.ordered()
    stranger = Scene(charging_app, sandbox)
    assert refusal(stranger.ask("GET", f"/v1/charges/{ordered['id']}")) == (404, "charge_unknown")
    assert refusal(stranger.cancel(ordered["id"])) == (404, "charge_unknown")
    listed = taken(scene.ask("GET", "/v1/charges"), 200)
    assert [one["id"] for one in listed["charges"]] == [ordered["id"]]
    assert taken(stranger.ask("GET", "/v1/charges"), 200)["charges"] == []


def test_options_say_what_may_be_charged(scene: Scene) -> None:
    said = taken(scene.ask("GET", "/v1/charges/options"), 200)
    card, konbini = said["methods"]
    assert (card["method"], card["left_yen"], card["max_yen"]) == ("card", 10_000, 100_000)
    assert (konbini["chains"][0], konbini["left_yen"]) == ("lawson", None)
    assert {one["money"]["code"] for one in said["monies"]} == {scene.world.base, scene.world.meal}


@pytest.mark.parametrize("fault", ["api_500", "api_500_after", "api_cut"])
class TestGatewayAway:
    def test_the_same_request_goes_on_with_the_same_order(self, scene: Scene, fault: str) -> None:
        key = secrets.token_hex(8)
        scene.vendor.fault(fault, operation="create", times=1)
        assert refusal(scene.order(key=key)) == (503, "gateway_unavailable")
        assert scene.reserved_yen() == 3_000
        assert taken(scene.order(key=key))["state"] == "pending"
        assert scene.reserved_yen() == 3_000

    def test_the_worker_starts_what_nobody_asks_for_again(self, scene: Scene, fault: str) -> None:
        scene.vendor.fault(fault, operation="create", times=1)
        scene.order()
        scene.poll()
        [only] = taken(scene.ask("GET", "/v1/charges"), 200)["charges"]
        assert only["state"] == "pending"
        assert only["slip"]["receipt_no"]

    def test_past_its_time_nothing_is_started_and_its_room_is_free(self, scene: Scene, fault: str) -> None:
        """However long the gateway was away: no slip of an order that has run out, and no room kept for ever."""
        key = secrets.token_hex(8)
        scene.vendor.fault(fault, operation="create", times=1)
        scene.order(key=key)
        scene.rows("UPDATE charge_order SET pay_until = now() WHERE payer_id = :m RETURNING 1", m=scene.member_id)
        scene.poll()
        over = taken(scene.order(key=key))
        assert (over["state"], over["failure"], over["slip"]) == ("failed", "gateway_unavailable", None)
        assert scene.reserved_yen() == 0

    def test_what_an_event_could_not_look_up_the_worker_does(self, scene: Scene, fault: str) -> None:
        ordered = scene.ordered()
        ref = scene.ref(ordered["id"])
        scene.vendor.pay(ref)
        scene.vendor.fault(fault, operation="get", times=len(scene.vendor.messages(ref)))
        assert set(scene.deliver(ref)) == {204}
        assert scene.balance_yen() == 0
        scene.poll()
        assert scene.balance_yen() == 3_000
