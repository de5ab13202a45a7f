"""`kumiai money`, `kumiai shop` and `kumiai move-rule`: what the office sets holds for the next payment."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from flask import Flask

from app.db import database_url
from app.settings import Settings
from app.wallet.postings import Move, Payment, Refund
from app.wallet.verify import verify
from tests import factories
from tests.oauth.office import Kumiai, kumiai_for
from tests.wallet.world import World, read

pytestmark = pytest.mark.ledger


@pytest.fixture(autouse=True)
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield
        assert verify(database_url())[1] == []


@pytest.fixture
def kumiai(settings: Settings) -> Kumiai:
    return kumiai_for(settings)


@pytest.fixture
def done(kumiai: Kumiai) -> Callable[..., str]:
    """Runs a command that must succeed; returns what it said."""

    def run(*arguments: str) -> str:
        result: Result = kumiai(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def code(prefix: str) -> str:
    return f"{prefix}{secrets.token_hex(5)}"


NAMES = ("--name-ja", "学食パス", "--name-en", "Meal pass")


def shop_code(world: World) -> str:
    [(found,)] = read("SELECT code FROM shop WHERE id = :id", id=world.shop_id)
    return str(found)


def test_a_money_is_made_shown_and_changed(done: Callable[..., str]) -> None:
    points, money = code("p_"), code("m_")
    done("money", "add", points, "--backing", "free", *NAMES, "--expires-on", "03-31", "--min-days", "60")
    rules = ("--group", "meal", "--ceiling-yen", "50000", "--max-per-day-yen", "3000", "--grace-days", "14")
    earns = ("--points", points, "--points-percent", "1.5", "--points-rounding", "nearest")
    done("money", "add", money, "--backing", "paid", *NAMES, *rules, *earns, "--expires-after-months", "6")

    shown = done("money", "show", money)
    for said in ("学食パス", "paid", "meal", "6 months", "¥50,000", "¥3,000", f"{points}, 1.5 %, nearest", "14"):
        assert said in shown
    assert "03-31" in done("money", "list")
    changed = done("money", "set", money, "--ceiling-yen", "0", "--any-group", "--expires-never", "--points", "")
    assert "- ceiling_yen          ¥50,000" in changed
    assert "+ ceiling_yen          none" in changed
    assert "backing" not in changed
    [row] = read(
        "SELECT ceiling_yen, groups, expiry, expiry_months, points_money_id, max_per_day_yen FROM money"
        " WHERE code = :c",
        c=money,
    )
    assert tuple(row) == (None, None, "never", None, None, 3_000)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--name-ja", " 学食 "), "1 to 60"),
        (("--expires-on", "02-30"), "MM-DD"),
        (("--expires-on", "3/31"), "MM-DD"),
        (("--expires-on", "03-31\n"), "MM-DD"),
        (("--group", "学食"), "product group"),
        (("--points", "nowhere"), "free money"),
        (("--max-per-payment-yen", "500", "--max-per-day-yen", "400"), "above"),
        (("--max-per-payment-yen", "500", "--max-per-month-yen", "400"), "above"),
        (("--expires-never", "--expires-after-months", "3"), "only one"),
        (("--any-group", "--group", "meal"), "only one"),
        (("--points-percent", "1.234"), "--points-percent"),
        (("--points-percent", "NaN"), "--points-percent"),
        (("--points-percent", "101"), "--points-percent"),
        (("--ceiling-yen", "100000000"), "--ceiling-yen"),
        (("--ceiling-yen", "-1"), "--ceiling-yen"),
        (("--expires-after-months", "121"), "--expires-after-months"),
        (("--position", "99999"), "--position"),
    ],
)
def test_a_mistake_is_said_and_nothing_changes(kumiai: Kumiai, options: tuple[str, ...], words: str) -> None:
    money = factories.money()
    everything = "SELECT * FROM money WHERE code = :c"
    before = read(everything, c=money)
    refused = kumiai("money", "set", money, *options)
    assert (refused.exit_code in (1, 2), words in refused.output) == (True, True), refused.output
    assert read(everything, c=money) == before


def test_what_exists_or_does_not_is_said(kumiai: Kumiai) -> None:
    known = factories.money()
    for arguments, words in (
        (("money", "add", known, "--backing", "paid", *NAMES), "already"),
        (("money", "add", "Base", "--backing", "paid", *NAMES), "lower-case"),
        (("money", "add", "b" * 33, "--backing", "paid", *NAMES), "lower-case"),
        (("money", "show", "nowhere"), "no such money"),
        (("shop", "add", "Canteen", *NAMES), "lower-case"),
        (("shop", "close", "nowhere"), "no such shop"),
        (("move-rule", "remove", known, known), "no such rule"),
    ):
        refused = kumiai(*arguments)
        assert (refused.exit_code, words in refused.output) == (1, True), refused.output
    assert kumiai("money", "add", code("m_"), "--backing", "gold", *NAMES).exit_code == 2


def test_only_paid_monies_earn_and_only_free_ones_are_earned(kumiai: Kumiai) -> None:
    world = World()
    for money, points in ((world.points, world.points), (world.base, world.meal)):
        assert kumiai("money", "set", money, "--points", points).exit_code == 1


def test_a_new_money_is_payable_at_a_new_shop(done: Callable[..., str]) -> None:
    world = World()
    money, shop = code("m_"), code("s-")
    done("money", "add", money, "--backing", "paid", *NAMES)
    done("shop", "add", shop, "--name-ja", "中央食堂", "--name-en", "Canteen")
    assert "opened" in done("money", "open-wallets", money)
    assert "opened: 0" in done("money", "open-wallets", money)
    world.charge(money, 500)
    world.charge(world.base, 500)
    [(world.shop_id,)] = read("SELECT id FROM shop WHERE code = :c", c=shop)
    assert world.refused(Payment, money=money, amount_yen=100) == "money_not_accepted"

    done("shop", "accept", shop, world.base)
    done("shop", "accept", shop, money, "--falls-to", world.base)
    world.accepted(Payment, money=money, amount_yen=700)
    assert (world.balance_yen(money), world.balance_yen(world.base)) == (0, 300)
    assert f"{money}>{world.base}" in done("shop", "list")

    done("shop", "refuse", shop, world.base)
    assert world.refused(Payment, money=world.base, amount_yen=100) == "money_not_accepted"
    done("shop", "close", shop)
    assert world.refused(Payment, money=money, amount_yen=1) == "shop_closed"
    done("shop", "open", shop)
    assert world.refused(Payment, money=money, amount_yen=1) == "insufficient_balance"


def test_a_shops_own_rate_of_points(done: Callable[..., str]) -> None:
    world = World()
    world.charge(world.meal, 1_000)
    assert world.accepted(Payment, amount_yen=100).points_yen == 1
    done("shop", "accept", shop_code(world), world.meal, "--falls-to", world.base, "--points-rate", "5")
    assert world.accepted(Payment, amount_yen=100, money_only=True).points_yen == 5
    assert "5 %" in done("shop", "list")


def test_what_a_shop_cannot_accept_is_said(kumiai: Kumiai) -> None:
    world = World()
    shop, other = shop_code(world), factories.money()
    for arguments in (
        ("accept", shop, world.meal, "--falls-to", world.meal),
        ("accept", shop, world.meal, "--falls-to", other),
        ("accept", shop, world.meal, "--falls-to", world.base, "--falls-to", world.base),
        ("refuse", shop, other),
        ("overdraft", shop, other, "100"),
    ):
        assert kumiai("shop", *arguments).exit_code == 1, arguments


def test_refunds_may_take_a_shop_below_zero_as_far_as_the_office_allows(
    done: Callable[..., str], kumiai: Kumiai
) -> None:
    world = World()
    world.charge(world.base, 500)
    shop = shop_code(world)
    done("shop", "overdraft", shop, world.base, "300")
    sql = "SELECT floor_yen FROM account JOIN money m ON m.id = money_id WHERE shop_id = :s AND m.code = :c"
    assert read(sql, s=world.shop_id, c=world.base) == [(-300,)]
    paid = world.accepted(Payment, money=world.base, amount_yen=500)
    world.accepted(Refund, transaction_id=paid.transaction_id)
    done("shop", "overdraft", shop, world.base, "0")
    assert kumiai("shop", "overdraft", shop, world.base, "-1").exit_code == 2


def test_moves_are_allowed_listed_and_ended(done: Callable[..., str], kumiai: Kumiai) -> None:
    world = World()
    world.charge(world.meal, 1_000)
    done("move-rule", "set", world.meal, world.base, "--min-yen", "100", "--max-yen", "500", "--step-yen", "100")
    move = {"money": world.meal, "to_money": world.base}
    world.accepted(Move, amount_yen=200, **move)
    for amount_yen in (50, 250, 600):
        assert world.refused(Move, amount_yen=amount_yen, **move) == "invalid_amount"
    assert "¥500" in next(line for line in done("move-rule", "list").splitlines() if line.startswith(world.meal))
    done("move-rule", "remove", world.meal, world.base)
    assert world.refused(Move, amount_yen=200, **move) == "move_not_allowed"
    for pair in ((world.meal, world.points), (world.meal, world.meal)):
        assert "two different" in kumiai("move-rule", "set", *pair).output
    for amounts in (
        ("--min-yen", "200", "--max-yen", "100"),
        ("--min-yen", "110", "--max-yen", "190", "--step-yen", "100"),
    ):
        assert kumiai("move-rule", "set", world.meal, world.base, *amounts).exit_code == 1
