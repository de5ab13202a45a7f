"""Lookups: many threads, few reads, and every answer is as fresh as its question."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from app.lookup import Lookup

STATEMENT = """
SELECT k.key, v.value FROM unnest(%(keys)s::bytea[]) AS k (key) JOIN looked_up v ON v.key = k.key
"""


@pytest.fixture
def table(fresh_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE looked_up (key bytea PRIMARY KEY, value int NOT NULL)")
        connection.execute("INSERT INTO looked_up SELECT sha256(n::text::bytea), n FROM generate_series(1, 200) AS n")
        yield connection


@pytest.fixture
def lookup(table: psycopg.Connection, fresh_database: str) -> Iterator[Lookup]:
    made = Lookup(fresh_database, STATEMENT)
    yield made
    made.close()


def _key(connection: psycopg.Connection, number: int) -> bytes:
    row = connection.execute("SELECT sha256(%s::text::bytea)", [number]).fetchone()
    assert row is not None
    return bytes(row[0])


def together(threads: list[threading.Thread]) -> None:
    """Run them all; one that nobody wakes fails the test instead of holding it up."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_each_of_many_threads_gets_its_own_row(table: psycopg.Connection, lookup: Lookup) -> None:
    keys = {number: _key(table, number) for number in range(1, 201)}
    wrong: list[int] = []

    def ask(first: int) -> None:
        for number in range(first, 201, 40):
            if lookup.get(keys[number]) != (number,):
                wrong.append(number)
            if lookup.get(b"unknown %d" % number) is not None:
                wrong.append(-number)

    together([threading.Thread(target=ask, args=[first], daemon=True) for first in range(1, 41)])
    assert wrong == []


def test_what_was_taken_away_before_the_question_is_not_answered(table: psycopg.Connection, lookup: Lookup) -> None:
    key = _key(table, 1)
    assert lookup.get(key) == (1,)
    table.execute("DELETE FROM looked_up WHERE key = %s", [key])
    assert lookup.get(key) is None


def test_a_connection_that_died_is_replaced_unnoticed(table: psycopg.Connection, lookup: Lookup) -> None:
    key = _key(table, 2)
    assert lookup.get(key) == (2,)
    table.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert lookup.get(key) == (2,)


def test_a_failure_reaches_everyone_who_asked_and_does_not_outlast_its_cause(
    table: psycopg.Connection, lookup: Lookup
) -> None:
    key = _key(table, 3)
    table.execute("ALTER TABLE looked_up RENAME TO gone")
    errors: list[Exception] = []

    def ask() -> None:
        try:
            lookup.get(key)
        except psycopg.Error as error:
            errors.append(error)

    together([threading.Thread(target=ask, daemon=True) for _ in range(10)])
    assert len(errors) == 10
    table.execute("ALTER TABLE gone RENAME TO looked_up")
    assert lookup.get(key) == (3,)
