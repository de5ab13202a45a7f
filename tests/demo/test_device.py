"""`kumiai demo device` against the running product: the code it shows is typed in, and it shows the balance."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from app.demo.device import CLIENT_ID
from app.oauth.clients import find_client
from tests import factories
from tests.live import Live, read_until
from tests.oauth.browser import Browser

KUMIAI = [sys.executable, "-c", "from app.cli import main; main()"]


@contextmanager
def running(live: Live) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "KUMIAI_ISSUER_URL": live.url, "DATABASE_URL": "unused", "LANG": "en_US.UTF-8"}
    process = subprocess.Popen(
        [*KUMIAI, "demo", "device"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def at_the_question(live_server: Live) -> Iterator[tuple[subprocess.Popen[str], Browser, requests.Response]]:
    """The device has shown its code, and a member with money has typed it."""
    person, browser = live_server.register(), Browser(live_server)
    with live_server.app.app_context():
        money = factories.money(name_ja="学食マネー")
        factories.wallet(member_id=person.id, money=money)
        factories.charge(member_id=person.id, money=money, amount_yen=1_234)
        if find_client(CLIENT_ID) is None:
            factories.oauth_client(
                client_id=CLIENT_ID,
                profile="native",
                scopes=["openid", "balance"],
                redirect_uris=["http://127.0.0.1/callback"],
            )
    with running(live_server) as process:
        said = read_until(process, "Waiting")
        code = re.search(r"^  ([B-Z]{4}-[B-Z]{4})$", said, re.MULTILINE)
        assert code, said
        entry = browser.sign_in(browser.open(f"{live_server.url}/oauth/device"), person)
        yield process, browser, browser.send(entry, user_code=code[1])


def test_it_shows_the_balance_once_allowed(
    at_the_question: tuple[subprocess.Popen[str], Browser, requests.Response],
) -> None:
    process, browser, page = at_the_question
    browser.send(page, decision="allow", permission="balance")
    assert "Allowed: openid balance" in read_until(process, "Allowed")
    assert read_until(process, "1,234").strip() == "学食マネー  ¥1,234"
    assert process.wait(10) == 0


def test_it_says_so_when_it_is_denied(
    at_the_question: tuple[subprocess.Popen[str], Browser, requests.Response],
) -> None:
    process, browser, page = at_the_question
    browser.send(page, decision="cancel")
    assert "access_denied" in read_until(process, "Not connected")
    assert process.wait(10) == 1
