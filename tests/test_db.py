"""Connections to PostgreSQL: how many one process takes, and what a request hears when none is left."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from flask import Flask
from sqlalchemy import Engine

from app import db
from app.db import autocommit
from app.settings import Settings

PROCESSES, ADMITTED = 2, 100
"""Web processes of `kumiai run` on two processors, and what PostgreSQL admits by default."""


def most(engine: Engine) -> int:
    """How many connections an engine gives out before it makes the next one wait."""
    with ExitStack() as taken:
        for number in range(ADMITTED):
            try:
                taken.enter_context(engine.connect())
            except db.DATABASE_AWAY:
                return number
    raise AssertionError("it never has enough")


@pytest.fixture
def hurried(settings: Settings, new_app: Callable[[Settings], Flask], monkeypatch: pytest.MonkeyPatch) -> Flask:
    """A server whose requests do not wait long for a connection."""
    monkeypatch.setattr(db, "PATIENCE_S", 0.05)
    return new_app(settings)


def test_two_processes_leave_postgresql_connections_for_others(hurried: Flask) -> None:
    with hurried.app_context():
        assert 0 < PROCESSES * (most(db.db.engine) + most(autocommit()) + 2) <= 0.8 * ADMITTED


@pytest.mark.parametrize(("path", "word"), [("/oauth/token", "error"), ("/v1/me", "code"), ("/login", None)])
def test_with_no_connection_left_a_request_is_told_to_come_back(hurried: Flask, path: str, word: str | None) -> None:
    credentials = {"Authorization": "Bearer kat_x"} if path == "/v1/me" else {}
    form = {"client_id": "some_app", "grant_type": "refresh_token", "refresh_token": "krt_x"}
    with hurried.app_context(), ExitStack() as taken:
        for engine, number in ((db.db.engine, db.WRITING), (autocommit(), db.READING)):
            for _ in range(number):
                taken.enter_context(engine.connect())
        client = hurried.test_client()
        answer = client.post(path, data=form) if path == "/oauth/token" else client.get(path, headers=credentials)

    if path == "/v1/me":
        assert answer.status_code == 401  # who may do what is read on a connection of its own
    elif word is None:
        assert answer.status_code == 200  # a page about a trouble is shown in that trouble
    else:
        assert (answer.status_code, answer.get_json()[word]) == (503, "temporarily_unavailable")
        assert answer.headers["Retry-After"] == "1"
