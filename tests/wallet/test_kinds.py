"""Every kind of transaction once, through the poster: what moves, what the books say, that they stay clean."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from app.db import database_url, transaction
from app.wallet import ledger
from app.wallet.models import Shop
from app.wallet.postings import (
    Accepted,
    Adjustment,
    Capture,
    Charge,
    Close,
    Expiry,
    Hold,
    Item,
    Move,
    Part,
    Payment,
    Refund,
    Refused,
    Release,
)
from app.wallet.verify import verify
from tests.wallet.world import World, in_days, read, soon

pytestmark = pytest.mark.ledger


@pytest.fixture(autouse=True)
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield
        assert verify(database_url())[1] == []


def test_a_payment_falls_through_points_meal_and_base_in_one_transaction() -> None:
    world = World()
    world.charge(world.base, 1_000)
    world.charge(world.meal, 300)
    world.accepted(Adjustment, money=world.points, amount_yen=50, book="granted")
    paid = world.accepted(Payment, amount_yen=600)
    assert paid.parts == (
        Part(world.points, -47, 3),  # 50 spent, and 3 earned: 1 % of the 300 paid in meal money
        Part(world.meal, -300, 0),
        Part(world.base, -250, 750),
    )
    assert (paid.points_yen, paid.balance_yen) == (3, 0)


def test_money_only_leaves_the_points() -> None:
    world = World()
    world.charge(world.meal, 300)
    world.accepted(Adjustment, money=world.points, amount_yen=50, book="granted")
    world.accepted(Payment, amount_yen=300, money_only=True)
    assert world.balance_yen(world.points) == 53


def test_a_money_buys_its_product_groups_only() -> None:
    world = World(groups=["meal"])
    world.charge(world.meal, 1_000)
    world.charge(world.base, 200)
    goods = (Item(group="goods", amount_yen=1),)
    items = (Item(group="meal", amount_yen=500), Item(group="goods", amount_yen=200))
    world.accepted(Payment, amount_yen=700, items=items)
    assert (world.balance_yen(world.meal), world.balance_yen(world.base)) == (500, 0)
    assert world.refused(Payment, amount_yen=1, money_only=True, items=goods) == "insufficient_balance"
    assert world.refused(Payment, amount_yen=2, items=goods) == "items_do_not_add_up"


def test_what_can_be_paid_by_product_groups_is_never_refused() -> None:
    """Points must leave the rolls to base, though that alone cannot buy all of them, for meal to be left the books."""
    world = World(groups=["lunch", "books"])
    world.rule(world.points, groups=["lunch", "rolls"])
    world.rule(world.base, groups=["rolls"])
    world.accepted(Adjustment, money=world.points, amount_yen=15, book="granted")
    world.charge(world.meal, 10)
    world.charge(world.base, 5)
    items = tuple(Item(group=group, amount_yen=10) for group in ("lunch", "rolls", "books"))
    paid = world.accepted(Payment, amount_yen=30, items=items)
    assert [(part.money, part.amount_yen) for part in paid.parts] == [
        (world.points, -15),
        (world.meal, -10),
        (world.base, -5),
    ]


def test_refunds_in_parts_go_back_to_the_lots_and_undo_the_points() -> None:
    world = World()
    world.charge(world.base, 500)
    world.charge(world.meal, 500)
    paid = world.accepted(Payment, amount_yen=900)
    assert (world.balance_yen(world.points), world.balance_yen(world.meal), world.balance_yen(world.base)) == (
        5,
        0,
        100,
    )
    first = world.accepted(Refund, transaction_id=paid.transaction_id, amount_yen=450)
    assert (world.balance_yen(world.base), world.balance_yen(world.meal)) == (500, 50)
    assert first.points_yen == -3
    assert world.refused(Refund, transaction_id=paid.transaction_id, amount_yen=451) == "refund_exceeds_payment"
    world.accepted(Refund, transaction_id=paid.transaction_id)
    assert (world.balance_yen(world.points), world.balance_yen(world.meal), world.balance_yen(world.base)) == (
        0,
        500,
        500,
    )
    assert world.refused(Refund, transaction_id=paid.transaction_id) == "already_refunded"


def test_lots_are_spent_by_nearest_expiry_and_expire_for_good() -> None:
    world = World()
    for days, yen in ((9, 30), (1, 10), (5, 20)):
        world.accepted(Adjustment, money=world.points, amount_yen=yen, book="granted", expires_on=in_days(days))
    world.charge(world.meal, 100)
    world.accepted(Payment, amount_yen=35)
    assert world.lots(world.points) == {in_days(9): 25}
    assert world.refused(Expiry, money=world.points) == "nothing_expired"
    world.date_back(world.points, days=10)
    world.accepted(Payment, amount_yen=10)
    assert world.balance_yen(world.points) == 25
    assert world.accepted(Expiry, money=world.points).amount_yen == 25


def test_a_charge_enters_the_lot_of_the_next_fixed_date() -> None:
    world = World(expiry="fixed_date", expires_month_day=in_days(0).strftime("%m-%d"), expiry_min_days=1)
    world.charge(world.meal, 100)
    [until] = world.lots(world.meal)
    assert until is not None
    assert until > in_days(300)


def test_months_after_the_last_charge_move_with_it() -> None:
    world = World(expiry="after_charge", expiry_months=6)
    world.charge(world.meal, 100)
    [(until,)] = read(
        "SELECT expires_on FROM wallet WHERE member_id = :m AND expires_on IS NOT NULL", m=world.member_id
    )
    assert in_days(175) < until < in_days(190)


def _let_undated_expire(world: World) -> None:
    with transaction() as session:
        sql = "UPDATE wallet SET expires_on = :d WHERE member_id = :m AND expires_on IS NOT NULL"
        session.execute(text(sql), {"d": in_days(-9), "m": world.member_id})


@pytest.mark.parametrize("entering", ["charge", "grant", "move", "refund"])
def test_what_has_expired_leaves_before_other_value_enters(entering: str) -> None:
    """Nobody has swept yet. The day of the undated lot moves, and what was in it must not come back with it."""
    world = World(expiry="after_charge", expiry_months=6, ceiling_yen=1_000)
    world.charge(world.meal, 900)
    world.charge(world.base, 300)
    paid = world.accepted(Payment, amount_yen=300)
    _let_undated_expire(world)
    kind, values = {
        "charge": (Charge, {"money": world.meal, "amount_yen": 500, "book": "issued_by_cash"}),
        "grant": (Adjustment, {"money": world.meal, "amount_yen": 500, "book": "granted"}),
        "move": (Move, {"money": world.base, "to_money": world.meal, "amount_yen": 300}),
        "refund": (Refund, {"transaction_id": paid.transaction_id}),
    }[entering]
    posting = world.posting(kind, **values)
    entered, again = ledger.post(posting), ledger.post(posting)
    assert isinstance(entered, Accepted)
    assert isinstance(again, Accepted)
    assert again == replace(entered, hit=True, parts=again.parts)
    [(expired_yen, before)] = read(
        "SELECT amount_yen, position FROM transaction WHERE member_id = :m AND kind = 'expiry'", m=world.member_id
    )
    assert (expired_yen, before) == (600, entered.position - 1)
    assert world.balance_yen(world.meal) == entered.amount_yen
    assert world.accepted(Payment, amount_yen=entered.amount_yen, money_only=True).amount_yen == entered.amount_yen
    assert world.refused(Expiry, money=world.meal) == "nothing_expired"


def test_a_payment_right_behind_a_charge_spends_it_though_what_was_there_had_expired() -> None:
    world = World(expiry="after_charge", expiry_months=6)
    world.charge(world.meal, 900)
    _let_undated_expire(world)
    charged, paid, too_much = ledger.post_many(
        [
            world.posting(Charge, money=world.meal, amount_yen=500, book="issued_by_cash"),
            world.posting(Payment, amount_yen=500, money_only=True),
            world.posting(Payment, amount_yen=1, money_only=True),
        ]
    )
    assert isinstance(charged, Accepted)
    assert isinstance(paid, Accepted)
    assert (paid.position, paid.balance_yen) == (charged.position + 1, 0)
    assert isinstance(too_much, Refused)
    assert too_much.code == "insufficient_balance"


def test_what_is_held_of_expired_value_stays_for_its_hold() -> None:
    world = World(expiry="after_charge", expiry_months=6)
    world.charge(world.meal, 900)
    held = world.accepted(Hold, amount_yen=200, expires_at=soon())
    _let_undated_expire(world)
    world.charge(world.meal, 100)
    assert world.balance_yen(world.meal) == 300
    assert world.accepted(Capture, hold_id=held.transaction_id).balance_yen == 100


def test_points_that_have_expired_leave_before_a_payment_earns_more() -> None:
    world = World()
    world.rule(world.points, expiry="after_charge", expiry_months=6)
    world.charge(world.meal, 1_000)
    world.accepted(Adjustment, money=world.points, amount_yen=50, book="granted")
    _let_undated_expire(world)
    assert world.accepted(Payment, amount_yen=500).points_yen == 5
    assert world.balance_yen(world.points) == 5


def test_a_hold_is_captured_in_part_once() -> None:
    world = World()
    world.charge(world.meal, 500)
    held = world.accepted(Hold, amount_yen=400, expires_at=soon())
    assert world.balance_yen(world.meal) == 500
    assert world.refused(Payment, amount_yen=101) == "insufficient_balance"
    captured = world.accepted(Capture, hold_id=held.transaction_id, amount_yen=250)
    assert (captured.kind, captured.balance_yen, captured.points_yen) == ("capture", 250, 2)
    assert world.refused(Capture, hold_id=held.transaction_id) == "hold_already_captured"
    assert world.refused(Release, hold_id=held.transaction_id) == "hold_already_captured"
    world.accepted(Refund, transaction_id=captured.transaction_id)
    assert world.balance_yen(world.meal) == 500


def test_a_hold_is_released_or_runs_out() -> None:
    world = World()
    world.charge(world.meal, 500)
    held = world.accepted(Hold, amount_yen=500, expires_at=soon())
    assert world.refused(Release, hold_id=held.transaction_id, expired=True) == "hold_not_expired"
    world.accepted(Release, hold_id=held.transaction_id)
    over = world.accepted(Hold, amount_yen=500, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert world.refused(Capture, hold_id=over.transaction_id) == "hold_expired"
    world.accepted(Release, hold_id=over.transaction_id, expired=True)
    world.accepted(Payment, amount_yen=500)


def test_a_released_hold_gives_back_what_the_days_limit_counted() -> None:
    world = World(max_per_day_yen=500)
    world.charge(world.meal, 2_000)
    held = world.accepted(Hold, amount_yen=400, expires_at=soon())
    assert world.refused(Payment, amount_yen=101) == "daily_limit_exceeded"
    world.accepted(Capture, hold_id=held.transaction_id, amount_yen=100)
    world.accepted(Payment, amount_yen=400, money_only=True)
    assert world.refused(Payment, amount_yen=2, money_only=True) == "daily_limit_exceeded"


def test_moves_follow_their_rule() -> None:
    world = World(ceiling_yen=1_000)
    world.charge(world.base, 3_000)
    moved = world.accepted(Move, money=world.base, to_money=world.meal, amount_yen=990)
    assert moved.parts == (Part(world.base, -990, 2_010), Part(world.meal, 990, 990))
    assert world.refused(Move, money=world.base, to_money=world.meal, amount_yen=995) == "invalid_amount"
    assert world.refused(Move, money=world.base, to_money=world.meal, amount_yen=20) == "wallet_ceiling_exceeded"
    assert world.refused(Move, money=world.meal, to_money=world.base, amount_yen=10) == "move_not_allowed"
    assert world.refused(Move, money=world.meal, to_money=world.meal, amount_yen=10) == "same_account"


def test_closing_pays_out_against_the_quota() -> None:
    world = World()
    world.charge(world.base, 800)
    begins_on = date(1990, 4, 1) + timedelta(days=secrets.randbelow(9_000))
    closing = {"money": world.base, "reason": "small_amount", "period_begins_on": begins_on}
    assert world.refused(Close, **closing) == "payout_quota_exceeded"
    with transaction() as open_session:
        open_session.execute(
            text("INSERT INTO payout_period (issuer_id, begins_on, quota_yen) SELECT id, :b, 1000 FROM issuer"),
            {"b": begins_on},
        )
    assert world.accepted(Close, **closing).amount_yen == 800
    assert world.refused(Payment, amount_yen=1, money=world.base) == "wallet_closed"
    [(left_yen,)] = read("SELECT quota_yen - paid_out_yen FROM payout_period WHERE begins_on = :b", b=begins_on)
    assert left_yen == 200


def test_a_dry_run_says_what_would_happen_and_moves_nothing() -> None:
    world = World()
    world.charge(world.meal, 500)
    tried = world.accepted(Payment, amount_yen=300, dry_run=True, request_id="later")
    assert (tried.position, tried.balance_yen, tried.points_yen) == (0, 200, 3)
    assert world.balance_yen(world.meal) == 500
    assert world.refused(Payment, amount_yen=501, dry_run=True) == "insufficient_balance"


def test_what_the_office_sets_holds_for_the_next_payment() -> None:
    world = World()
    world.charge(world.meal, 500)
    world.accepted(Payment, amount_yen=100)
    world.rule(world.meal, max_per_payment_yen=50)
    assert world.refused(Payment, amount_yen=51, money_only=True) == "payment_limit_exceeded"
    with transaction() as open_session:
        open_session.get_one(Shop, world.shop_id).status = "closed"
    assert world.refused(Payment, amount_yen=50) == "shop_closed"


def test_parts_are_told_again_to_who_asks_again() -> None:
    world = World()
    world.charge(world.base, 500)
    world.charge(world.meal, 100)
    values: dict[str, Any] = {"amount_yen": 300, "request_id": secrets.token_hex(8)}
    first, second = world.accepted(Payment, **values), world.accepted(Payment, **values)
    assert second.hit
    assert (second.parts, second.points_yen, second.transaction_id) == (
        first.parts,
        first.points_yen,
        first.transaction_id,
    )


def test_nobody_captures_anothers_hold() -> None:
    world = World()
    world.charge(world.meal, 100)
    held = world.accepted(Hold, amount_yen=100, expires_at=soon())
    assert world.refused(Capture, hold_id=held.transaction_id, requester="another") == "hold_unknown"
    assert world.refused(Capture, hold_id=UUID(int=1)) == "hold_unknown"


def test_many_are_posted_in_their_order_and_each_stands_for_itself() -> None:
    world = World()
    world.charge(world.meal, 150)
    values: dict[str, Any] = {"requester": "test", "params_hash": b"x", "member_id": world.member_id}
    values |= {"money": world.meal, "shop_id": world.shop_id, "controls": (), "money_only": True}
    many = [Payment(request_id=secrets.token_hex(8), amount_yen=yen, **values) for yen in (100, 60, 50, *[1] * 300)]
    outcomes = ledger.post_many(many)
    assert [isinstance(outcome, Accepted) for outcome in outcomes] == [True, False, True, *[False] * 300]
    again = ledger.post_many(many)
    assert all(outcome.hit for outcome in again)
    assert [outcome for outcome in again if isinstance(outcome, Accepted)][1].balance_yen == 0
