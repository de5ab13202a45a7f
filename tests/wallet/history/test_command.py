"""`kumiai ledger as-of`, as the office runs it."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from app.cli import main
from app.db import transaction
from app.settings import Settings
from app.wallet.postings import Payment
from tests.wallet.history.conftest import Books

pytestmark = pytest.mark.ledger


_KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def run(books: Books, settings: Settings) -> Any:
    keys = dict.fromkeys(("KUMIAI_SECRET_KEY", "KUMIAI_SEALING_KEY", "KUMIAI_CARD_PEPPER"), _KEY)
    places = {"DATABASE_URL": settings.database_url, "KUMIAI_MAIL_URL": settings.mail_url}
    environment = {"LANG": "en", "KUMIAI_ENV": "test", **places, **keys}
    return lambda *arguments: CliRunner().invoke(main, ["ledger", "as-of", *arguments], env=environment)


def test_wallets_shops_and_monies_at_an_instant(books: Books, run: Any) -> None:
    books.charge(books.meal, 1_000)
    paid = books.accepted(Payment, amount_yen=300)
    at = paid.created_at.isoformat()
    before = (paid.created_at - timedelta(microseconds=1)).isoformat()
    with transaction() as session:
        email = session.scalar(text("SELECT email FROM member WHERE id = :id"), {"id": books.member_id})
    assert _line(run(at, "--wallet", f" {email.upper()}"), books.meal) == "¥700"
    assert _line(run(before, "--wallet", email), books.meal) == "¥1,000"
    assert _line(run(at, "--shop", books.shop), books.meal) == "¥300"
    assert _line(run(before, "--shop", books.shop), "total") == "¥0"
    one = run(at, "--money", books.meal)
    told = [_line(one, f"{books.meal} {name}") for name in ("issued", "recovered", "unused", "issued_by_cash")]
    assert told == ["¥1,000", "¥300", "¥700", "-¥1,000"]
    assert _line(run(at), f"{books.meal} unused") == "¥700"
    assert _line(run("2020-01-01"), f"{books.meal} issued") == "¥0"


def test_what_cannot_be_told_is_said(books: Books, run: Any) -> None:
    assert "has not come" in run("2999-01-01").output
    for option in ("--wallet", "--shop", "--money"):
        answer = run("2020-01-01", option, "nonesuch")
        assert (answer.exit_code, answer.output.count("No ")) == (1, 1)
    assert run("yesterday").exit_code == 2
    assert run("2020-01-01", "--shop", "a", "--money", "b").exit_code == 2


def _line(answer: Any, name: str) -> str:
    assert answer.exit_code == 0, answer.output
    [found] = [line for line in answer.output.splitlines() if line.startswith(f"{name} ")]
    return str(found.split()[-1])
