"""Where a bench runs: one embedded PostgreSQL, ten thousand members in it, and a copy of them for each part."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from app.embedded import EmbeddedPostgres
from app.migrate import upgrade
from app.settings import Settings
from app.wallet.verify import verify
from bench import population, server

_MEMBERS = "members"
"""The database that is only copied."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`seconds` is the length of each measurement, `rounds` how often each is made."""

    postgres: EmbeddedPostgres
    directory: Path
    seconds: int
    rounds: int

    @property
    def tokens(self) -> Path:
        """One access token per line, of a member each."""
        return self.directory / "tokens"

    def prepare(self) -> None:
        print("preparing: 10,000 members, each with a wallet, grants and a token …", flush=True)
        self.postgres.create_database(_MEMBERS)
        settings = self.settings(_MEMBERS)
        upgrade(settings.database_url)
        population.populate(settings, self.tokens)

    def copy(self, name: str) -> Settings:
        """The members in a database of that name, made at the first call."""
        self.postgres.create_database(name, template=_MEMBERS)
        return self.settings(name)

    def settings(self, database: str) -> Settings:
        return Settings(
            environment="production",
            database_url=self.postgres.url(database),
            secret_key=b"s" * 32,
            sealing_key=b"e" * 32,
            card_pepper=b"p" * 32,
            instance_path=self.directory,
        )

    @contextmanager
    def serving(self, settings: Settings) -> Iterator[server.Served]:
        """The server over a database for the length of the block."""
        with server.serving("wsgi:app", path="/openapi.json", env=_environment(settings)) as served:
            yield served

    def pay(self, served: server.Served, *, run: str, seconds: int | None = None) -> dict[str, Any]:
        """Single payments with 64 connections; what wrk measured. `run` is part of every key."""
        return server.wrk(
            served,
            "payments.lua",
            seconds=seconds or self.seconds,
            env={
                "BENCH_TOKENS": str(self.tokens),
                "BENCH_RUN": run,
                "BENCH_ACKNOWLEDGED": str(self.directory / f"acknowledged.{run}"),
            },
        )

    def acknowledged(self, part: str) -> set[str]:
        """The keys of requests whose answer said that value moved, of the runs whose name begins with `part`."""
        found = self.directory.glob(f"acknowledged.{part}*")
        return {key for path in found for key in path.read_text().splitlines() if key}


def per_s(run: dict[str, Any]) -> float:
    return float(run["requests"] / run["seconds"])


def answered(runs: Iterable[dict[str, Any]]) -> None:
    """End the bench where a request was refused or a connection broke."""
    if wrong := [run for run in runs if run["errors"]]:
        sys.exit(f"not every request was answered as it should be, so the figures mean nothing: {wrong}")


def close_books(settings: Settings) -> None:
    """Verify the whole ledger; end the bench where it is wrong."""
    _, differences = verify(settings.database_url)
    if differences:
        sys.exit(f"the ledger is wrong after the run: {differences}")


def lost(settings: Settings, acknowledged: set[str]) -> int:
    """Acknowledged payments that the ledger does not hold exactly once."""
    with psycopg.connect(settings.database_url) as connection:
        rows = connection.execute("SELECT request_id FROM transaction WHERE kind = 'payment'").fetchall()
    held = [request_id for (request_id,) in rows]
    assert len(held) == len(set(held)), "a request moved value twice"
    return len(acknowledged - set(held))


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "KUMIAI_ENV": settings.environment,
        "DATABASE_URL": settings.database_url,
        "KUMIAI_SECRET_KEY": base64.b64encode(settings.secret_key).decode(),
        "KUMIAI_SEALING_KEY": base64.b64encode(settings.sealing_key).decode(),
        "KUMIAI_CARD_PEPPER": base64.b64encode(settings.card_pepper).decode(),
    }
