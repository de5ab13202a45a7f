"""What a grant, a card or a terminal may pay per day and month, on which days, in which money and at which shops."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask

from app.db import transaction
from app.wallet import ledger, spend_control
from app.wallet.poster import Poster
from app.wallet.postings import Accepted, Outcome, Posting, Refused
from app.wallet.spend_control import GrantControls
from app.wallet.verify import verify
from tests import factories
from tests.conftest import ROOT
from tests.factories import Holder
from tests.live import eventually
from tests.wallet.postings import payment, refund

pytestmark = pytest.mark.ledger

Pay = Callable[..., Outcome]


@pytest.fixture
def holder(fresh_app: Flask) -> Iterator[Holder]:
    """In a database of this test's own, whose clock is set where a test wants it."""
    with fresh_app.app_context():
        yield factories.holder(balance_yen=100_000)


@pytest.fixture
def books(fresh_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def at(books: psycopg.Connection) -> Callable[[str], None]:
    """Puts the issuer's clock forward: the ledger's time is never before that of its last transaction."""

    def set_clock(instant: str) -> None:
        books.execute("UPDATE issuer_head SET created_at = %s", [instant])

    return set_clock


def control(kind: str = "grant", **limits: Any) -> UUID:
    control_id = uuid4()
    with transaction():
        spend_control.put_control(control_id=control_id, kind=kind, **limits)
    return control_id


def change(control_id: UUID, kind: str = "grant", **limits: Any) -> None:
    with transaction():
        spend_control.put_control(control_id=control_id, kind=kind, **limits)


def pay(holder: Holder, control_id: UUID, amount_yen: int, *, kind: str = "grant", **changes: Any) -> Outcome:
    return ledger.post(under(holder, control_id, amount_yen, kind=kind, **changes))


def under(holder: Holder, control_id: UUID, amount_yen: int, *, kind: str = "grant", **changes: Any) -> Posting:
    """A payment as the API or a till would post it under this control."""
    return payment(holder, amount_yen, controls=(control_id,), **{f"{kind}_id": control_id}, **changes)


def said(outcome: Outcome) -> tuple[str, dict[str, Any]]:
    assert isinstance(outcome, Refused), outcome
    return outcome.code, dict(outcome.detail)


def spent(books: psycopg.Connection, control_id: UUID) -> tuple[Any, ...] | None:
    statement = "SELECT spent_on, spent_day_yen, spent_month_yen FROM spend_control WHERE id = %s"
    return books.execute(statement, [control_id]).fetchone()


CODES = [
    ("grant", "day", "mandate_exceeded"),
    ("grant", "month", "mandate_exceeded"),
    ("card", "day", "daily_limit_exceeded"),
    ("card", "month", "monthly_limit_exceeded"),
    ("terminal", "day", "daily_limit_exceeded"),
    ("terminal", "month", "monthly_limit_exceeded"),
]


@pytest.mark.parametrize(("kind", "period", "code"), CODES)
def test_payments_of_a_day_and_a_month_add_up_to_their_ceiling(
    holder: Holder, kind: str, period: str, code: str
) -> None:
    limit = f"max_per_{period}_yen"
    control_id = control(kind, **{limit: 1_000})

    assert isinstance(pay(holder, control_id, 600, kind=kind), Accepted)
    over = pay(holder, control_id, 401, kind=kind)
    assert said(over) == (code, {"limit": limit, "max_yen": 1_000, "left_yen": 400})
    assert isinstance(pay(holder, control_id, 400, kind=kind), Accepted), "a refusal counts nothing"
    assert said(pay(holder, control_id, 1, kind=kind))[1]["left_yen"] == 0


@pytest.mark.parametrize(
    ("kind", "code"), [("grant", "mandate_exceeded"), ("card", "card_expired"), ("terminal", "terminal_revoked")]
)
def test_the_last_day_is_a_day_of_payments_and_the_next_is_not(
    holder: Holder, at: Callable[[str], None], kind: str, code: str
) -> None:
    """Midnight is the issuer's: 15:00 UTC."""
    control_id = control(kind, valid_until=date(2050, 1, 31))

    at("2050-01-31T14:59:59.999999Z")
    assert isinstance(pay(holder, control_id, 1, kind=kind), Accepted)
    at("2050-01-31T15:00:00Z")
    assert said(pay(holder, control_id, 1, kind=kind)) == (code, {"limit": "until", "until": "2050-01-31"})


def test_a_new_day_begins_at_the_issuers_midnight_and_a_new_month_on_the_first(
    holder: Holder, at: Callable[[str], None], books: psycopg.Connection, fresh_database: str
) -> None:
    grant_id = control(max_per_day_yen=1_000, max_per_month_yen=1_500)

    at("2050-01-30T14:59:59.999999Z")  # 30 January, 23:59:59 in Tokyo
    assert isinstance(pay(holder, grant_id, 1_000), Accepted)
    assert said(pay(holder, grant_id, 1))[1]["limit"] == "max_per_day_yen"
    assert spent(books, grant_id) == (date(2050, 1, 30), 1_000, 1_000)
    assert verify(fresh_database)[1] == []

    at("2050-01-30T15:00:00Z")
    assert isinstance(pay(holder, grant_id, 500), Accepted)
    assert said(pay(holder, grant_id, 1)) == (
        "mandate_exceeded",
        {"limit": "max_per_month_yen", "max_yen": 1_500, "left_yen": 0},
    )
    assert spent(books, grant_id) == (date(2050, 1, 31), 500, 1_500)
    assert verify(fresh_database)[1] == []

    at("2050-01-31T14:59:59.999999Z")
    assert said(pay(holder, grant_id, 1))[1]["limit"] == "max_per_month_yen"
    at("2050-01-31T15:00:00Z")  # 1 February
    assert isinstance(pay(holder, grant_id, 1_000), Accepted)
    assert spent(books, grant_id) == (date(2050, 2, 1), 1_000, 1_000)
    assert verify(fresh_database)[1] == []


def test_what_was_judged_before_midnight_is_not_written_after_it(
    holder: Holder, at: Callable[[str], None], books: psycopg.Connection, fresh_database: str
) -> None:
    """The day ends while the payment waits for the head: it is judged anew, and counts for the day it is written on."""
    grant_id, poster = control(max_per_day_yen=1_000), Poster(fresh_database)
    at("2050-01-30T14:59:59.999999Z")  # 30 January, 23:59:59 in Tokyo
    assert isinstance(pay(holder, grant_id, 800), Accepted)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(fresh_database) as midnight:
        midnight.execute("UPDATE issuer_head SET created_at = '2050-01-30T15:00:00Z'")
        waiting = pool.submit(poster.post, under(holder, grant_id, 200))
        blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        eventually(lambda: books.execute(blocked).fetchone())
        midnight.commit()
        assert isinstance(waiting.result(), Accepted)
    poster.close()
    assert spent(books, grant_id) == (date(2050, 1, 31), 200, 1_000)
    assert verify(fresh_database)[1] == []


def test_the_same_month_of_another_year_is_another_month(holder: Holder, at: Callable[[str], None]) -> None:
    grant_id = control(max_per_day_yen=1_000, max_per_month_yen=1_000)
    at("2050-01-10T00:00:00Z")
    assert isinstance(pay(holder, grant_id, 1_000), Accepted)
    at("2051-01-10T00:00:00Z")
    assert isinstance(pay(holder, grant_id, 1_000), Accepted)


def test_another_time_zone_has_another_midnight(holder: Holder, books: psycopg.Connection, fresh_database: str) -> None:
    """At every instant it is a later day in Kiritimati than on Baker Island."""
    grant_id = control(max_per_day_yen=1_000)
    west, east = (Poster(fresh_database, time_zone=zone) for zone in ("Etc/GMT+12", "Pacific/Kiritimati"))
    try:
        assert isinstance(west.post(under(holder, grant_id, 1_000)), Accepted)
        first = spent(books, grant_id)
        assert isinstance(east.post(under(holder, grant_id, 1_000)), Accepted)
        second = spent(books, grant_id)
    finally:
        west.close()
        east.close()
    assert first is not None
    assert second is not None
    assert second[0] > first[0]
    assert verify(fresh_database, time_zone="Pacific/Kiritimati")[1] != [], "the first payment is of that day too"


def test_twenty_payments_at_once_give_as_many_as_fit(holder: Holder, fresh_database: str) -> None:
    """Through two posters, as of two web processes."""
    grant_id = control(max_per_day_yen=700)
    posters = Poster(fresh_database), Poster(fresh_database)
    outcomes: list[Outcome] = []
    start = threading.Barrier(20)

    def one(index: int) -> None:
        start.wait()
        outcomes.append(posters[index % 2].post(under(holder, grant_id, 100), patience_s=60))

    threads = [threading.Thread(target=one, args=[index]) for index in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for poster in posters:
        poster.close()
    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == 7
    refusals = [said(outcome) for outcome in outcomes if isinstance(outcome, Refused)]
    assert refusals == 13 * [("mandate_exceeded", {"limit": "max_per_day_yen", "max_yen": 700, "left_yen": 0})]
    assert verify(fresh_database)[1] == []


def test_grants_that_end_and_a_poster_never_wait_in_a_circle(
    fresh_app: Flask, holder: Holder, books: psycopg.Connection, fresh_database: str
) -> None:
    """A poster locks controls in the order of their ids, whatever order they were written in."""
    low, high = sorted((uuid4(), uuid4()))
    for control_id in (high, low):
        with transaction():
            spend_control.put_control(control_id=control_id, kind="grant")

    def end() -> None:
        with fresh_app.app_context(), transaction():
            GrantControls().grants_ended([high, low])

    with psycopg.connect(fresh_database) as theirs, ThreadPoolExecutor(1) as pool:
        theirs.execute("SELECT FROM spend_control WHERE id = %s FOR NO KEY UPDATE", [low])
        ending = pool.submit(end)
        blocked = "SELECT true FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        eventually(lambda: books.execute(blocked, [theirs.info.backend_pid]).fetchone())
        theirs.execute("SELECT FROM spend_control WHERE id = %s FOR NO KEY UPDATE", [high])
        theirs.commit()
        ending.result(timeout=30)
    assert books.execute("SELECT DISTINCT status FROM spend_control").fetchall() == [("revoked",)]


def test_a_repeated_request_counts_once(holder: Holder, books: psycopg.Connection) -> None:
    grant_id = control(max_per_day_yen=1_000)
    for _ in range(3):
        assert isinstance(pay(holder, grant_id, 400, key="once"), Accepted)
    row = spent(books, grant_id)
    assert row is not None
    assert row[1:] == (400, 400)


def test_what_is_refused_for_another_reason_counts_nothing(holder: Holder, books: psycopg.Connection) -> None:
    grant_id = control(max_per_day_yen=1_000_000)
    assert said(pay(holder, grant_id, 100_001))[0] == "insufficient_balance"
    assert said(pay(holder, grant_id, 1, shop_id=uuid4()))[0] == "shop_unknown"
    assert spent(books, grant_id) == (None, 0, 0)


def test_a_refund_gives_nothing_back_of_a_ceiling(holder: Holder, fresh_database: str) -> None:
    grant_id = control(max_per_day_yen=1_000)
    paid = pay(holder, grant_id, 1_000)
    assert isinstance(paid, Accepted)
    assert isinstance(ledger.post(refund(paid.transaction_id)), Accepted)
    assert said(pay(holder, grant_id, 1))[1]["left_yen"] == 0
    assert verify(fresh_database)[1] == []


def test_a_lowered_ceiling_counts_for_the_next_payment_even_below_what_was_spent(holder: Holder) -> None:
    grant_id = control(max_per_day_yen=1_000, max_per_month_yen=5_000)
    assert isinstance(pay(holder, grant_id, 600), Accepted)

    change(grant_id, max_per_day_yen=500, max_per_month_yen=5_000)
    assert said(pay(holder, grant_id, 1))[1] == {"limit": "max_per_day_yen", "max_yen": 500, "left_yen": 0}
    change(grant_id, max_per_day_yen=1_000, max_per_month_yen=500)
    assert said(pay(holder, grant_id, 1))[1] == {"limit": "max_per_month_yen", "max_yen": 500, "left_yen": 0}
    change(grant_id, max_per_day_yen=1_000, max_per_month_yen=5_000)
    assert said(pay(holder, grant_id, 401))[1]["left_yen"] == 400, "what was spent is not forgotten meanwhile"
    assert isinstance(pay(holder, grant_id, 400), Accepted)


def test_a_terminal_and_a_card_each_keep_their_own_ceiling(holder: Holder) -> None:
    terminal_id = control("terminal", max_per_day_yen=1_000)
    first, second = control("card", max_per_day_yen=700), control("card", max_per_day_yen=700)

    def tap(card_id: UUID, amount_yen: int) -> Outcome:
        ids = {"terminal_id": terminal_id, "card_id": card_id, "controls": (terminal_id, card_id)}
        return ledger.post(payment(holder, amount_yen, **ids))

    assert isinstance(tap(first, 600), Accepted)
    assert said(tap(first, 200))[1] == {"limit": "max_per_day_yen", "max_yen": 700, "left_yen": 100}
    assert said(tap(second, 500))[1] == {"limit": "max_per_day_yen", "max_yen": 1_000, "left_yen": 400}
    assert isinstance(tap(second, 400), Accepted)


def test_money_and_shop_are_held_to_the_mandate(holder: Holder) -> None:
    other_shop = factories.shop(accepts=[holder.money])
    grant_id = control(monies=["other"], shops=[holder.shop_id])
    assert said(pay(holder, grant_id, 1)) == ("mandate_exceeded", {"limit": "monies"})
    assert said(pay(holder, grant_id, 1, shop_id=other_shop)) == ("mandate_exceeded", {"limit": "shops"})


def test_how_much_of_a_grant_is_used_is_kept_without_any_ceiling(holder: Holder, books: psycopg.Connection) -> None:
    grant_id, card_id = control(), control("card")
    pay(holder, grant_id, 300)
    pay(holder, grant_id, 200)
    pay(holder, card_id, 300, kind="card")
    used = GrantControls().usage([grant_id])[grant_id]
    assert (used.day_yen, used.month_yen) == (500, 500)
    assert spent(books, card_id) == (None, 0, 0), "nothing is written that nobody reads"


WRONG_SUMS = [
    "spent_day_yen = 499",
    "spent_month_yen = 499, spent_day_yen = 0",
    "spent_day_yen = 1001, spent_month_yen = 1001",
    "spent_month_yen = 1501",
    "spent_on = spent_on - 1",
    "spent_on = NULL",
]


@pytest.mark.parametrize("sums", WRONG_SUMS)
def test_the_database_refuses_sums_that_shrink_or_pass_a_ceiling(
    holder: Holder, books: psycopg.Connection, sums: str
) -> None:
    grant_id = control(max_per_day_yen=1_000, max_per_month_yen=1_500)
    assert isinstance(pay(holder, grant_id, 500), Accepted)
    with pytest.raises(psycopg.errors.CheckViolation, match="neither shrinks nor passes its ceiling"):
        books.execute(f"UPDATE spend_control SET {sums} WHERE id = %s".encode(), [grant_id])


def test_the_database_lets_a_new_day_begin_at_less(holder: Holder, books: psycopg.Connection) -> None:
    grant_id = control(max_per_day_yen=1_000)
    assert isinstance(pay(holder, grant_id, 500), Accepted)
    row = spent(books, grant_id)
    assert row is not None
    books.execute(
        "UPDATE spend_control SET spent_on = %s, spent_day_yen = 1, spent_month_yen = 1 WHERE id = %s",
        [row[0] + timedelta(days=31), grant_id],
    )


def test_an_older_database_gets_ceilings_and_sums_for_what_was_allowed_and_paid_before(
    holder: Holder, books: psycopg.Connection, fresh_database: str
) -> None:
    """Back to the shape before there were ceilings per day and month, and forward again."""
    client = factories.oauth_client(allowed_shops=[holder.shop_id])
    factories.access_token(
        member_id=holder.member_id, client_id=client.id, scopes=["payment"], max_per_payment_yen=20_000
    )
    columns = "id, mandate, c.max_per_day_yen, c.max_per_month_yen"
    read = f"SELECT {columns} FROM oauth_grant JOIN spend_control c USING (id)"
    row = books.execute(read.encode()).fetchone()
    assert row is not None
    grant_id = row[0]
    pay(holder, grant_id, 4_000)
    pay(holder, grant_id, 2_000)
    before = spent(books, grant_id)
    ledger.close()

    migrate("downgrade", "0005", fresh_database)
    older = books.execute("SELECT mandate FROM oauth_grant").fetchone()
    assert older == ({"type": "payment", "max_per_payment_yen": 20_000, "shops": [str(holder.shop_id)]},)
    migrate("upgrade", "head", fresh_database)

    sums = {"max_per_day_yen": 20_000, "max_per_month_yen": 50_000}
    mandate = {"max_per_payment_yen": 20_000, "shops": [str(holder.shop_id)], **sums}
    assert books.execute(read.encode()).fetchone() == (grant_id, mandate, 20_000, 50_000)
    assert spent(books, grant_id) == before
    assert verify(fresh_database)[1] == []


def migrate(direction: str, revision: str, database_url: str) -> None:
    command = [sys.executable, "-m", "alembic", "-c", "setup.cfg", direction, revision]
    environment = {**os.environ, "DATABASE_URL": database_url}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
