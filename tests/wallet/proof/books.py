"""A small ledger that is some days old, sealed and signed as the worker does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
from flask import Flask

from app.settings import Settings
from app.wallet.proof.sealer import Sealer


def settings_of(app: Flask) -> Settings:
    settings: Settings = app.extensions["kumiai.settings"]
    return settings


def look(app: Flask) -> None:
    """What the worker does now and then."""
    Sealer(app, settings_of(app)).look()


@contextmanager
def behind_the_triggers(app: Flask) -> Iterator[psycopg.Connection[Any]]:
    """As somebody with all rights to the database."""
    with psycopg.connect(settings_of(app).database_url) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


def age(app: Flask, *, by: timedelta = timedelta(days=2), after: int = 0) -> None:
    """Everything after a position happened as much earlier. Two days: yesterday is signed from 00:10 only."""
    with behind_the_triggers(app) as connection:
        connection.execute(
            "UPDATE transaction SET created_at = created_at - %(by)s WHERE position > %(after)s",
            {"by": by, "after": after},
        )
        connection.execute("UPDATE issuer_head SET created_at = created_at - %(by)s", {"by": by})
        for table in ("wallet", "spend_control"):  # whose sums are of a day
            connection.execute(f"UPDATE {table} SET spent_on = spent_on - %s".encode(), [by.days])


def rows(app: Flask, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings_of(app).database_url) as connection:
        return connection.execute(query.encode()).fetchall()
