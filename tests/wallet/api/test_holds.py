"""Holds and moves over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import clock
from tests import factories
from tests.wallet.api.caller import Caller, app_of, program_of, refusal, shown, taken, wrong_fields
from tests.wallet.world import World

pytestmark = pytest.mark.ledger


@pytest.fixture
def world() -> World:
    world = World()
    world.charge(world.base, 2_000)
    world.charge(world.meal, 500)
    return world


def _state(caller: Caller, held: dict[str, Any]) -> tuple[str, int]:
    seen = taken(caller.get(f"/v1/holds/{held['id']}"), 200)
    return seen["state"], seen["captured_yen"]


def test_a_hold_is_captured_in_part_and_the_rest_is_free(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    held = taken(caller.hold(400, description="図書の予約", metadata={"order": "B-3"}, key="hold-1"))
    assert (held["kind"], held["signed_amount_yen"], held["parts"], held["hold_id"]) == ("hold", 0, [], held["id"])
    assert (held["amount_yen"], held["balance_yen"]) == (400, 500)
    seen = taken(caller.get(f"/v1/holds/{held['id']}"), 200)
    assert (seen["state"], seen["amount_yen"], seen["captured_yen"], seen["ended_by"]) == ("held", 400, 0, None)
    assert (seen["description"], seen["metadata"], seen["request_id"]) == ("図書の予約", {"order": "B-3"}, "hold-1")
    assert taken(caller.get(f"/v1/wallets/{world.meal}"), 200)["held_yen"] == 400

    over = caller.post(f"/v1/holds/{held['id']}/capture", {"amount_yen": 401})
    assert refusal(over) == (422, "capture_exceeds_hold")
    captured = taken(caller.post(f"/v1/holds/{held['id']}/capture", {"amount_yen": 250}))
    assert (captured["kind"], captured["signed_amount_yen"], captured["hold_id"]) == ("capture", -250, held["id"])
    assert captured["points_granted_yen"] == 2
    assert _state(caller, held) == ("captured", 250)
    assert taken(caller.get(f"/v1/wallets/{world.meal}"), 200)["available_yen"] == 250
    for way in ("capture", "release"):
        assert refusal(caller.post(f"/v1/holds/{held['id']}/{way}", {})) == (409, "hold_already_captured")

    assert shown(caller, captured["id"]) == captured
    back = taken(caller.post(f"/v1/payments/{captured['id']}/refunds", {}))
    assert (back["amount_yen"], back["points_granted_yen"]) == (250, -2)
    assert refusal(caller.get(f"/v1/payments/{held['id']}")) == (404, "not_found"), "a hold is no payment"


def test_a_hold_is_released(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    held = taken(caller.hold(500))
    freed = taken(caller.post(f"/v1/holds/{held['id']}/release", {"description": "取り消し"}))
    assert (freed["kind"], freed["signed_amount_yen"], freed["parts"], freed["hold_id"]) == (
        "release",
        0,
        [],
        held["id"],
    )
    assert freed["description"] == "取り消し"
    assert _state(caller, held) == ("released", 0)
    assert refusal(caller.post(f"/v1/holds/{held['id']}/capture", {})) == (409, "hold_released")


def test_lost_replies_hold_and_take_once(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    first, again = (caller.hold(300, key="held") for _ in range(2))
    assert taken(first) == taken(again)
    assert again.headers["Idempotency-Hit"] == "true"
    assert refusal(caller.hold(300, key="held", expires_in_s=60)) == (409, "request_id_conflict")
    path = f"/v1/holds/{taken(first)['id']}/capture"
    one, two = (caller.post(path, {}, key="took") for _ in range(2))
    assert taken(one) == taken(two)
    assert two.headers["Idempotency-Hit"] == "true"
    assert world.balance_yen(world.meal) == 200


def test_a_hold_that_ran_out_is_not_captured(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    with pytest.MonkeyPatch.context() as patch:
        an_hour_ago = clock.now() - timedelta(hours=1)
        patch.setattr(clock, "now", lambda: an_hour_ago)
        held = taken(caller.hold(300, expires_in_s=3_600))
    assert _state(caller, held) == ("expired", 0)
    assert refusal(caller.post(f"/v1/holds/{held['id']}/capture", {})) == (409, "hold_expired")


def _other_app(http: FlaskClient, world: World, _: str) -> Caller:
    return app_of(http, world)


def _other_member(http: FlaskClient, _: World, client_id: str) -> Caller:
    token = factories.access_token(member_id=World().member_id, client_id=client_id, scopes=["payment"])
    return Caller(http=http, client_id=client_id, token=token)


@pytest.mark.parametrize("stranger_of", [_other_app, _other_member])
def test_only_who_placed_it_finds_it(
    client: FlaskClient, world: World, stranger_of: Callable[[FlaskClient, World, str], Caller]
) -> None:
    caller = app_of(client, world)
    held = taken(caller.hold(300))
    stranger = stranger_of(client, world, caller.client_id)
    assert refusal(stranger.get(f"/v1/holds/{held['id']}")) == (404, "not_found")
    for way in ("capture", "release"):
        first, again = (stranger.post(f"/v1/holds/{held['id']}/{way}", {}, key=f"{way}-it") for _ in range(2))
        assert refusal(first) == refusal(again) == (404, "hold_unknown")
        assert again.headers["Idempotency-Hit"] == "true", "a refusal is an answer"
    assert _state(caller, held) == ("held", 0)
    unknown = caller.post("/v1/holds/01936a7c-5b1e-7a10-8000-0000000000aa/capture", {})
    assert refusal(unknown) == (404, "hold_unknown")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"expires_in_s": 0}, "expires_in_s"),
        ({"expires_in_s": 7 * 86_400 + 1}, "expires_in_s"),
        ({"expires_in_s": "60"}, "expires_in_s"),
        ({"dry_run": True}, "dry_run"),
        ({"amount_yen": 0}, "amount_yen"),
    ],
)
def test_a_wrong_field_is_named(client: FlaskClient, world: World, changes: dict[str, Any], field: str) -> None:
    caller = app_of(client, world)
    assert wrong_fields(caller.post("/v1/holds", {**caller.spending(5), **changes})) == [field]
    assert wrong_fields(caller.hold(5, key=None)) == ["Idempotency-Key"]


def test_a_large_hold_needs_a_fresh_sign_in(client: FlaskClient, world: World) -> None:
    """Or a hold and its capture would be a way around that of a payment."""
    world.charge(world.base, 20_000)
    fresh = app_of(client, world, most_yen=30_000)
    stale = Caller(
        http=client,
        client_id=fresh.client_id,
        shop=fresh.shop,
        money=world.base,
        token=factories.access_token(
            member_id=world.member_id,
            client_id=fresh.client_id,
            scopes=["payment"],
            max_per_payment_yen=30_000,
            auth_time=clock.now() - timedelta(hours=1),
        ),
    )
    assert refusal(stale.hold(10_001)) == (401, "insufficient_user_authentication")
    assert refusal(stale.pay(10_001, dry_run=True, key="dry")) == (401, "insufficient_user_authentication")
    assert taken(stale.hold(10_000))["amount_yen"] == 10_000
    assert taken(fresh.hold(10_001, money=world.base))["amount_yen"] == 10_001


def test_a_shop_not_allowed_holds_nothing(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    assert refusal(caller.hold(5, shop="nowhere")) == (404, "shop_unknown")
    assert refusal(caller.hold(9_001)) == (403, "mandate_exceeded")


def test_a_move_is_negative_where_it_left(client: FlaskClient, world: World) -> None:
    caller = app_of(client, world)
    body = {"from": world.base, "to": world.meal, "amount_yen": 990, "description": "学食マネーへ"}
    tried = taken(caller.post("/v1/moves", {**body, "dry_run": True}, key=None), 200)
    first, again = (caller.post("/v1/moves", body, key="moved") for _ in range(2))
    moved = taken(first)
    assert (moved["kind"], moved["amount_yen"], moved["signed_amount_yen"]) == ("move", 990, -990)
    assert [(part["money"]["code"], part["signed_amount_yen"], part["balance_yen"]) for part in moved["parts"]] == [
        (world.base, -990, 1_010),
        (world.meal, 990, 1_490),
    ]
    assert tried["parts"] == moved["parts"]
    assert taken(again) == moved == shown(caller, moved["id"])
    assert again.headers["Idempotency-Hit"] == "true"


def test_moves_follow_their_rule(client: FlaskClient) -> None:
    world = World(ceiling_yen=1_000)
    world.charge(world.base, 3_000)
    caller = app_of(client, world, "move")

    def move(source: str, target: str, amount_yen: int) -> tuple[int, str]:
        return refusal(caller.post("/v1/moves", {"from": source, "to": target, "amount_yen": amount_yen}))

    assert move(world.base, world.meal, 995) == (422, "invalid_amount")
    assert move(world.base, world.meal, 1_010) == (422, "wallet_ceiling_exceeded")
    assert move(world.meal, world.base, 10) == (422, "move_not_allowed")
    assert move(world.base, world.base, 10) == (422, "same_account")
    assert move(world.base, "gold", 10) == (422, "money_not_accepted")
    assert move(world.base, world.meal, 1_000_000) == (422, "wallet_ceiling_exceeded")


@pytest.mark.parametrize("field", ["from", "to", "amount_yen"])
def test_a_move_names_its_missing_field(client: FlaskClient, world: World, field: str) -> None:
    caller = app_of(client, world)
    body = {"from": world.base, "to": world.meal, "amount_yen": 10}
    del body[field]
    assert wrong_fields(caller.post("/v1/moves", body)) == [field]


def test_moves_are_for_who_was_allowed(client: FlaskClient, world: World) -> None:
    body = {"from": world.base, "to": world.meal, "amount_yen": 10}
    for caller in (
        app_of(client, world, "payment", "balance"),
        program_of(client, world, "payment"),
        program_of(client, world, "shop:refund"),
    ):
        assert refusal(caller.post("/v1/moves", body)) == (403, "insufficient_scope")
    assert taken(app_of(client, world, "move").post("/v1/moves", body))["balance_yen"] is None
