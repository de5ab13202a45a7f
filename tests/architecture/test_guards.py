"""The guards: style, types, dependency contracts, migrations. Each runs its tool the way a developer would."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from flask import Flask

from app.mypage.factory import create_mypage
from app.mypage.settings import MypageSettings
from app.settings import Settings
from app.web.protection import protection_of
from tests.conftest import ROOT
from tests.live import free_port


def run(*command: str, **env: str) -> None:
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
    ],
    ids=" ".join,
)
def test_tool_finds_nothing(command: tuple[str, ...]) -> None:
    run(sys.executable, "-m", *command)


def test_dependency_contracts_hold() -> None:
    run(sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")


def test_models_and_migrations_agree(fresh_database: str) -> None:
    run(sys.executable, "-m", "alembic", "-c", "setup.cfg", "check", DATABASE_URL=fresh_database)


def test_every_migration_can_be_undone_and_done_again(fresh_database: str) -> None:
    alembic = (sys.executable, "-m", "alembic", "-c", "setup.cfg")
    run(*alembic, "downgrade", "base", DATABASE_URL=fresh_database)
    run(*alembic, "upgrade", "head", DATABASE_URL=fresh_database)
    run(*alembic, "check", DATABASE_URL=fresh_database)


def test_every_view_declares_its_protection(app: Flask) -> None:
    undeclared = [
        f"{rule} ({rule.endpoint})"
        for rule in app.url_map.iter_rules()
        if protection_of(app.view_functions[rule.endpoint]) is None
    ]
    assert not undeclared


def test_rooms_stay_small() -> None:
    """No file over 450 lines, no function over 60 (usually 300 and 10)."""
    large = []
    for path in (ROOT / "app").rglob("*.py"):
        text = path.read_text()
        if text.count("\n") > 450:
            large.append(str(path))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno > 60:
                large.append(f"{path}:{node.lineno} {node.name}")
    assert not large


EXAMPLES = {
    "charge_id": UUID(int=1),
    "link_id": UUID(int=1),
    "card_id": UUID(int=1),
    "tap_id": "tap-1",
    "client_id": "example_app",
    "code": "not_found",
    "code_id": UUID(int=1),
    "day": "2026-11-23",
    "delivery_id": UUID(int=1),
    "endpoint_id": UUID(int=1),
    "filename": "kumiai.css",
    "gateway": "sandbox",
    "grant_id": UUID(int=1),
    "hold_id": UUID(int=1),
    "job_id": UUID(int=1),
    "link": "none",
    "locale": "en",
    "money": "meal",
    "month": "2026-11",
    "payment_id": UUID(int=1),
    "key": "0123456789abcdef",
    "permission": "balance",
    "request_id": "example-1",
    "settlement_id": UUID(int=1),
    "shop": "canteen",
    "transaction_id": UUID(int=1),
}
"""A value for each argument that stands in an address."""


@pytest.fixture
def mypage() -> Flask:
    """The member page, with no server behind it."""
    settings = MypageSettings(key=b"k" * 32, client_secret="secret", issuer_url=f"http://localhost:{free_port()}")
    return create_mypage(settings)


@pytest.mark.parametrize("which", ["app", "mypage"])
def test_every_answer_carries_the_security_headers(which: str, request: pytest.FixtureRequest) -> None:
    """Every address with every method, whoever asks: pages, refusals, redirects, files, failures."""
    app: Flask = request.getfixturevalue(which)
    adapter = app.url_map.bind("localhost")
    addresses = [
        (method, adapter.build(rule.endpoint, {name: EXAMPLES[name] for name in rule.arguments}, method))
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    ]
    assert len(addresses) > 10
    for method, path in [*addresses, ("GET", "/no/such/page"), ("DELETE", "/"), ("POST", "/static/kumiai.css")]:
        with app.test_client().open(path, method=method) as answer:
            headers = answer.headers
        assert "default-src 'none'" in headers["Content-Security-Policy"], (method, path)
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], (method, path)
        assert headers["X-Content-Type-Options"] == "nosniff", (method, path)
        assert headers["Referrer-Policy"] == "no-referrer", (method, path)


def test_a_failure_of_our_own_carries_them_too(
    settings: Settings, fresh_database: str, new_app: Callable[[Settings], Flask]
) -> None:
    # no signing key can be made with it
    broken = new_app(replace(settings, database_url=fresh_database, sealing_key=b"not a key"))
    failed = broken.test_client().get("/oauth/jwks.json")
    assert failed.status_code == 500
    assert "default-src 'none'" in failed.headers["Content-Security-Policy"]
    assert failed.headers["X-Content-Type-Options"] == "nosniff"
