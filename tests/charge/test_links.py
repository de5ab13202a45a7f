"""Charging for somebody else: by a link that the member gave away, and by nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from app.charge.links import MOST
from tests.charge.scene import Scene
from tests.charge.vendor import Vendor
from tests.wallet.api.caller import refusal, taken, wrong_fields

pytestmark = pytest.mark.ledger

NOBODYS = "kcl_" + "x" * 43


@pytest.fixture
def guardian(charging_app: Flask, sandbox: Vendor) -> Iterator[Scene]:
    """Somebody else, with wallets of their own. In the end those are as they were."""
    made = Scene(charging_app, sandbox)
    yield made
    assert (made.balance_yen(), made.reserved_yen()) == (0, 0)
    made.clean()


def link(student: Scene, **said: Any) -> dict[str, Any]:
    body = {"money": student.world.meal, "shown_as": "花子", **said}
    return taken(student.ask("POST", "/v1/charge-links", json=body))


def given(guardian: Scene, student: Scene, amount_yen: int = 3_000, **said: Any) -> Any:
    """The guardian's order for the student."""
    return guardian.order(amount_yen, **{"money": student.world.meal, **said})


def test_a_guardian_pays_and_the_student_has_it(scene: Scene, guardian: Scene) -> None:
    made = link(scene)
    assert made["url"].endswith(f"/charge?for={made['code']}")
    shown = taken(guardian.ask("POST", "/v1/charge-links/find", json={"code": made["code"]}), 200)
    assert (shown["shown_as"], shown["money"]["code"], sorted(shown)) == (
        "花子",
        scene.world.meal,
        ["money", "shown_as"],
    )
    ordered = taken(given(guardian, scene, link=made["code"]))
    assert (ordered["role"], ordered["receiver"], ordered["state"]) == ("payer", "花子", "pending")
    assert scene.reserved_yen() == 3_000
    ref = guardian.ref(ordered["id"])
    guardian.vendor.pay(ref)
    guardian.deliver(ref)
    assert (scene.balance_yen(), scene.reserved_yen()) == (3_000, 0)
    assert guardian.charge(ordered["id"])["state"] == "paid"


def test_each_sees_their_own_side(scene: Scene, guardian: Scene) -> None:
    """The student neither the guardian's numbers, telephone nor card, the guardian nothing of the wallet."""
    ordered = taken(given(guardian, scene, link=link(scene)["code"]))
    theirs, other = guardian.charge(ordered["id"]), scene.charge(ordered["id"])
    assert theirs["slip"]["confirmation_no"] == "09012345678"
    assert (other["role"], other["slip"], other["redirect_url"]) == ("receiver", None, None)
    assert "09012345678" not in str(other)
    ref = guardian.ref(ordered["id"])
    guardian.vendor.pay(ref)
    guardian.deliver(ref)
    [to_guardian], [to_student] = guardian.charge(ordered["id"])["received"], scene.charge(ordered["id"])["received"]
    assert to_guardian["transaction_id"] is None
    path = f"/v1/transactions/{to_student['transaction_id']}"
    assert taken(scene.ask("GET", path), 200)["id"] == to_student["transaction_id"]
    assert guardian.ask("GET", path).status_code == 404

    card = taken(given(guardian, scene, 1_000, link=link(scene)["code"], method="card"))
    assert scene.charge(card["id"])["redirect_url"] is None
    ref = guardian.ref(card["id"])
    guardian.vendor.card(ref, "visa")
    guardian.deliver(ref)
    assert guardian.charge(card["id"])["card"]["last4"]
    assert (scene.charge(card["id"])["card"], scene.balance_yen()) == (None, 4_000)


def test_the_receiver_cancels_nothing_and_changes_no_chain(scene: Scene, guardian: Scene) -> None:
    ordered = taken(given(guardian, scene, link=link(scene)["code"]))
    assert refusal(scene.cancel(ordered["id"])) == (404, "charge_unknown")
    path = f"/v1/charges/{ordered['id']}/chain"
    assert refusal(scene.ask("POST", path, json={"chain": "lawson"})) == (404, "charge_unknown")
    changed = taken(guardian.ask("POST", path, json={"chain": "lawson"}))
    assert (changed["receiver"], changed["role"], scene.reserved_yen()) == ("花子", "payer", 3_000)
    assert taken(guardian.cancel(changed["id"]), 200)["state"] == "cancelled"
    assert scene.reserved_yen() == 0


def test_an_ended_link_orders_nothing_more_and_what_was_ordered_stays(scene: Scene, guardian: Scene) -> None:
    made, key = link(scene), secrets.token_hex(8)
    ordered = taken(given(guardian, scene, link=made["code"], key=key))
    assert guardian.ask("DELETE", f"/v1/charge-links/{made['id']}").status_code == 404
    for _ in range(2):
        assert scene.ask("DELETE", f"/v1/charge-links/{made['id']}").status_code == 204
    assert refusal(given(guardian, scene, link=made["code"])) == (404, "charge_link_unknown")
    assert refusal(guardian.ask("POST", "/v1/charge-links/find", json={"code": made["code"]})) == (
        404,
        "charge_link_unknown",
    )
    assert taken(given(guardian, scene, link=made["code"], key=key))["id"] == ordered["id"]
    assert taken(scene.ask("GET", "/v1/charge-links"), 200)["links"] == []
    ref = guardian.ref(ordered["id"])
    guardian.vendor.pay(ref)
    guardian.deliver(ref)
    assert scene.balance_yen() == 3_000


