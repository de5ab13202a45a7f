"""A card number sent to every address of the server is nowhere afterwards: not in the database, a log, or a mail."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from psycopg import sql

from app.db import dispose
from app.factory import create_app
from app.settings import Settings
from app.wallet import ledger
from tests import factories
from tests.architecture.test_guards import EXAMPLES
from tests.charge.scene import CONTACT, Scene
from tests.charge.vendor import Vendor

NUMBER = "4000056655665556"
CARD = {"card_number": NUMBER, "number": NUMBER, "cvc": "737", "expiry": "12/34", "card": {"number": NUMBER}}


@pytest.fixture
def scene(fresh_database: str, make_settings: Callable[[str], Settings], sandbox: Vendor) -> Iterator[Scene]:
    app = create_app(replace(make_settings(fresh_database), **sandbox.settings))
    with app.app_context():
        factories.issuer()
    yield Scene(app, sandbox)
    ledger.close()
    with app.app_context():
        dispose()


def addresses(app: Flask) -> Iterator[tuple[str, str]]:
    adapter = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        values = {name: EXAMPLES[name] for name in rule.arguments}
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield method, adapter.build(rule.endpoint, values, method)


def test_a_card_number_sent_anywhere_is_kept_nowhere(
    scene: Scene, fresh_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    http = scene.app.test_client()
    headers = {"Authorization": f"Bearer {scene.token}", "Idempotency-Key": secrets.token_hex(8)}
    charge = {"money": scene.world.meal, "amount_yen": 3_000, "method": "konbini", **CONTACT}
    for method, path in addresses(scene.app):
        for sent in ({"json": {**charge, **CARD}}, {"data": {"email": "a@example.ac.jp", **_flat(CARD)}}):
            with http.open(path, method=method, headers=headers, query_string=_flat(CARD), **sent) as answer:
                assert answer.status_code < 500, (method, path, answer.text)
    assert kept(fresh_database) == []
    assert NUMBER not in caplog.text
    assert kept_in_files(scene.app.extensions["kumiai.settings"].instance_path) == []


def test_the_search_finds_what_is_there(scene: Scene, fresh_database: str) -> None:
    """Else the test above could not fail."""
    scene.rows("UPDATE member SET family_name = :n RETURNING 1", n=f"x{NUMBER}")
    assert kept(fresh_database) == ["member"]


def kept(database_url: str) -> list[str]:
    """The tables of which a row holds the number, in whatever column."""
    with psycopg.connect(database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        found = []
        for (table,) in tables:
            query = sql.SQL("SELECT true FROM {} AS r WHERE r::text LIKE %s LIMIT 1").format(sql.Identifier(table))
            if connection.execute(query, [f"%{NUMBER}%"]).fetchone():
                found.append(table)
    return found


def kept_in_files(folder: Path) -> list[str]:
    """Files with the number in them: mail, logs."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and NUMBER.encode() in path.read_bytes()]


def _flat(card: dict[str, object]) -> dict[str, str]:
    return {name: value for name, value in card.items() if isinstance(value, str)}
