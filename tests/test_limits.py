"""Limits on strangers: counted together by every process, kept whatever becomes of the request."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, update

from app.clock import now
from app.db import dispose, transaction
from app.errors import TooManyRequests
from app.factory import create_app
from app.ids import keyed_hash
from app.limits import Door, FloodCounter, forget_past_windows, give_back, knock, knock_at, network
from app.settings import Settings

WINDOW_S = 86_400

pytestmark = pytest.mark.usefixtures("still_clock")


@pytest.fixture
def door() -> str:
    return f"door_{secrets.token_hex(6)}"


def counts(app: Flask, door: str) -> list[int]:
    with app.app_context(), transaction() as session:
        return list(session.scalars(select(FloodCounter.count).where(FloodCounter.door == door)))


def test_the_first_few_pass_and_the_rest_are_told_when_to_come_back(app: Flask, door: str) -> None:
    with app.app_context():
        for _ in range(3):
            knock(door=door, caller="a", limit=3, window_s=WINDOW_S)
        with pytest.raises(TooManyRequests) as refused:
            knock(door=door, caller="a", limit=3, window_s=WINDOW_S)
        knock(door=door, caller="b", limit=3, window_s=WINDOW_S)
        knock(door=door + "_2", caller="a", limit=3, window_s=WINDOW_S)
    left_s = WINDOW_S - now().timestamp() % WINDOW_S
    retry_after_s = refused.value.detail["retry_after_s"]
    assert isinstance(retry_after_s, int)
    assert abs(retry_after_s - left_s) < 5


def test_the_next_window_begins_anew(app: Flask, door: str) -> None:
    with app.app_context():
        knock(door=door, caller="a", limit=1, window_s=WINDOW_S)
        with transaction() as session:  # a day passes
            yesterday = FloodCounter.window_ends_at - timedelta(days=1)
            session.execute(update(FloodCounter).where(FloodCounter.door == door).values(window_ends_at=yesterday))
        knock(door=door, caller="a", limit=1, window_s=WINDOW_S)
        with pytest.raises(TooManyRequests):
            knock(door=door, caller="a", limit=1, window_s=WINDOW_S)


def test_knocks_at_the_same_moment_are_all_counted(app: Flask, door: str) -> None:
    barrier = Barrier(20)

    def one(_: int) -> str:
        with app.app_context():
            barrier.wait(30)
            try:
                knock(door=door, caller="a", limit=5, window_s=WINDOW_S)
            except TooManyRequests:
                return "refused"
            return "passed"

    with ThreadPoolExecutor(20) as threads:
        assert Counter(threads.map(one, range(20))) == {"passed": 5, "refused": 15}
    assert counts(app, door) == [5]


def test_a_knock_given_back_counts_no_more(app: Flask, door: str) -> None:
    with app.app_context():
        for _ in range(3):
            give_back([knock(door=door, caller="a", limit=1, window_s=WINDOW_S)])
        once = knock(door=door, caller="a", limit=1, window_s=WINDOW_S)
        with pytest.raises(TooManyRequests):
            knock(door=door, caller="a", limit=1, window_s=WINDOW_S)
        give_back([once, once])
    assert counts(app, door) == [0], "never below nothing"


def test_a_shut_door_leaves_nothing_counted_at_the_others(app: Flask, door: str) -> None:
    def at(name: str) -> Door:
        return Door(name=door + name, caller="a", limit=1, window_s=WINDOW_S)

    with app.app_context():
        knock_at(at("_shut"))
        with pytest.raises(TooManyRequests):
            knock_at(at("_before"), at("_shut"), at("_after"))
    assert (counts(app, door + "_before"), counts(app, door + "_after")) == ([0], [])


def test_a_knock_stays_counted_when_the_request_fails(app: Flask, door: str) -> None:
    with app.app_context():
        knock(door=door, caller="a", limit=5, window_s=WINDOW_S)
        with pytest.raises(ZeroDivisionError), transaction():
            raise ZeroDivisionError
    assert counts(app, door) == [1]


def test_it_is_no_part_of_a_transaction(app: Flask, door: str) -> None:
    with app.app_context(), transaction() as session:
        session.execute(select(1))
        with pytest.raises(AssertionError):
            knock(door=door, caller="a", limit=5, window_s=WINDOW_S)


def test_no_caller_can_be_read_from_the_rows(app: Flask, door: str) -> None:
    with app.app_context():
        knock(door=door, caller="192.0.2.7", limit=5, window_s=WINDOW_S)
        with transaction() as session:
            stored = session.scalars(select(FloodCounter.caller_hash).where(FloodCounter.door == door)).one()
    assert len(stored) == 32
    assert b"192" not in stored


@pytest.mark.parametrize(
    ("address", "caller"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        (None, "unknown"),
        ("not an address", "unknown"),
    ],
)
def test_an_ipv6_home_is_one_caller(address: str | None, caller: str) -> None:
    assert network(address) == caller


@pytest.mark.parametrize(("trusted_proxies", "counted"), [(0, "127.0.0.1"), (1, "203.0.113.9"), (2, "203.0.113.8")])
def test_only_configured_proxies_are_believed(
    fresh_database: str, make_settings: Callable[[str], Settings], trusted_proxies: int, counted: str
) -> None:
    settings = replace(make_settings(fresh_database), trusted_proxies=trusted_proxies)
    app = create_app(settings)
    client = app.test_client()
    token = client.get("/login").text.split('name="csrf_token" value="')[1].split('"')[0]
    client.post(
        "/login",
        data={"csrf_token": token, "email": "x@example.ac.jp", "password": "x"},
        headers={"X-Forwarded-For": "203.0.113.7, 203.0.113.8, 203.0.113.9"},
    )
    with app.app_context():
        expected = keyed_hash(settings.secret_key, purpose="flood:sign_in_network", value=counted)
        with transaction() as session:
            rows = session.scalars(select(FloodCounter.caller_hash).where(FloodCounter.door == "sign_in_network")).all()
        dispose()
    assert rows == [expected]


def test_past_windows_are_forgotten(app: Flask, door: str, settings: Settings) -> None:
    with app.app_context(), psycopg.connect(settings.database_url, autocommit=True) as connection:
        knock(door=door, caller="a", limit=5, window_s=WINDOW_S)
        forget_past_windows(connection)
        assert counts(app, door) == [1]
        connection.execute("UPDATE flood_counter SET window_ends_at = now() WHERE door = %s", [door])
        forget_past_windows(connection)
        assert counts(app, door) == []
