"""Payments over HTTP: how an amount is made up and shown, items, dry runs, names that stay good."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from app.wallet import ledger
from app.wallet.postings import Accepted, Adjustment, Payment
from tests.wallet.api.caller import allow, app_of, refusal, shown, taken, wrong_fields
from tests.wallet.world import World

pytestmark = pytest.mark.ledger


def _parts(body: dict[str, Any]) -> list[tuple[str, int, int | None]]:
    return [(part["money"]["code"], part["signed_amount_yen"], part["balance_yen"]) for part in body["parts"]]


@pytest.fixture
def world() -> World:
    world = World()
    world.charge(world.base, 1_000)
    world.charge(world.meal, 300)
    world.accepted(Adjustment, money=world.points, amount_yen=50, book="granted")
    return world


def test_a_payment_shows_what_each_wallet_gave_and_the_points_it_earned(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    paid = caller.paid(600)
    assert _parts(paid) == [(world.points, -47, 3), (world.meal, -300, 0), (world.base, -250, 750)]
    assert (paid["amount_yen"], paid["signed_amount_yen"], paid["points_granted_yen"]) == (600, -600, 3)
    assert (paid["money"]["code"], paid["balance_yen"], paid["hold_id"]) == (world.meal, 0, None)
    assert shown(caller, paid["id"]) == paid


def test_a_plain_payment_has_one_part_and_shows_it_again(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    first, again = (caller.pay(40, key="once", strategy="money_only", money=world.base) for _ in range(2))
    assert _parts(taken(first)) == [(world.base, -40, 960)]
    assert again.headers["Idempotency-Hit"] == "true"
    assert taken(again) == taken(first) == shown(caller, taken(first)["id"])


def test_money_only_leaves_the_points(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    assert _parts(caller.paid(100, strategy="money_only")) == [(world.meal, -100, 200), (world.points, 1, 51)]
    assert wrong_fields(caller.pay(1, strategy="points_last")) == ["strategy"]


def test_balances_in_parts_are_for_who_may_read_balances(client: FlaskClient, world: World) -> None:
    paid = app_of(client, world, "payment").paid(600)
    assert {balance for _, _, balance in _parts(paid)} == {None}


def test_items_pay_by_group_and_are_kept(client: FlaskClient) -> None:
    world = World(groups=["meal"])
    world.charge(world.meal, 1_000)
    world.charge(world.base, 200)
    caller = app_of(client, world)
    items = [
        {"group": "meal", "amount_yen": 500, "name": "A定食"},
        {"group": "goods", "amount_yen": 200},
    ]
    paid = caller.paid(700, items=items, metadata={"order": "A-17"})
    assert paid["metadata"] == {"order": "A-17", "items": items}
    assert _parts(paid)[:2] == [(world.meal, -500, 500), (world.base, -200, 0)]
    assert taken(caller.get(f"/v1/transactions/{paid['id']}"), 200)["metadata"] == paid["metadata"]
    assert refusal(caller.pay(701, items=items)) == (422, "items_do_not_add_up")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"items": [{"group": "meal"}]}, "items"),
        ({"items": [{"group": "", "amount_yen": 1}]}, "items"),
        ({"items": [{"group": "meal", "amount_yen": 0}]}, "items"),
        ({"items": [{"group": "meal", "amount_yen": 1, "name": "\ud800"}]}, "items"),
        ({"items": [{"group": "meal", "amount_yen": 1, "colour": "red"}]}, "items"),
        ({"items": [{"group": "meal", "amount_yen": 1}] * 51}, "items"),
        ({"items": {"group": "meal"}}, "items"),
        ({"items": [{"group": "meal", "amount_yen": 5}], "metadata": {"items": "x"}}, "metadata"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"dry_run": 1}, "dry_run"),
        ({"expires_in_s": 60}, "expires_in_s"),
    ],
)
def test_a_wrong_field_is_named(client: FlaskClient, world: World, changes: dict[str, Any], field: str) -> None:
    assert wrong_fields(app_of(client, world).pay(5, **changes)) == [field]


def test_a_dry_run_says_what_would_happen_and_keeps_nothing(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    tried = taken(caller.pay(600, dry_run=True, key=None), 200)
    assert (tried["id"], tried["receipt_no"], tried["created_at"], tried["dry_run"]) == (None, None, None, True)
    assert (tried["points_granted_yen"], tried["request_id"]) == (3, None)
    assert refusal(caller.pay(2_000, dry_run=True, key="later")) == (422, "insufficient_balance")
    assert refusal(caller.pay(1, dry_run=True, key="later", shop="nowhere")) == (404, "shop_unknown")
    assert refusal(caller.get("/v1/transactions/by-request/later")) == (404, "not_found")
    paid = caller.paid(600, key="later")
    assert _parts(paid) == _parts(tried)
    assert taken(caller.pay(1, dry_run=True, key="later"), 200)["amount_yen"] == 1, "a dry run names nothing"
    assert paid.keys() | {"dry_run"} == tried.keys()


def test_a_dry_run_in_earnest_needs_a_key(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    assert wrong_fields(caller.pay(1, key=None)) == ["Idempotency-Key"]
    assert wrong_fields(caller.pay(1, key=None, dry_run=False)) == ["Idempotency-Key"]
    assert wrong_fields(caller.pay(1, key="a b", dry_run=True)) == ["Idempotency-Key"]


def test_what_was_sent_before_there_were_strategies_is_still_known(client: FlaskClient, world: World) -> None:
    """The fingerprint of a request that names none of the newer fields is what it always was."""
    caller = app_of(client, world)
    body = {**caller.spending(20), "description": "", "metadata": {}}
    asked = {"path": "/v1/payments", "member": str(world.member_id), "body": body}
    grant_id = allow(caller.client_id, world)
    before = ledger.post(
        Payment(
            requester=caller.client_id,
            request_id="of-old",
            params_hash=ledger.params_hash(asked),
            member_id=world.member_id,
            money=world.meal,
            shop_id=world.shop_id,
            amount_yen=20,
            controls=(grant_id,),
            grant_id=grant_id,
        )
    )
    assert isinstance(before, Accepted)
    for more in ({}, {"strategy": "points_first", "items": [], "dry_run": False}):
        answer = caller.pay(20, key="of-old", **more)
        assert taken(answer)["id"] == str(before.transaction_id)
        assert answer.headers["Idempotency-Hit"] == "true"
    assert refusal(caller.pay(20, key="of-old", strategy="money_only")) == (409, "request_id_conflict")


def test_an_adjustment_shows_its_sign(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    world.accepted(Adjustment, money=world.base, amount_yen=30, book="corrected", takes_back=True)
    world.accepted(Adjustment, money=world.base, amount_yen=10, book="corrected")
    given, taken_back = taken(caller.get("/v1/transactions?limit=2"), 200)["transactions"]
    assert (given["signed_amount_yen"], taken_back["signed_amount_yen"]) == (10, -30)
    assert _parts(taken_back) == [(world.base, -30, 970)]


def test_in_both_languages(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    body = caller.spending(9, items=[{"group": "meal", "amount_yen": 8}])
    titles = {
        locale: caller.post("/v1/payments", body, **{"Accept-Language": locale}).get_json()["title"]
        for locale in ("ja", "en")
    }
    assert titles == {
        "ja": "内訳の合計が金額と一致しません",
        "en": titles["en"],
    }
    assert titles["en"].isascii()
