"""Nobody learns at the sign-in page who is a member: same answer, same work, whoever is asked for.

Time itself is not measured here: what takes it is counted, the runs of argon2 and the statements of the database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import argon2._password_hasher as hasher
import pytest
from flask import Flask
from sqlalchemy import event, update

from app.db import autocommit, db, transaction
from app.member.models import Member
from app.outbox import Outbox
from tests.member.conftest import PASSWORD, Person, post, register

Answer = tuple[int, str, dict[str, str]]


@dataclass
class Work:
    """What a request made the server do."""

    argon2_runs: int = 0
    statements: list[str] = field(default_factory=list)


@contextmanager
def counted(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    work = Work()

    def verify(*args: object) -> object:
        work.argon2_runs += 1
        return verifies(*args)  # type: ignore[arg-type]

    verifies = hasher.verify_secret
    hashes = hasher.hash_secret

    def hash_(*args: object, **options: object) -> bytes:
        work.argon2_runs += 1
        return hashes(*args, **options)  # type: ignore[arg-type]

    def remember(connection: object, cursor: object, statement: str, *rest: object) -> None:
        work.statements.append(statement)

    with app.app_context():
        engines = [autocommit(), db.engine]
    with monkeypatch.context() as patch:
        patch.setattr(hasher, "verify_secret", verify)
        patch.setattr(hasher, "hash_secret", hash_)
        for engine in engines:
            event.listen(engine, "before_cursor_execute", remember)
        try:
            yield work
        finally:
            for engine in engines:
                event.remove(engine, "before_cursor_execute", remember)


def unknown(app: Flask) -> str:
    return "nobody@example.ac.jp"


def known(app: Flask) -> str:
    return register(app).email


def without_password(app: Flask) -> str:
    return _with(app, password_hash="!")


def suspended(app: Flask) -> str:
    return _with(app, status="suspended")


def closed(app: Flask) -> str:
    return _with(app, status="closed")


def _with(app: Flask, **values: str) -> str:
    person: Person = register(app)
    with app.app_context(), transaction() as session:
        session.execute(update(Member).where(Member.id == person.id).values(**values))
    return person.email


WHO = [unknown, known, without_password, suspended, closed]


def asked(app: Flask, email: str, password: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Answer, Work]:
    """What a stranger is answered, and the work it took."""
    browser = app.test_client()
    with counted(app, monkeypatch) as work:
        answer = post(browser, "/login", email=email, password=password)
    volatile = {"X-Request-Id", "Set-Cookie", "Content-Length"}
    headers = {name: value for name, value in answer.headers.items() if name not in volatile}
    headers["Set-Cookie"] = re.sub("=[^;]*;", "=…;", answer.headers.get("Set-Cookie", ""), count=1)
    body = re.sub(r'name="csrf_token" value="[^"]+"', "", answer.text).replace(email, "…")
    return (answer.status_code, body, headers), work


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize("who", WHO[1:], ids=lambda who: who.__name__)
def test_a_wrong_password_is_answered_alike_whoever_it_is_tried_on(
    app: Flask, monkeypatch: pytest.MonkeyPatch, who: Callable[[Flask], str]
) -> None:
    nobody, work_for_nobody = asked(app, unknown(app), "ちがう", monkeypatch)
    somebody, work_for_somebody = asked(app, who(app), "ちがう", monkeypatch)
    assert nobody[0] == 403
    assert somebody == nobody
    assert work_for_nobody.argon2_runs == 1
    assert work_for_somebody == work_for_nobody


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize("who", [closed, without_password], ids=lambda who: who.__name__)
def test_so_is_the_right_password_of_who_is_no_member_any_more(
    app: Flask, monkeypatch: pytest.MonkeyPatch, who: Callable[[Flask], str]
) -> None:
    nobody = asked(app, unknown(app), PASSWORD, monkeypatch)
    assert asked(app, who(app), PASSWORD, monkeypatch) == nobody


@pytest.mark.parametrize("who", WHO, ids=lambda who: who.__name__)
def test_a_mail_leaves_only_after_the_right_password(app: Flask, who: Callable[[Flask], str]) -> None:
    email = who(app)
    before = _mails(app)
    post(app.test_client(), "/login", email=email, password="ちがう")
    assert _mails(app) == before


def _mails(app: Flask) -> int:
    with app.app_context(), transaction() as session:
        return session.query(Outbox).count()


@pytest.mark.usefixtures("still_clock")
def test_the_limits_are_the_same_for_an_address_that_is_none(app: Flask) -> None:
    def tries(email: str, address: str) -> list[int]:
        browser = app.test_client()
        browser.environ_base["REMOTE_ADDR"] = address
        return [post(browser, "/login", email=email, password="ちがう").status_code for _ in range(11)]

    assert tries(register(app).email, "203.0.113.71") == tries("never-seen@example.ac.jp", "203.0.113.72")
