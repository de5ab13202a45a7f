"""Members who can sign in, and what was mailed to them."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.db import db, transaction
from app.member import service
from app.outbox import Outbox
from app.seal import unseal
from app.settings import Settings

PASSWORD = "正しい馬の電池"


@dataclass(frozen=True)
class Person:
    id: UUID
    email: str


@pytest.fixture
def person(app: Flask) -> Person:
    """A member of the test co-op whose password is PASSWORD."""
    return register(app)


def register(app: Flask, *, locale: str = "ja") -> Person:
    email = f"k{secrets.token_hex(6)}@example.ac.jp"
    with app.app_context(), transaction():
        member_id = service.register_member(
            email=email, password=PASSWORD, family_name="生協", given_name="花子", locale=locale
        )
    return Person(id=member_id, email=email)


@pytest.fixture
def mails(app: Flask, settings: Settings) -> Callable[[str], list[dict[str, str]]]:
    """The mails waiting in the outbox for an address, oldest first."""

    def read(email: str) -> list[dict[str, str]]:
        with app.app_context(), transaction():
            mail = (Outbox.state == "waiting", Outbox.topic == "mail")
            rows = db.session.scalars(select(Outbox).where(*mail).order_by(Outbox.id)).all()
            payloads = [json.loads(unseal(settings.sealing_key, row.payload_sealed or b"")) for row in rows]
        return [payload for payload in payloads if payload["to"] == email]

    return read


@pytest.fixture
def last_code(mails: Callable[[str], list[dict[str, str]]]) -> Callable[[str], str]:
    """The six digits mailed last to an address."""

    def read(email: str) -> str:
        found = re.search(r"^ {4}([0-9]{6})$", mails(email)[-1]["text"], re.MULTILINE)
        assert found
        return found[1]

    return read


def post(client: FlaskClient, path: str, **form: str) -> TestResponse:
    """Send a form the way a browser does: load the page, take its token, send it."""
    page = client.get(path.replace("/resend", ""))
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert token, page.text
    return client.post(path, data={"csrf_token": token[1], **form})


def other_code(code: str) -> str:
    """Six digits that are not `code`."""
    return f"{(int(code) + 1) % 1_000_000:06}"
