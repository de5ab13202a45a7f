"""Signing in and out, as a browser does it."""

from __future__ import annotations

from collections.abc import Callable

from flask.testing import FlaskClient

from tests.member.conftest import PASSWORD, Person, post


def test_password_then_code_then_session(client: FlaskClient, person: Person, last_code: Callable[[str], str]) -> None:
    sent = post(client, "/login?next=/language/ja", email=f" {person.email.upper()}", password=PASSWORD)
    assert (sent.status_code, sent.location) == (303, "/login/code?next=/language/ja")
    page = client.get(sent.location).text
    assert "k•••••@example.ac.jp" in page
    assert person.email not in page
    given = post(client, sent.location, code=last_code(person.email))
    assert (given.status_code, given.location) == (303, "/login/done?next=/language/ja")
    assert 'content="0;url=/language/ja"' in client.get(given.location).text
    assert "生協 花子" in client.get("/logout").text
