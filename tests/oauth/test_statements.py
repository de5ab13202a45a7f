"""The counter of statements, held against what PostgreSQL says it was sent."""

from __future__ import annotations

import psycopg
from flask import Flask
from sqlalchemy import text

from app.db import autocommit, database_url, session, transaction
from app.lookup import lookup
from tests.oauth.statements import sent

_BY_KEY = "SELECT asked, 1 FROM unnest(%(keys)s::bytea[]) AS asked"


def test_every_way_to_the_database_is_counted(app: Flask) -> None:
    def ask_three_ways() -> None:
        with transaction():
            session().execute(text("SELECT 1"))
        with autocommit().connect() as connection:
            connection.execute(text("SELECT 2"))
        assert lookup("test_statements", _BY_KEY).get(b"key") == (1,)

    with app.app_context():
        ask_three_ways()  # connections are opened, which reads a few settings
        with sent() as seen:
            ask_three_ways()

    assert seen.statements == ["SELECT 1", "SELECT 2", _BY_KEY]
    assert seen.transaction_control == ["BEGIN", "COMMIT"]
    assert len(seen) == 3


def test_the_last_statement_is_the_one_postgresql_saw(app: Flask) -> None:
    with app.app_context():
        with transaction():
            session().execute(text("SELECT 1"))
        with sent() as seen, transaction():
            pid = session().scalar(text("SELECT pg_backend_pid()"))
            with psycopg.connect(database_url(), autocommit=True) as other:
                row = other.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
    assert row is not None
    assert row[0] == seen.statements[0]
    assert seen.transaction_control[0] == "BEGIN"


def test_a_batch_counts_each(app: Flask) -> None:
    with app.app_context(), transaction():
        raw = session().connection().connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        with sent() as seen:
            raw.cursor().executemany("SELECT %s", [(1,), (2,)])
    assert len(seen) == 2
