"""What happens by itself: value expires, holds run out, members are told before; never twice, whoever dies."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from app.db import database_url, transaction
from app.issuer import current_issuer
from app.settings import Settings
from app.wallet import ledger
from app.wallet.housekeeping import due, notice
from app.wallet.housekeeping.sweeper import Sweeper, alone, local_now, sweep_once
from app.wallet.postings import SYSTEM, Accepted, Adjustment, Hold, Payment, Posting, Release
from app.wallet.verify import verify
from tests import factories
from tests.live import eventually, server_env
from tests.oauth.office import kumiai_for
from tests.wallet.mailed import mails_to
from tests.wallet.world import World, in_days, read

pytestmark = pytest.mark.ledger


@pytest.fixture
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield
        assert verify(database_url())[1] == []


@pytest.fixture
def connection(app: Flask, settings: Settings, _context: None) -> Iterator[due.Connection]:
    with alone(settings.database_url) as connection:
        assert connection is not None
        yield connection


def expired_world(*, yen: int = 100) -> World:
    """Somebody with points that were good until yesterday, and some that are good until tomorrow."""
    world = World()
    for days in (0, 2):
        world.accepted(Adjustment, money=world.points, amount_yen=yen, book="granted", expires_on=in_days(days))
    world.date_back(world.points, days=1)
    return world


def expiries(world: World) -> list[tuple[str, int]]:
    sql = "SELECT request_id, amount_yen FROM transaction WHERE member_id = :m AND kind = 'expiry' ORDER BY position"
    return [tuple(row) for row in read(sql, m=world.member_id)]


def test_what_expired_leaves_and_the_rest_stays(connection: due.Connection) -> None:
    world = expired_world()
    [(wallet_id,)] = read(
        "SELECT w.id FROM wallet w JOIN money m ON m.id = w.money_id WHERE w.member_id = :m AND m.code = :c",
        m=world.member_id,
        c=world.points,
    )
    today = in_days(0)
    assert sum(due.expire(connection, today=today)) >= 1
    assert world.balance_yen(world.points) == 100
    assert expiries(world) == [(f"expiry:{wallet_id}:{today.isoformat()}", 100)]
    assert sum(due.expire(connection, today=today)) == 0
    assert len(expiries(world)) == 1


def test_the_undated_lot_expires_by_the_wallets_date(connection: due.Connection) -> None:
    world = World(expiry="after_charge", expiry_months=6)
    world.charge(world.meal, 700)
    assert sum(due.expire(connection, today=in_days(0))) == 0 or world.balance_yen(world.meal) == 700
    with transaction() as session:
        session.execute(
            text("UPDATE wallet SET expires_on = :d WHERE member_id = :m AND expires_on IS NOT NULL"),
            {"d": in_days(-1), "m": world.member_id},
        )
    assert sum(due.expire(connection, today=in_days(0))) >= 1
    assert world.balance_yen(world.meal) == 0
    assert [yen for _, yen in expiries(world)] == [700]


def test_what_is_held_stays_until_the_hold_ends(connection: due.Connection) -> None:
    world = World()
    world.accepted(Adjustment, money=world.points, amount_yen=100, book="granted", expires_on=in_days(0))
    until = datetime.now(UTC) + timedelta(hours=1)
    held = world.accepted(Hold, money=world.base, amount_yen=30, expires_at=until)
    world.date_back(world.points, days=1)

    list(due.expire(connection, today=in_days(0)))
    assert world.balance_yen(world.points) == 30
    world.accepted(Release, hold_id=held.transaction_id)
    list(due.expire(connection, today=in_days(1)))
    assert world.balance_yen(world.points) == 0
    assert [yen for _, yen in expiries(world)] == [70, 30]


def test_a_hold_that_ran_out_is_released_once(connection: due.Connection) -> None:
    world = World()
    world.charge(world.meal, 100)
    soon = datetime.now(UTC) + timedelta(milliseconds=150)
    held = world.accepted(Hold, amount_yen=80, expires_at=soon)
    later = world.accepted(Hold, amount_yen=20, expires_at=soon + timedelta(hours=1))
    state = "SELECT state FROM hold WHERE id = :h"

    def expired() -> bool | None:
        list(due.end_holds(connection))  # other tests' holds run out, too
        return read(state, h=held.transaction_id) == [("expired",)] or None

    eventually(expired)
    assert read(state, h=later.transaction_id) == [("held",)]
    list(due.end_holds(connection))
    sql = "SELECT requester, request_id FROM transaction WHERE hold_id = :h"
    assert read(sql, h=held.transaction_id) == [("kumiai", f"hold-expired:{held.transaction_id}")]
    world.accepted(Payment, amount_yen=80)


def test_a_hold_ends_though_its_release_came_too_early_once(connection: due.Connection) -> None:
    """The clock was set back between the sweeper's look and the ledger's: the refusal stands, the value must not."""
    world = World()
    world.charge(world.meal, 100)
    until = datetime.now(UTC) + timedelta(milliseconds=1_500)
    held = world.accepted(Hold, amount_yen=80, expires_at=until).transaction_id
    name = f"hold-expired:{held}"
    early = {"requester": SYSTEM, "request_id": name, "params_hash": ledger.params_hash({"release": name})}
    assert world.refused(Release, **early, hold_id=held, expired=True) == "hold_not_expired"

    def expired() -> bool | None:
        list(due.end_holds(connection))
        return read("SELECT state FROM hold WHERE id = :h", h=held) == [("expired",)] or None

    eventually(expired)
    world.accepted(Payment, amount_yen=100)


def test_two_sweeps_beside_payments_double_nothing(app: Flask, settings: Settings, _context: None) -> None:
    """Not one at a time, as workers do, but both at once: the names of what they post keep them apart."""
    worlds = [expired_world() for _ in range(12)]
    for world in worlds:
        world.charge(world.base, 1_000)

    def sweep() -> None:
        with app.app_context(), psycopg.connect(settings.database_url, autocommit=True) as connection:
            list(due.expire(connection, today=in_days(0), batch=5))

    def pay(world: World) -> Any:
        with app.app_context():
            return ledger.post(world.posting(Payment, money=world.base, amount_yen=150))

    with ThreadPoolExecutor(8) as pool:
        sweeps = [pool.submit(sweep) for _ in range(3)]
        outcomes = list(pool.map(pay, worlds))
        for each in sweeps:
            each.result(timeout=60)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    for world in worlds:
        assert [yen for _, yen in expiries(world)] == [100]
        assert (world.balance_yen(world.points), world.balance_yen(world.base)) == (0, 950)


def test_a_sweep_that_ended_half_way_is_taken_up(connection: due.Connection) -> None:
    worlds = [expired_world() for _ in range(5)]
    begun = due.expire(connection, today=in_days(0), batch=2)
    next(begun)
    begun.close()
    assert sum(len(expiries(world)) for world in worlds) < 5
    list(due.expire(connection, today=in_days(0), batch=2))
    assert [len(expiries(world)) for world in worlds] == [1] * 5


# --- members are told ---


def test_members_are_told_once_for_each_lot_and_date(app: Flask, _context: None) -> None:
    world = World()
    for days, yen in ((3, 300), (5, 500), (40, 4_000)):
        world.accepted(Adjustment, money=world.points, amount_yen=yen, book="granted", expires_on=in_days(days))

    assert sum(notice.tell(today=in_days(0), days=7)) >= 1
    [mail] = mails_to(app, world.member_id)
    assert "有効期限が近い" in mail["subject"]
    assert "¥300" in mail["text"]
    assert "¥500" in mail["text"]
    assert "¥4,000" not in mail["text"]

    assert sum(notice.tell(today=in_days(1), days=7)) == 0
    assert len(mails_to(app, world.member_id)) == 1
    assert sum(notice.tell(today=in_days(34), days=7)) >= 1
    assert "¥4,000" in mails_to(app, world.member_id)[1]["text"]


def test_a_lot_whose_date_moved_is_told_of_again(app: Flask, _context: None) -> None:
    world = World(expiry="after_charge", expiry_months=6)
    world.charge(world.meal, 700)
    [(until,)] = read("SELECT max(expires_on) FROM wallet WHERE member_id = :m", m=world.member_id)
    list(notice.tell(today=until - timedelta(days=3), days=7))
    with transaction() as session:
        session.execute(
            text("UPDATE wallet SET expires_on = :d WHERE member_id = :m AND expires_on IS NOT NULL"),
            {"d": until + timedelta(days=30), "m": world.member_id},
        )
    list(notice.tell(today=until + timedelta(days=27), days=7))
    assert len(mails_to(app, world.member_id)) == 2


def test_two_at_once_tell_each_member_once_and_a_small_batch_tells_of_all_lots(app: Flask, _context: None) -> None:
    worlds = [World() for _ in range(6)]
    for world in worlds:
        for days in (3, 4, 5):
            world.accepted(Adjustment, money=world.points, amount_yen=days, book="granted", expires_on=in_days(days))

    def tell(_: int) -> None:
        with app.app_context():
            list(notice.tell(today=in_days(0), days=7, batch=4))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(tell, range(2)))
    for world in worlds:
        told = "\n".join(mail["text"] for mail in mails_to(app, world.member_id))
        assert [told.count(f"¥{days}（") for days in (3, 4, 5)] == [1, 1, 1]


# --- old rows ---


def test_codes_of_long_ago_are_deleted(connection: due.Connection) -> None:
    world = World()
    insert = text(
        "INSERT INTO one_time_code (id, issuer_id, side, purpose, code_hash, client_id, member_id, expires_at)"
        " SELECT gen_random_uuid(), :i, 'member', 'payment', :h, 'test', :m, now() - :d * interval '1 day'"
    )
    with transaction() as session:
        for days in (0, 29, 31, 400):
            values = {"i": current_issuer().id, "h": secrets.token_bytes(32), "m": world.member_id, "d": days}
            session.execute(insert, values)
    assert sum(due.delete_old(connection, batch=1)) >= 2
    assert read("SELECT count(*) FROM one_time_code WHERE member_id = :m", m=world.member_id) == [(2,)]


# --- the worker's part, and by hand ---


def test_while_one_sweeps_the_others_let_it(app: Flask, settings: Settings, connection: due.Connection) -> None:
    world = expired_world()
    Sweeper(app, settings).look()
    assert sweep_once(settings) is None
    assert "at it" in kumiai_for(settings)("ledger", "sweep").output
    assert expiries(world) == []


def test_the_worker_does_it_once_a_day(app: Flask, settings: Settings, _context: None) -> None:
    world = expired_world()
    sweeper = Sweeper(app, settings)
    sweeper.look()
    assert len(expiries(world)) == 1
    sweeper.stop()
    sweeper.run()


def test_by_hand_it_says_what_it_did(app: Flask, settings: Settings, _context: None) -> None:
    world = expired_world()
    done = kumiai_for(settings)("ledger", "sweep")
    assert (done.exit_code, "wallets from which expired value was taken" in done.output) == (0, True), done.output
    assert len(expiries(world)) == 1


def test_the_day_is_the_issuers(connection: due.Connection, settings: Settings) -> None:
    far = local_now(connection, replace(settings, time_zone="Pacific/Kiritimati"))  # UTC+14
    near = local_now(connection, replace(settings, time_zone="Pacific/Pago_Pago"))  # UTC-11
    assert timedelta(hours=24) < far - near < timedelta(hours=26)


def backlog(app: Flask, *, wallets: int) -> str:
    """So many members with points that were good until yesterday; returns the code of the money."""
    with app.app_context():
        issuer_id = current_issuer().id
        money = factories.money()
        with transaction() as session:
            session.execute(
                text(
                    "WITH m AS (INSERT INTO member (id, issuer_id, email, password_hash, family_name, given_name)"
                    "  SELECT gen_random_uuid(), :i, 'b' || n || '@example.ac.jp', '!', '組合', '花子'"
                    "    FROM generate_series(1, :n) n RETURNING id),"
                    " w AS (INSERT INTO wallet (id, issuer_id, member_id, money_id)"
                    "  SELECT gen_random_uuid(), :i, m.id, money.id FROM m, money WHERE code = :c"
                    "  RETURNING id, money_id)"
                    " INSERT INTO account (issuer_id, money_id, kind, wallet_id) SELECT :i, money_id, 'lot', id FROM w"
                ),
                {"i": issuer_id, "n": wallets, "c": money},
            )
        members = [row[0] for row in read("SELECT id FROM member WHERE email LIKE 'b%@example.ac.jp'")]
        granted = ledger.post_many([_grant(member_id, money) for member_id in members])
        assert all(isinstance(outcome, Accepted) for outcome in granted)
        with transaction() as session:
            session.execute(text("UPDATE account SET expires_on = expires_on - 1 WHERE expires_on IS NOT NULL"))
    return money


def _grant(member_id: Any, money: str) -> Posting:
    return Adjustment(
        requester="test",
        request_id=secrets.token_hex(8),
        params_hash=b"x",
        member_id=member_id,
        money=money,
        amount_yen=10,
        book="granted",
        expires_on=in_days(0),
    )


def test_killed_at_any_moment_and_begun_again_every_wallet_is_swept_once(
    fresh_app: Flask, fresh_database: str, make_settings: Callable[[str], Settings]
) -> None:
    """Real processes, killed with SIGKILL while they sweep; the last one comes to the end."""
    wallets = 4_000
    backlog(fresh_app, wallets=wallets)
    environment = {**os.environ, **server_env(make_settings(fresh_database)), "LANG": "en_US.UTF-8"}
    command = [sys.executable, "-c", "from app.cli import main; main(['ledger', 'sweep'])"]
    count = "SELECT count(*) FROM transaction WHERE kind = 'expiry'"
    with fresh_app.app_context():
        for _ in range(2):
            [(before,)] = read(count)
            running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            eventually(lambda before=before: read(count)[0][0] > before or None)
            os.kill(running.pid, signal.SIGKILL)
            running.communicate()
        assert 0 < read(count)[0][0] < wallets, "killed in the middle"
        last = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert last.returncode == 0, last.stderr
        assert read(count) == [(wallets,)]
        assert read("SELECT count(DISTINCT member_id) FROM transaction WHERE kind = 'expiry'") == [(wallets,)]
        assert read("SELECT sum(total_yen)::bigint FROM wallet") == [(0,)]
        assert verify(database_url())[1] == []