def test_a_link_runs_out(scene: Scene, guardian: Scene) -> None:
    made = link(scene, days=1)
    scene.rows("UPDATE charge_link SET valid_until = now() WHERE id = :id RETURNING 1", id=made["id"])
    assert refusal(given(guardian, scene, link=made["code"])) == (404, "charge_link_unknown")


def test_a_link_is_for_one_money_and_made_by_nobody_else(scene: Scene, guardian: Scene) -> None:
    made = link(scene)
    assert refusal(given(guardian, scene, link=made["code"], money=scene.world.base)) == (422, "money_not_accepted")
    assert refusal(given(guardian, scene, link=NOBODYS)) == (404, "charge_link_unknown")
    assert wrong_fields(given(guardian, scene, link="kcl_short")) == ["link"]


def test_what_does_not_fit_tells_the_guardian_no_figures(charging_app: Flask, sandbox: Vendor, guardian: Scene) -> None:
    student = Scene(charging_app, sandbox, {"ceiling_yen": 5_000})
    code = link(student)["code"]
    answer = given(guardian, student, 6_000, link=code)
    assert refusal(answer) == (409, "receiver_not_chargeable")
    assert "5000" not in answer.text
    student.rows("UPDATE wallet SET status = 'suspended' WHERE member_id = :m RETURNING 1", m=student.member_id)
    assert refusal(given(guardian, student, 1_000, link=code)) == (409, "receiver_not_chargeable")


def test_the_limits_are_the_payers(scene: Scene, guardian: Scene) -> None:
    """What a guardian charges by card counts for the guardian, not for the student."""
    taken(given(guardian, scene, 8_000, link=link(scene)["code"], method="card"))
    assert refusal(given(guardian, scene, 3_000, link=link(scene)["code"], method="card")) == (
        422,
        "charge_limit_exceeded",
    )
    scene.ordered(10_000, method="card")
    for ordered in taken(guardian.ask("GET", "/v1/charges"), 200)["charges"]:
        guardian.cancel(ordered["id"])


def test_the_same_order_by_another_link_is_another_request(scene: Scene, guardian: Scene) -> None:
    key = secrets.token_hex(8)
    ordered = taken(given(guardian, scene, link=link(scene)["code"], key=key))
    assert refusal(given(guardian, scene, link=link(scene)["code"], key=key)) == (409, "request_id_conflict")
    guardian.cancel(ordered["id"])


def test_two_who_charge_each_other_at_once_both_have_it(scene: Scene, guardian: Scene) -> None:
    """Each order locks its payer, then the other's wallet."""
    to_student = link(scene)["code"]
    to_guardian = taken(
        guardian.ask("POST", "/v1/charge-links", json={"money": guardian.world.meal, "shown_as": "父"})
    )["code"]
    with ThreadPoolExecutor(8) as pool:
        there = [pool.submit(given, guardian, scene, 1_000, link=to_student) for _ in range(8)]
        back = [pool.submit(given, scene, guardian, 1_000, link=to_guardian) for _ in range(8)]
    ordered = [(guardian, taken(one.result())) for one in there] + [(scene, taken(one.result())) for one in back]
    assert (scene.reserved_yen(), guardian.reserved_yen()) == (8_000, 8_000)
    for payer, one in ordered:
        assert taken(payer.cancel(one["id"]), 200)["state"] == "cancelled"


def test_links_are_few_and_at_once_not_more(scene: Scene) -> None:
    with ThreadPoolExecutor(8) as pool:
        body = {"money": scene.world.meal, "shown_as": "花子"}
        answers = list(pool.map(lambda _: scene.ask("POST", "/v1/charge-links", json=body), range(MOST + 3)))
    assert sorted(answer.status_code for answer in answers) == [201] * MOST + [409] * 3
    listed = taken(scene.ask("GET", "/v1/charge-links"), 200)["links"]
    assert len(listed) == MOST
    assert all("code" not in one for one in listed)
    scene.ask("DELETE", f"/v1/charge-links/{listed[0]['id']}")
    link(scene)


def test_a_code_is_kept_nowhere(scene: Scene) -> None:
    code = link(scene)["code"]
    [(row,)] = scene.rows("SELECT charge_link::text FROM charge_link WHERE member_id = :m", m=scene.member_id)
    assert code not in row


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({"shown_as": ""}, ["shown_as"]),
        ({"shown_as": "x" * 41}, ["shown_as"]),
        ({"shown_as": "a\x00"}, ["shown_as"]),
        ({"days": 0}, ["days"]),
        ({"days": 367}, ["days"]),
        ({"money": ""}, ["money"]),
    ],
)
def test_wrong_fields_of_a_link_are_named(scene: Scene, said: dict[str, Any], fields: list[str]) -> None:
    body = {"money": scene.world.meal, "shown_as": "花子", **said}
    assert wrong_fields(scene.ask("POST", "/v1/charge-links", json=body)) == fields


def test_points_are_charged_neither_by_link_nor_without(scene: Scene) -> None:
    """Nobody pays yen for what the co-op gives away."""
    body = {"money": scene.world.points, "shown_as": "花子"}
    assert refusal(scene.ask("POST", "/v1/charge-links", json=body)) == (422, "money_not_accepted")
    assert refusal(scene.order(money=scene.world.points)) == (422, "money_not_accepted")
    body["money"] = "no_such"
    assert refusal(scene.ask("POST", "/v1/charge-links", json=body)) == (404, "wallet_unknown")
