"""The guards: style, types, dependency contracts, migrations. Each runs its tool the way a developer would."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.web.protection import protection_of
from tests.conftest import ROOT


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


def test_every_answer_carries_the_security_headers(app: Flask, client: FlaskClient) -> None:
    """Every path that takes no argument, whoever asks: pages, refusals, redirects, files."""
    paths = [rule.rule for rule in app.url_map.iter_rules() if not rule.arguments and "GET" in (rule.methods or ())]
    assert len(paths) > 10
    for path in [*paths, "/no/such/page", "/static/kumiai.css"]:
        with client.get(path) as answer:
            headers = answer.headers
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "no-referrer", path
