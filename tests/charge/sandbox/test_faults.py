"""Each thing that can go wrong does, for the payment it is meant for, so many times, and not again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.charge.sandbox import faults, payments
from tests.charge.sandbox.conftest import Desk, card_order
from tests.charge.sandbox.test_store_pages import numbers


def card(desk: Desk, ref: str, name: str = "visa") -> dict[str, Any]:
    return dict(desk.api("POST", f"/test/payments/{ref}/card", {"card": name}).get_json())


def time_passes(desk: Desk, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """What the program's clock would do after so long."""
    now = time.time()
    with monkeypatch.context() as later:
        later.setattr("time.time", lambda: now + seconds)
        with desk.sandbox.transaction() as db:
            payments.do_what_is_due(db)


@pytest.mark.parametrize("kind", ["card_declined", "three_ds_failed", "abandoned"])
def test_the_next_card(desk: Desk, kind: str) -> None:
    desk.fault(kind)
    first, second = (desk.card()["id"] for _ in range(2))
    payment = card(desk, first)
    if kind == "three_ds_failed":
        assert payment["checkout"] == "challenge"
        payment = desk.api("POST", f"/test/payments/{first}/challenge", {"answer": "right"}).get_json()
    expected = ("expired", "abandoned") if kind == "abandoned" else ("failed", kind)
    assert (payment["state"], payment["failure"]) == expected
    assert card(desk, second)["state"] == "paid"


