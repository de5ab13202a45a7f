"""Tokens per second over HTTP: codes redeemed, refresh tokens turned over, tokens introspected.

One client, whose 10,000 members each gave it a grant. Codes are made beforehand (a code lives 60 seconds; these are
given longer), since a bench cannot have consents pressed thousands of times a second.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from app.db import dispose
from app.factory import create_app
from app.ids import new_id, secret_hash
from app.settings import Settings
from bench import population, server
from tests.oauth.statements import sent

VERIFIER = "bench-bench-bench-bench-bench-bench-bench-bench"
SECRET = "kcs_bench"  # of a client that exists in the bench only
CODES_PER_S = 4_000
"""More than a round can redeem; a round that runs out of them ends the bench with an error."""
REFRESH_TOKENS = 2_000
_SCOPES = ["openid", "payment", "balance", "offline_access"]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What the three measurements of one round need: files for wrk, and the client's credentials."""

    environment: dict[str, str]

    def measure(self, served: server.Served, *, seconds: int) -> dict[str, dict[str, Any]]:
        """Each of the three for `seconds`, by the name of its figure."""
        return {
            name: server.wrk(served, script, seconds=seconds, env=self.environment)
            for name, script in (
                ("token_code", "code.lua"),
                ("token_refresh", "refresh.lua"),
                ("introspection", "introspect.lua"),
            )
        }


def statements(settings: Settings, exchange: Exchange) -> dict[str, float]:
    """How many SQL statements each takes in a process that is warm, BEGIN and COMMIT apart."""
    app = create_app(settings)
    browser = app.test_client()
    headers = {"Authorization": exchange.environment["BENCH_BASIC"]}
    codes = Path(exchange.environment["BENCH_CODES"]).read_text().splitlines()
    refresh = Path(exchange.environment["BENCH_REFRESH"]).read_text().splitlines()
    tokens = Path(exchange.environment["BENCH_TOKENS"]).read_text().splitlines()

    def ask(path: str, **form: str) -> int:
        with sent() as seen:
            answer = browser.post(path, data=form, headers=headers)
        assert answer.status_code == 200, answer.text
        return len(seen)

    def redeem(code: str) -> int:
        redirect_uri = "https://bench.invalid/cb"
        return ask(
            "/oauth/token",
            grant_type="authorization_code",
            code=code,
            redirect_uri=redirect_uri,
            code_verifier=VERIFIER,
        )

    counted = [
        {
            "token_code_statements": redeem(codes[-turn]),
            "token_refresh_statements": ask("/oauth/token", grant_type="refresh_token", refresh_token=refresh[-turn]),
            "introspection_statements": ask("/oauth/introspect", token=tokens[-turn]),
        }
        for turn in (1, 2, 3)
    ]
    with app.app_context():
        dispose()
    return {name: float(number) for name, number in counted[-1].items()}


def let_client_in(database_url: str) -> None:
    """Give the bench's client a secret and the scopes that bring an ID token and a refresh token."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE oauth_client SET secret_hash = %s, scopes = %s, redirect_uris = %s WHERE id = %s",
            [secret_hash(SECRET), _SCOPES, ["https://bench.invalid/cb"], population.CLIENT_ID],
        )
        connection.execute("UPDATE oauth_grant SET scopes = %s WHERE client_id = %s", [_SCOPES, population.CLIENT_ID])


def prepare(database_url: str, directory: Path, *, name: str, tokens: Path, seconds: int) -> Exchange:
    """Codes and refresh tokens for one round of `seconds` per measurement."""
    codes = [f"kac_{secrets.token_urlsafe(32)}" for _ in range(CODES_PER_S * seconds)]
    refresh = [f"krt_{secrets.token_urlsafe(32)}" for _ in range(REFRESH_TOKENS)]
    with psycopg.connect(database_url) as connection:
        grants = connection.execute(
            "SELECT id, member_id FROM oauth_grant WHERE client_id = %s", [population.CLIENT_ID]
        ).fetchall()
        _copy_codes(connection, codes, grants)
        _copy_refresh(connection, refresh, grants)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE oauth_code, oauth_token")
    credentials = base64.b64encode(f"{population.CLIENT_ID}:{SECRET}".encode()).decode()
    return Exchange(
        environment={
            "BENCH_CODES": str(_lines(directory / f"codes.{name}", codes)),
            "BENCH_REFRESH": str(_lines(directory / f"refresh.{name}", refresh)),
            "BENCH_TOKENS": str(tokens),
            "BENCH_BASIC": f"Basic {credentials}",
            "BENCH_VERIFIER": VERIFIER,
        }
    )


def _copy_codes(connection: psycopg.Connection, codes: list[str], grants: list[tuple[UUID, UUID]]) -> None:
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    now = datetime.now(UTC)
    with connection.cursor().copy(
        "COPY oauth_code (code_hash, family_id, client_id, grant_id, member_id, scopes, redirect_uri, code_challenge,"
        " auth_time, expires_at) FROM STDIN"
    ) as copy:
        for number, code in enumerate(codes):
            grant_id, member_id = grants[number % len(grants)]
            who = (population.CLIENT_ID, grant_id, member_id, _SCOPES, "https://bench.invalid/cb", challenge)
            copy.write_row((secret_hash(code), new_id(), *who, now, now + timedelta(hours=6)))


def _copy_refresh(connection: psycopg.Connection, refresh: list[str], grants: list[tuple[UUID, UUID]]) -> None:
    now = datetime.now(UTC)
    with connection.cursor().copy(
        "COPY oauth_token (token_hash, kind, family_id, client_id, member_id, grant_id, scopes, auth_time, expires_at)"
        " FROM STDIN"
    ) as copy:
        for number, token in enumerate(refresh):
            grant_id, member_id = grants[number % len(grants)]
            who = (population.CLIENT_ID, member_id, grant_id, _SCOPES)
            copy.write_row((secret_hash(token), "refresh", new_id(), *who, now, now + timedelta(hours=6)))


def _lines(file: Path, lines: list[str]) -> Path:
    file.write_text("\n".join(lines) + "\n")
    return file
