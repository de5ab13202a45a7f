"""Refunds over HTTP: who may give a payment back, how much of it, and what is shown of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.db import transaction
from app.reader import terminals
from app.wallet.postings import Adjustment
from tests import factories
from tests.wallet.api.caller import Caller, app_of, program_of, refusal, taken, till_of, wrong_fields
from tests.wallet.world import World

pytestmark = pytest.mark.ledger


@pytest.fixture
def world() -> World:
    world = World()
    world.charge(world.base, 500)
    world.charge(world.meal, 500)
    return world


def _back(
    caller: Caller, paid: dict[str, Any], amount_yen: int | None = None, *, key: str | None = "", **more: Any
) -> Any:
    body = more if amount_yen is None else {"amount_yen": amount_yen, **more}
    return caller.post(f"/v1/payments/{paid['id']}/refunds", body, key=key)


def test_in_parts_to_where_it_came_from_with_the_points_undone(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    paid = caller.paid(900)
    first = taken(_back(caller, paid, 450, description="A定食の取り消し"))
    assert (first["kind"], first["signed_amount_yen"], first["reverses"]) == ("refund", 450, paid["id"])
    assert first["points_granted_yen"] == -3
    changed = {part["money"]["code"]: part["signed_amount_yen"] for part in first["parts"]}
    assert changed == {world.base: 400, world.meal: 50, world.points: -3}

    seen = taken(caller.get(f"/v1/payments/{paid['id']}"), 200)
    assert (seen["refunded_yen"], seen["refundable_yen"], seen["refunds"]) == (450, 450, [first])
    assert {name: seen[name] for name in paid} == paid

    over = _back(caller, paid, 451)
    assert refusal(over) == (422, "refund_exceeds_payment")
    assert over.get_json()["max_yen"] == 450
    rest = taken(_back(caller, paid))
    assert rest["amount_yen"] == 450
    assert refusal(_back(caller, paid)) == (409, "already_refunded")
    assert (world.balance_yen(world.base), world.balance_yen(world.meal)) == (500, 500)


def test_the_balance_is_of_the_money_asked_for_though_another_paid(client: FlaskClient) -> None:
    world = World(groups=["meal"])
    world.charge(world.base, 500)
    world.charge(world.meal, 700)
    caller = app_of(client, world)
    paid = caller.paid(300)  # not said to be for a meal
    assert [part["money"]["code"] for part in paid["parts"]] == [world.base]
    assert taken(_back(caller, paid))["balance_yen"] == paid["balance_yen"] == 700


def test_a_lost_reply_gives_nothing_back_twice(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    paid = caller.paid(300)
    first, again = (_back(caller, paid, 100, key="back") for _ in range(2))
    assert taken(first) == taken(again)
    assert again.headers["Idempotency-Hit"] == "true"
    assert refusal(_back(caller, paid, 101, key="back")) == (409, "request_id_conflict")
    other = caller.paid(100, strategy="money_only")
    assert refusal(_back(caller, other, 100, key="back")) == (409, "request_id_conflict"), "the path counts"
    assert world.balance_yen(world.meal) + world.balance_yen(world.base) == 700


def test_a_dry_run_of_a_refund(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    paid = caller.paid(300)
    tried = taken(_back(caller, paid, 100, key=None, dry_run=True), 200)
    assert (tried["id"], tried["dry_run"], tried["kind"], tried["amount_yen"]) == (None, True, "refund", 100)
    assert refusal(_back(caller, paid, 301, key=None, dry_run=True)) == (422, "refund_exceeds_payment")
    assert wrong_fields(_back(caller, paid, 100, key=None)) == ["Idempotency-Key"]
    assert taken(caller.get(f"/v1/payments/{paid['id']}"), 200)["refunded_yen"] == 0


@pytest.mark.parametrize("changes", [{"amount_yen": 0}, {"amount_yen": "1"}, {"description": "\0"}, {"reason": "x"}])
def test_a_wrong_field_is_named(client: FlaskClient, world: World, changes: dict[str, Any]) -> None:
    caller = app_of(client, world)
    assert wrong_fields(_back(caller, caller.paid(3), **changes)) == list(changes)


FRIENDS: dict[str, Callable[[FlaskClient, World, str], Caller]] = {
    "the client that took it": lambda http, world, taker: app_of(http, world, "payment", client_id=taker),
    "a program of the shop": lambda http, world, _: program_of(http, world, "shop:refund"),
    "a till of the shop": lambda http, world, _: till_of(http, world, "till", "till:refund"),
}


@pytest.mark.parametrize("who", FRIENDS)
def test_who_may_refund(client: FlaskClient, world: World, who: str) -> None:
    taker = app_of(client, world, "payment")
    paid = taker.paid(300)
    friend = FRIENDS[who](client, world, taker.client_id)
    assert taken(friend.get(f"/v1/payments/{paid['id']}"), 200)["refundable_yen"] == 300
    back = taken(_back(friend, paid, 100))
    assert back["balance_yen"] is None
    assert {part["balance_yen"] for part in back["parts"]} == {None}


def _till_elsewhere(http: FlaskClient, world: World, taker: str) -> Caller:
    return till_of(http, World(), "till", "till:refund")


def _revoked_till(http: FlaskClient, world: World, taker: str) -> Caller:
    till = till_of(http, world, "till", "till:refund")
    found = terminals.till_of(till.client_id)
    assert found is not None
    with transaction():
        terminals.revoke(found.id)
    return till


def _another_member(http: FlaskClient, world: World, taker: str) -> Caller:
    other = World()
    token = factories.access_token(member_id=other.member_id, client_id=taker, scopes=["payment"])
    return Caller(http=http, client_id=taker, token=token)


STRANGERS: dict[str, tuple[Callable[[FlaskClient, World, str], Caller], tuple[int, str]]] = {
    "another app of the same member": (lambda http, world, _: app_of(http, world), (404, "not_found")),
    "the same app for another member": (_another_member, (404, "not_found")),
    "a program of another shop": (lambda http, world, _: program_of(http, World(), "shop:refund"), (404, "not_found")),
    "a program whose shops the office took": (
        lambda http, world, _: program_of(http, world, "shop:refund", shops=[]),
        (404, "not_found"),
    ),
    "a program that charges members": (lambda http, world, _: program_of(http, world, "payment"), (404, "not_found")),
    "a till of another shop": (_till_elsewhere, (404, "not_found")),
    "a revoked till": (_revoked_till, (404, "not_found")),
    "a till that may only tap": (lambda http, world, _: till_of(http, world, "till"), (403, "insufficient_scope")),
    "a program that may only read": (
        lambda http, world, _: program_of(http, world, "shop:read"),
        (403, "insufficient_scope"),
    ),
    "an app that may only look": (
        lambda http, world, taker: app_of(http, world, "history", "balance"),
        (403, "insufficient_scope"),
    ),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_who_may_not_and_learns_nothing(client: FlaskClient, world: World, who: str) -> None:
    taker = app_of(client, world, "payment")
    paid = taker.paid(300)
    make, expected = STRANGERS[who]
    stranger = make(client, world, taker.client_id)
    for dry_run in (True, False):
        assert refusal(_back(stranger, paid, 100, dry_run=dry_run)) == expected
    if who != "a program that may only read":
        assert refusal(stranger.get(f"/v1/payments/{paid['id']}")) == expected
    assert taken(taker.get(f"/v1/payments/{paid['id']}"), 200)["refunded_yen"] == 0


def test_a_program_that_may_only_read_sees_its_shops_payment(client: FlaskClient, world: World) -> None:
    paid = app_of(client, world, "payment").paid(300)
    reading = program_of(client, world, "shop:read")
    assert taken(reading.get(f"/v1/payments/{paid['id']}"), 200)["refundable_yen"] == 300


def test_what_is_no_payment_is_not_there(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    charge = taken(caller.get("/v1/transactions"), 200)["transactions"][-1]
    back = taken(_back(caller, caller.paid(5)))
    for other in (charge, back, {"id": "01936a7c-5b1e-7a10-8000-0000000000aa"}):
        assert refusal(_back(caller, other)) == (404, "not_found")
        assert refusal(caller.get(f"/v1/payments/{other['id']}")) == (404, "not_found")


def test_points_that_were_spent_are_missing(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    paid = caller.paid(300, strategy="money_only")
    world.accepted(Adjustment, money=world.points, amount_yen=3, book="granted", takes_back=True)
    refund = taken(_back(caller, paid))
    assert (refund["points_granted_yen"], refund["points_missing_yen"]) == (0, 3)
    assert taken(caller.get(f"/v1/transactions/{refund['id']}"), 200)["points_missing_yen"] == 3