def test_a_slow_card(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.fault("card_slow", seconds=90)
    ref = desk.card()["id"]
    assert (card(desk, ref)["state"], card(desk, ref)["checkout"]) == ("pending", "processing")
    time_passes(desk, monkeypatch, 89)
    assert desk.seen(ref)["state"] == "pending"
    time_passes(desk, monkeypatch, 91)
    assert desk.seen(ref)["state"] == "paid"
    assert len(desk.seen(ref)["received"]) == 1


def test_a_slow_card_that_is_cancelled_takes_no_money(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = desk.card()["id"]
    card(desk, ref, "slow")
    assert desk.api("POST", f"/v1/payments/{ref}/cancel").get_json()["state"] == "cancelled"
    time_passes(desk, monkeypatch, 60)
    assert desk.seen(ref)["received"] == []


def test_a_slow_card_outlives_its_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.fault("card_slow", seconds=payments.CARD_PAGE_S + 60)
    ref = desk.card()["id"]
    card(desk, ref)
    time_passes(desk, monkeypatch, payments.CARD_PAGE_S + 1)
    assert desk.seen(ref)["state"] == "pending"
    time_passes(desk, monkeypatch, payments.CARD_PAGE_S + 61)
    assert desk.seen(ref)["state"] == "paid"


def test_paid_twice_and_of_another_amount_at_the_store(desk: Desk) -> None:
    payment = desk.slip()
    desk.fault("paid_twice", payment_id=payment["id"])
    desk.fault("amount_differs", payment_id=payment["id"], amount_yen=2_000)
    desk.post("/store/seicomart", **numbers(payment), pay="1")
    seen = desk.seen(payment["id"])
    assert [each["amount_yen"] for each in seen["received"]] == [2_000, 2_000]
    assert len({each["id"] for each in seen["received"]}) == 2
    told = [event for event in seen["events"] if event["kind"] == "payment.paid"]
    assert len({event["id"] for event in told}) == 2


def test_without_an_amount_another_one_arrives_anyway(desk: Desk) -> None:
    desk.fault("amount_differs")
    payment = desk.slip(amount_yen=50)
    desk.post("/store/seicomart", **numbers(payment), pay="1")
    assert [each["amount_yen"] for each in desk.seen(payment["id"])["received"]] == [1]


def test_paid_just_before_it_is_cancelled(desk: Desk) -> None:
    ref = desk.slip()["id"]
    desk.fault("paid_before_cancel")
    assert desk.api("POST", f"/v1/payments/{ref}/cancel").get_json()["state"] == "paid"


def test_paid_after_it_was_cancelled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = desk.slip()["id"]
    desk.fault("paid_after_cancel", seconds=30)
    assert desk.api("POST", f"/v1/payments/{ref}/cancel").get_json()["state"] == "cancelled"
    time_passes(desk, monkeypatch, 31)
    assert desk.api("GET", f"/v1/payments/{ref}").get_json()["state"] == "paid"


def test_paid_late(desk: Desk) -> None:
    ref = desk.slip()["id"]
    desk.api("POST", f"/test/payments/{ref}/expire", {})
    refused = desk.api("POST", f"/test/payments/{ref}/pay", {})
    assert (refused.status_code, refused.get_json()["error"]["field"]) == (409, "late")
    paid = desk.api("POST", f"/test/payments/{ref}/pay", {"late": True}).get_json()
    assert (paid["state"], len(paid["received"])) == ("paid", 1)
    assert paid["received"][0]["received_at"] > paid["ends_at"]
    assert [event["kind"] for event in paid["events"]] == ["payment.pending", "payment.expired", "payment.paid"]


def test_api_500_does_nothing_and_the_other_does(desk: Desk) -> None:
    for kind, done in (("api_500", 201), ("api_500_after", 200)):
        desk.fault(kind, operation="create")
        order = card_order()
        assert desk.api("POST", "/v1/payments", order).status_code == 500
        assert desk.api("POST", "/v1/payments", order).status_code == done


def test_a_fault_is_for_whom_it_is_meant(desk: Desk) -> None:
    mine, other = desk.slip(), desk.slip()
    desk.fault("api_500", order_id=mine["order_id"], operation="get")
    assert desk.api("GET", f"/v1/payments/{other['id']}").status_code == 200
    assert desk.api("GET", f"/v1/payments?order_id={mine['order_id']}").status_code == 200
    assert desk.api("GET", f"/v1/payments/{mine['id']}").status_code == 500
    assert desk.api("GET", f"/v1/payments/{mine['id']}").status_code == 200


def test_it_happens_so_many_times_or_until_it_is_taken_away(desk: Desk) -> None:
    path = f"/v1/payments/{desk.slip()['id']}"
    desk.fault("api_500", times=2)
    assert [desk.api("GET", path).status_code for _ in range(3)] == [500, 500, 200]
    desk.fault("api_500", times=0)
    assert [desk.api("GET", path).status_code for _ in range(4)] == [500] * 4
    (fault,) = desk.api("GET", "/test/faults").get_json()["faults"]
    assert desk.api("DELETE", f"/test/faults/{10**30}").status_code == 204
    desk.api("DELETE", f"/test/faults/{fault['seq']}")
    assert desk.api("GET", path).status_code == 200
    assert [call["fault"] for call in desk.api("GET", "/test/calls").get_json()["calls"]] == [
        None, "api_500", "api_500", "api_500", "api_500", None, "api_500", "api_500", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "fire"}, "kind"),
        ({"kind": "api_500", "times": -1}, "times"),
        ({"kind": "api_500", "seconds": "5"}, "seconds"),
        ({"kind": "api_500", "seconds": 1e9}, "seconds"),
        ({"kind": "api_500", "operation": "delete"}, "operation"),
        ({"kind": "api_500", "who": "me"}, "who"),
    ],
    ids=range(7),
)
def test_a_fault_that_is_none(desk: Desk, body: dict[str, Any], field: str) -> None:
    refused = desk.api("POST", "/test/faults", body)
    assert (refused.status_code, refused.get_json()["error"]["field"]) == (400, field)


def test_every_fault_can_be_asked_for_and_taken_back(desk: Desk) -> None:
    for kind in faults.KINDS:
        desk.fault(kind)
    assert [fault["kind"] for fault in desk.api("GET", "/test/faults").get_json()["faults"]] == list(faults.KINDS)
    assert desk.api("DELETE", "/test/faults").status_code == 204
    assert desk.api("GET", "/test/faults").get_json() == {"faults": []}
