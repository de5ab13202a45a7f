"""The demo co-op: never in production, made once, left as it is, good for years."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from flask import Flask

from app import clock
from app.cli import main
from app.db import transaction
from app.demo import demo_card
from app.demo.seed import MEMBERS, seed
from app.reader import profiles, terminals
from app.reader.models import Terminal

KEY = base64.b64encode(b"k" * 32).decode()
SECRETS = {
    "KUMIAI_MYPAGE_CLIENT_SECRET": "kcs_mypage",
    "KUMIAI_DEMO_APP_CLIENT_SECRET": "kcs_app",
    "KUMIAI_TILL_CLIENT_SECRET": "kcs_till",
    "KUMIAI_MYPAGE_URL": "http://localhost:8001",
}


def kumiai_demo_seed(database_url: str, **env: str | None) -> Any:
    keys = dict.fromkeys(("KUMIAI_SECRET_KEY", "KUMIAI_SEALING_KEY", "KUMIAI_CARD_PEPPER"), KEY)
    given = {"KUMIAI_ENV": None, "DATABASE_URL": database_url, "LANG": "en_US.UTF-8", **SECRETS, **keys, **env}
    return CliRunner().invoke(main, ["demo", "seed"], env=given)


def count(database_url: str, table: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("environment", ["production", None])
def test_production_gets_no_demo_data(fresh_database: str, environment: str | None) -> None:
    answer = kumiai_demo_seed(fresh_database, KUMIAI_ENV=environment)
    assert answer.exit_code == 1
    assert "No demo data in production" in answer.output
    assert "KUMIAI_ENV=development" in answer.output
    assert (count(fresh_database, "issuer"), count(fresh_database, "member")) == (0, 0)


def test_a_second_run_adds_nothing_and_moves_nothing(fresh_database: str) -> None:
    tables = ("issuer", "member", "wallet", "account", "card", "terminal", "oauth_client", "transaction", "transfer")
    answer = kumiai_demo_seed(fresh_database, KUMIAI_ENV="development")
    assert answer.exit_code == 0, answer.output
    once = {table: count(fresh_database, table) for table in tables}
    assert once["member"] == len(MEMBERS)
    assert once["wallet"] == 5 * len(MEMBERS)
    assert once["transfer"] == sum(len(member.balances) + 1 for member in MEMBERS), "what is paid in, and points"
    assert kumiai_demo_seed(fresh_database, KUMIAI_ENV="development").exit_code == 0
    assert {table: count(fresh_database, table) for table in tables} == once


def sell(app: Flask) -> Any:
    """The demo's card touched at the demo's till."""
    client = app.test_client()
    token = client.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "scope": "till"},
        auth=("till_canteen", SECRETS["KUMIAI_TILL_CLIENT_SECRET"]),
    ).json["access_token"]
    blocks = {str(number): block.hex() for number, block in demo_card.fcf_blocks().items()}
    del blocks[str(demo_card.NAME_BLOCK)]
    tap = {"tap_id": "demo-1", "amount_yen": 380, "card": {"idm": demo_card.IDM, "blocks": blocks}}
    return client.post("/v1/taps", json=tap, headers={"Authorization": f"Bearer {token}"})


def test_a_revoked_till_stays_revoked(fresh_app: Flask) -> None:
    with fresh_app.app_context():
        seed(SECRETS)
        with transaction() as session:
            terminals.revoke(session.query(Terminal.id).scalar())
        seed(SECRETS)
    answer = sell(fresh_app)
    assert (answer.status_code, answer.json["code"]) == (403, "terminal_revoked")


def test_the_card_of_a_demo_made_long_ago_still_pays(fresh_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (datetime(2026, 11, 23, tzinfo=UTC), datetime(2041, 4, 1, tzinfo=UTC)):
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        with fresh_app.app_context():
            seed(SECRETS)
    answer = sell(fresh_app)
    assert answer.status_code == 201, answer.json


@pytest.mark.parametrize(
    ("today", "last_day"),
    [
        (date(2026, 11, 23), date(2028, 3, 31)),
        (date(2028, 3, 31), date(2029, 3, 31)),
        (date(2028, 4, 1), date(2030, 3, 31)),
    ],
)
def test_the_card_is_good_for_a_year_at_least(monkeypatch: pytest.MonkeyPatch, today: date, last_day: date) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(today.year, today.month, today.day, tzinfo=UTC))
    assert profiles.parse(demo_card.fcf_blocks(), profiles.profiles()["fcf"]).valid_until == last_day
