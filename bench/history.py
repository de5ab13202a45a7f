"""A page of a member's history over HTTP: of a long and a short one, its first page and its ten thousandth."""

from __future__ import annotations

import http.client
import json
import secrets
import statistics
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import psycopg

from app.ids import new_id, secret_hash
from app.settings import Settings
from app.wallet.search import encode_cursor
from bench import past
from bench.place import Figures, Place

PAGE = 100
DEEP = 10_000
"""The page that is compared with the first."""
REQUESTS = 300
"""Of each kind, one after the other in turn."""
_SCOPES = ["history", "balance"]


def measure(place: Place) -> Figures:
    settings = past.database(place)
    long, short = _tokens(settings)
    first = f"/v1/transactions?limit={PAGE}"
    kinds = {
        "first": (long, first),
        "deep": (long, f"{first}&cursor={_cursor(settings, page=DEEP)}"),
        "1k": (short, first),
    }
    print(f"history: pages of {past.LONG:,} and of {past.SHORT:,} transactions …", flush=True)
    took_s: dict[str, list[float]] = {name: [] for name in kinds}
    with place.serving(settings) as served:
        connection = http.client.HTTPConnection(urlsplit(served.address).netloc)
        for turn in range(REQUESTS + 20):
            for name, (token, path) in kinds.items():
                seconds = _page(connection, path, token)
                if turn >= 20:  # until both processes are warm
                    took_s[name].append(seconds)
    median_ms = {name: statistics.median(seconds) * 1000 for name, seconds in took_s.items()}
    return {
        "history_deep_vs_first": median_ms["deep"] / median_ms["first"],
        "history_1m_vs_1k": median_ms["first"] / median_ms["1k"],
        **{f"history_{name}_ms": milliseconds for name, milliseconds in median_ms.items()},
    }


def _page(connection: http.client.HTTPConnection, path: str, token: str) -> float:
    """Ask for a page, which must be a full one; how many seconds it took."""
    began = time.perf_counter()
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = answer.read()
    took_s = time.perf_counter() - began
    assert answer.status == 200, body
    assert len(json.loads(body)["transactions"]) == PAGE
    return took_s


def _cursor(settings: Settings, *, page: int) -> str:
    """Where that page of the long history begins: the end of the page before."""
    with psycopg.connect(settings.database_url) as connection:
        row = connection.execute(
            "SELECT position FROM transaction WHERE member_id = (SELECT member_id FROM transaction"
            " WHERE requester = 'past' GROUP BY member_id ORDER BY count(*) DESC LIMIT 1)"
            " ORDER BY position DESC OFFSET %s LIMIT 1",
            [PAGE * (page - 1) - 1],
        ).fetchone()
    assert row is not None
    return encode_cursor(row[0])


def _tokens(settings: Settings) -> tuple[str, str]:
    """Access tokens of the members with the long and the short history, for an app that may read it."""
    tokens = f"kat_{secrets.token_urlsafe(32)}", f"kat_{secrets.token_urlsafe(32)}"
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "INSERT INTO oauth_client (id, issuer_id, name_ja, name_en, profile, secret_hash, redirect_uris, scopes)"
            " SELECT 'bench_history', id, '履歴', 'History', 'web', '-', '{}', %s FROM issuer",
            [_SCOPES],
        )
        counted = connection.execute(
            "SELECT member_id, count(*) FROM transaction WHERE requester = 'past' GROUP BY member_id"
        ).fetchall()
        lengths = {length: member_id for member_id, length in counted}
        for token, length in zip(tokens, (past.LONG, past.SHORT), strict=True):
            grant_id, member_id = new_id(), lengths[length]
            connection.execute(
                "INSERT INTO oauth_grant (id, issuer_id, member_id, client_id, scopes)"
                " SELECT %s, id, %s, 'bench_history', %s FROM issuer",
                [grant_id, member_id, _SCOPES],
            )
            connection.execute(
                "INSERT INTO oauth_token (token_hash, kind, family_id, client_id, member_id, grant_id, scopes,"
                " expires_at) VALUES (%s, 'access', %s, 'bench_history', %s, %s, %s, %s)",
                [secret_hash(token), new_id(), member_id, grant_id, _SCOPES, datetime.now(UTC) + timedelta(hours=6)],
            )
    return tokens
