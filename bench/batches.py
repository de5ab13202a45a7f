"""`POST /v1/payments/batch`: five hundred members charged by one request of an app, against the textbook."""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from app.ids import new_id, secret_hash
from app.settings import Settings
from bench import population, server, textbook
from bench.place import Figures, Place, answered, close_books, lost, per_s

PAYMENTS = 500
"""In one request."""
CONNECTIONS = 8


def measure(place: Place) -> Figures:
    settings = place.copy("batch")
    script = textbook.prepare(place)
    environment = _biller(place, settings)
    charged, baseline = [], []
    for number in range(1, place.rounds + 1):
        print(f"batch {number} of {place.rounds}: {PAYMENTS} payments a request, textbook …", flush=True)
        with place.serving(settings) as served:
            _charge(place, served, environment, run=f"batch.warm{number}", seconds=2)
            charged.append(_charge(place, served, environment, run=f"batch.{number}", seconds=place.seconds))
        baseline.append(textbook.run(place, script))
    answered(charged)
    close_books(settings)
    payments_per_s = PAYMENTS * statistics.median(map(per_s, charged))
    return {
        "batch_vs_textbook": payments_per_s / statistics.median(baseline),
        "batch_payments_per_s": payments_per_s,
        "batch_p99_ms": statistics.median(run["p99_ms"] for run in charged),
        "batch_lost_acknowledged": float(lost(settings, _keys(place.acknowledged("batch")))),
    }


def _biller(place: Place, settings: Settings) -> dict[str, str]:
    """A token that the app has for itself, as its client credentials bring one, and whom it may charge."""
    token = f"kat_{secrets.token_urlsafe(32)}"
    members = place.directory / "members"
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "INSERT INTO oauth_token (token_hash, kind, family_id, client_id, scopes, expires_at)"
            " VALUES (%s, 'access', %s, %s, '{payment}', %s)",
            [secret_hash(token), new_id(), population.BILLER_ID, datetime.now(UTC) + timedelta(hours=6)],
        )
        granted = connection.execute(
            "SELECT member_id FROM oauth_grant WHERE client_id = %s", [population.BILLER_ID]
        ).fetchall()
    members.write_text("\n".join(str(member_id) for (member_id,) in granted) + "\n")
    return {"BENCH_TOKEN": token, "BENCH_MEMBERS": str(members), "BENCH_PAYMENTS": str(PAYMENTS)}


def _keys(first: Iterable[str]) -> set[str]:
    """All keys of batches, given the first of each, as batch.lua makes them."""
    keys = set()
    for key in first:
        _, run, thread, began = key.split("-")
        for sent in range(int(began), int(began) + PAYMENTS):
            keys.add(f"{sent * 2654435761 % 2**32:08x}-{run}-{thread}-{sent}")
    return keys


def _charge(
    place: Place, served: server.Served, environment: dict[str, str], *, run: str, seconds: int
) -> dict[str, Any]:
    acknowledged = str(place.directory / f"acknowledged.{run}")
    return server.wrk(
        served,
        "batch.lua",
        seconds=seconds,
        connections=CONNECTIONS,
        env={**environment, "BENCH_RUN": run, "BENCH_ACKNOWLEDGED": acknowledged},
    )
