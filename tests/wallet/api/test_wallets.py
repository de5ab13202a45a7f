"""What a token may know of wallets, monies and shops: lots, limits, rules."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, text

from app.db import autocommit, transaction
from app.wallet.postings import Adjustment, Hold, Payment
from tests import factories
from tests.wallet.api.caller import app_of, program_of, refusal, taken
from tests.wallet.world import World, in_days, read, soon

pytestmark = pytest.mark.ledger


def test_a_wallet_shows_what_expires_when(client: FlaskClient) -> None:
    world = World()
    caller = app_of(client, world, "balance")
    world.charge(world.meal, 1_000)
    for days, yen in ((9, 30), (1, 10), (5, 20)):
        world.accepted(Adjustment, money=world.points, amount_yen=yen, book="granted", expires_on=in_days(days))
    world.accepted(Adjustment, money=world.points, amount_yen=40, book="granted")
    world.accepted(Hold, amount_yen=15, expires_at=soon())

    body = taken(caller.get("/v1/wallets"), 200)
    base, meal, points = body["wallets"]
    assert body["total_yen"] == 1_100
    assert points["money"]["code"] == world.points
    assert (points["balance_yen"], points["available_yen"], points["held_yen"]) == (100, 85, 15)
    assert points["lots"] == [
        {"amount_yen": 10, "expires_on": in_days(1).isoformat()},
        {"amount_yen": 20, "expires_on": in_days(5).isoformat()},
        {"amount_yen": 30, "expires_on": in_days(9).isoformat()},
        {"amount_yen": 40, "expires_on": None},
    ]
    assert (base["balance_yen"], base["lots"]) == (0, [])
    assert meal == taken(caller.get(f"/v1/wallets/{world.meal}"), 200)
    assert refusal(caller.get("/v1/wallets/gold")) == (404, "wallet_unknown")


def test_what_has_expired_and_is_not_swept_yet_is_not_there_but_what_is_held_of_it_is(client: FlaskClient) -> None:
    world = World()
    caller = app_of(client, world, "balance")
    world.charge(world.meal, 10)
    world.accepted(Adjustment, money=world.points, amount_yen=50, book="granted", expires_on=in_days(1))
    world.accepted(Hold, amount_yen=20, expires_at=soon())
    world.date_back(world.points, days=2)
    wallet = taken(caller.get(f"/v1/wallets/{world.points}"), 200)
    assert (wallet["balance_yen"], wallet["available_yen"], wallet["held_yen"]) == (20, 0, 20)
    assert wallet["lots"] == [{"amount_yen": 20, "expires_on": in_days(-1).isoformat()}]
    assert world.balance_yen(world.points) == 50, "the books still hold it"


def test_months_after_the_last_charge_are_the_date_of_the_undated_lot(client: FlaskClient) -> None:
    world = World(expiry="after_charge", expiry_months=6)
    world.charge(world.meal, 100)
    [lot] = taken(app_of(client, world, "balance").get(f"/v1/wallets/{world.meal}"), 200)["lots"]
    [(until,)] = read(
        "SELECT expires_on FROM wallet WHERE member_id = :m AND expires_on IS NOT NULL", m=world.member_id
    )
    assert lot == {"amount_yen": 100, "expires_on": until.isoformat()}


def test_ceiling_room_and_limits_with_what_is_used(client: FlaskClient) -> None:
    world = World(ceiling_yen=5_000, max_per_payment_yen=900, max_per_month_yen=20_000)
    caller = app_of(client, world, "balance")
    world.charge(world.meal, 2_000)
    with transaction() as session:
        session.execute(
            text(
                "UPDATE wallet SET max_per_payment_yen = 700, max_per_day_yen = 3000, max_per_month_yen = 90000,"
                " reserved_yen = 500 WHERE member_id = :m AND money_id = (SELECT id FROM money WHERE code = :c)"
            ),
            {"m": world.member_id, "c": world.meal},
        )
    world.accepted(Payment, amount_yen=600)
    wallet = taken(caller.get(f"/v1/wallets/{world.meal}"), 200)
    assert (wallet["ceiling_yen"], wallet["reserved_yen"], wallet["room_yen"]) == (5_000, 500, 3_100)
    assert wallet["limits"] == {
        "max_per_payment_yen": 700,
        "max_per_day_yen": 3_000,
        "used_today_yen": 600,
        "max_per_month_yen": 20_000,
        "used_this_month_yen": 600,
    }


def test_all_wallets_are_one_query(client: FlaskClient) -> None:
    world = World()
    caller = app_of(client, world, "balance")
    taken(caller.get("/v1/wallets"), 200)
    statements: list[str] = []
    engine = autocommit()

    def note(*args: object) -> None:
        statements.append(str(args[2]))

    event.listen(engine, "before_cursor_execute", note)
    try:
        taken(caller.get("/v1/wallets"), 200)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(statements) == 1


def test_monies_say_their_rules_without_words(client: FlaskClient) -> None:
    world = World(
        expiry="fixed_date", expires_month_day="03-31", expiry_min_days=90, groups=["meal"], ceiling_yen=9_000
    )
    caller = app_of(client, world, "balance")
    monies = {one["code"]: one for one in taken(caller.get("/v1/monies"), 200)["monies"]}
    meal, base, points = monies[world.meal], monies[world.base], monies[world.points]
    assert meal["expiry"] == {"rule": "fixed_date", "month_day": "03-31", "min_days": 90, "months": None}
    assert (meal["groups"], meal["ceiling_yen"], meal["backing"]) == (["meal"], 9_000, "paid")
    assert meal["points"] == {
        "money": {"code": world.points, "name": world.points},
        "rate_bp": 100,
        "rounding": "down",
    }
    assert (points["backing"], points["points"], points["groups"]) == ("free", None, None)
    assert base["expiry"] == {"rule": "never", "month_day": None, "min_days": None, "months": None}
    assert base["moves_to"] == [
        {"money": {"code": world.meal, "name": world.meal}, "min_yen": 1, "max_yen": 1_000_000, "step_yen": 10}
    ]
    assert meal["moves_to"] == []


def test_shops_are_those_of_the_client_with_what_they_accept(client: FlaskClient) -> None:
    world, other = World(), World()
    caller = app_of(client, world, "payment")
    [shop] = taken(caller.get("/v1/shops"), 200)["shops"]
    assert (shop["code"], shop["status"]) == (caller.shop, "open")
    accepts = {one["money"]["code"]: one["falls_to"] for one in shop["accepts"]}
    assert accepts == {world.points: [], world.base: [], world.meal: [world.base]}
    with transaction() as session:
        session.execute(text("UPDATE shop SET status = 'closed' WHERE id = :id"), {"id": world.shop_id})
        session.execute(
            text("UPDATE shop_money SET accepted = false WHERE shop_id = :id AND falls_to = '{}'"),
            {"id": world.shop_id},
        )
    [shop] = taken(caller.get("/v1/shops"), 200)["shops"]
    assert (shop["status"], [one["money"]["code"] for one in shop["accepts"]]) == ("closed", [world.meal])
    assert taken(program_of(client, other, "shop:read", shops=[]).get("/v1/shops"), 200) == {"shops": []}


def test_names_come_in_the_language_asked_for(client: FlaskClient) -> None:
    holder = factories.holder(balance_yen=100)
    registered = factories.oauth_client(allowed_shops=[holder.shop_id])
    token = factories.access_token(member_id=holder.member_id, client_id=registered.id, scopes=["balance"])
    headers = {"Authorization": f"Bearer {token}", "Accept-Language": "en"}
    [shop] = client.get("/v1/shops", headers=headers).get_json()["shops"]
    assert (shop["name"], shop["accepts"][0]["money"]["name"]) == ("Central Canteen", "Meal money")
