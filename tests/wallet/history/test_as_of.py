"""Balances of the past: true at every instant, also while payments are made, and never another answer later."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from app.db import autocommit, database_url
from app.issuer import current_issuer, issuer_zone
from app.wallet import as_of, directory, ledger
from app.wallet.postings import Accepted, Adjustment, Expiry, Payment, Refund
from tests import factories
from tests.wallet.history.conftest import Books
from tests.wallet.postings import payment
from tests.wallet.world import in_days, read

pytestmark = pytest.mark.ledger


def test_wallets_and_takings_as_they_were_after_each_transaction(books: Books) -> None:
    books.charge(books.base, 1_000)
    books.charge(books.meal, 300)
    paid = books.accepted(Payment, amount_yen=600)
    books.accepted(Refund, transaction_id=paid.transaction_id)
    books.charge(books.base, 7)
    at = paid.created_at.isoformat()
    wallets = books.get("/v1/wallets", at=at).get_json()
    assert wallets["at"] == at
    assert {one["money"]["code"]: one["balance_yen"] for one in wallets["wallets"]} == {
        books.base: 700,
        books.meal: 0,
        books.points: 3,
    }
    assert wallets["total_yen"] == 703
    before = (paid.created_at - timedelta(microseconds=1)).isoformat()
    assert books.get(f"/v1/wallets/{books.meal}", at=before).get_json()["balance_yen"] == 300
    shop = books.get_as_shop(f"/v1/shops/{books.shop}/balance", books.shop_id, at=at).get_json()
    assert {one["money"]["code"]: one["balance_yen"] for one in shop["takings"]} == {
        books.base: 300,
        books.meal: 300,
        books.points: 0,
    }
    assert books.get_as_shop(f"/v1/shops/{books.shop}/balance", books.shop_id).get_json()["total_yen"] == 0


def test_a_day_is_told_at_its_end_and_the_future_not_at_all(books: Books) -> None:
    charged = books.charge(books.meal, 300)
    yesterday = charged.created_at.astimezone(issuer_zone()).date() - timedelta(days=1)
    assert books.get("/v1/wallets", at=yesterday).get_json()["total_yen"] == 0
    answer = books.get("/v1/wallets", at=(datetime.now(UTC) + timedelta(minutes=1)).isoformat())
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["at"])
    assert books.get("/v1/wallets/nonesuch", at=yesterday).get_json()["code"] == "wallet_unknown"
    assert books.get("/v1/wallets", scopes=("history",), at=yesterday).status_code == 403


def test_a_money_adds_up_at_every_position(books: Books) -> None:
    books.charge(books.base, 1_000)
    books.accepted(Adjustment, money=books.points, amount_yen=80, book="granted", expires_on=in_days(3))
    books.accepted(Payment, amount_yen=50)
    books.date_back(books.points, days=10)
    last = books.accepted(Expiry, money=books.points)
    points, base = _circulation(books.points, last.position), _circulation(books.base, last.position)
    assert (points.issued_yen, points.recovered_yen, points.unused_yen) == (80, 80, 0)
    assert (points.books["expired"], points.takings_yen) == (30, 50)
    assert (base.issued_yen, base.recovered_yen, base.unused_yen) == (1_000, 0, 1_000)
    assert _circulation(books.points, last.position - 1).unused_yen == 30


def test_at_any_instant_balances_are_the_sum_of_the_transfers_up_to_it(app: Flask) -> None:
    """While others pay. What is asked about at once is asked again at the end: it must be the same."""
    with app.app_context():
        holders = [factories.holder(balance_yen=50_000) for _ in range(3)]
        shop_ids = [holder.shop_id for holder in holders]
    over = threading.Event()
    paying = [threading.Thread(target=_pay, args=[app, holder, over]) for holder in holders for _ in range(2)]
    for thread in paying:
        thread.start()
    asked: list[tuple[datetime, int, dict[UUID, int]]] = []
    try:
        with app.app_context():
            for _ in range(150):
                at = _now_by_the_database() - timedelta(microseconds=random.choice((0, 0, 1, 500, 5_000)))
                asked.append((at, *_takings(shop_ids, at)))
    finally:
        over.set()
        for thread in paying:
            thread.join()
    with app.app_context():
        sums = _sums(shop_ids, [at for at, _, _ in asked])
        for at, position, found in asked:
            assert found == sums[at]
            assert _takings(shop_ids, at) == (position, found)
        assert len({position for _, position, _ in asked}) > 10, "payments were made meanwhile"


def test_instants_before_the_first_and_of_the_first(fresh_app: Flask) -> None:
    with fresh_app.app_context():
        issuer_id = current_issuer().id
        with autocommit().connect() as connection:
            assert as_of.position_at(connection, issuer_id=issuer_id, at=datetime.now(UTC)) == 0
        holder = factories.holder()
        first = factories.charge(member_id=holder.member_id, money=holder.money, amount_yen=1)
        second = factories.charge(member_id=holder.member_id, money=holder.money, amount_yen=1)
        step = timedelta(microseconds=1)
        with autocommit().connect() as connection:
            expected = {first.created_at - step: 0, first.created_at: 1, second.created_at - step: 1}
            for at, position in {**expected, second.created_at: 2}.items():
                assert as_of.position_at(connection, issuer_id=issuer_id, at=at) == position


def test_a_batch_that_is_under_way_is_waited_for(app: Flask) -> None:
    """It took its instant before the question was asked, and is seen only after it."""
    with app.app_context():
        holder = factories.holder(balance_yen=1_000)
        issuer_id = current_issuer().id
        found: list[int] = []

        def ask() -> None:
            with app.app_context(), autocommit().connect() as connection:
                found.append(as_of.position_at(connection, issuer_id=issuer_id, at=at))

        with psycopg.connect(database_url()) as poster:
            taken = poster.execute(
                "UPDATE issuer_head SET created_at = clock_timestamp() WHERE issuer_id = %s RETURNING position",
                [issuer_id],
            ).fetchone()
            assert taken is not None
            at = _now_by_the_database()
            asking = threading.Thread(target=ask)
            asking.start()
            _until_one_waits_for(poster)
            assert found == []
            poster.rollback()
        asking.join()
        assert found == list(taken)
        assert holder.money


def _until_one_waits_for(poster: psycopg.Connection[Any]) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    while poster.execute(query).fetchone() == (0,):
        pass


def _pay(app: Flask, holder: factories.Holder, over: threading.Event) -> None:
    with app.app_context():
        while not over.is_set():
            assert isinstance(ledger.post(payment(holder, 1)), Accepted)


def _now_by_the_database() -> datetime:
    now: datetime = read("SELECT clock_timestamp()")[0][0]
    return now


def _takings(shop_ids: list[UUID], at: datetime) -> tuple[int, dict[UUID, int]]:
    with autocommit().connect() as connection:
        position = as_of.position_at(connection, issuer_id=current_issuer().id, at=at)
        found = {
            shop_id: sum(as_of.takings(connection, shop_id=shop_id, position=position).values()) for shop_id in shop_ids
        }
    return position, found


def _sums(shop_ids: list[UUID], instants: list[datetime]) -> dict[datetime, dict[UUID, int]]:
    """The same by adding up."""
    rows = read(
        "SELECT a.shop_id, t.created_at, f.amount_yen FROM transfer f JOIN transaction t ON t.id = f.transaction_id"
        " JOIN account a ON a.id = f.credit_account_id WHERE a.shop_id = ANY(:shops)",
        shops=shop_ids,
    )
    moved = defaultdict(list)
    for shop_id, created_at, yen in rows:
        moved[shop_id].append((created_at, yen))
    return {
        at: {shop_id: sum(yen for created_at, yen in moved[shop_id] if created_at <= at) for shop_id in shop_ids}
        for at in instants
    }


def _circulation(money: str, position: int) -> as_of.Circulation:
    entry = directory.money(money)
    assert entry is not None
    with autocommit().connect() as connection:
        return as_of.circulation(connection, issuer_id=current_issuer().id, money_id=entry.id, position=position)
