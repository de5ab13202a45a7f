"""What docs/oauth.md shows beside the profiles: step-up, signing out, introspection, registering, grants, a page."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey
from sqlalchemy import select, update

from app import clock
from app.db import transaction
from app.member.models import MemberSession
from app.oauth import invitations, keys
from app.oauth.models import OAuthGrant
from app.wallet import directory
from tests import factories
from tests.browser.conftest import Open, chromium, open_page
from tests.docs_examples.run import EXAMPLES, example
from tests.docs_examples.test_profiles import client, environment, person
from tests.live import Live, Person, eventually, process
from tests.oauth.browser import Browser
from tests.oauth.test_with_foreign_client import CALLBACK
from tests.ports import free_port

__all__ = ["chromium", "open_page", "person"]  # fixtures
STEP_UP_YEN = 10_000


def at_shop(
    live_server: Live, person: Person, **registration: Any
) -> tuple[factories.RegisteredClient, dict[str, str]]:
    """A client that may take payments from a member with 50,000 yen; and where, as the examples read it."""
    with live_server.app.app_context():
        money = factories.money()
        shop_id = factories.shop(accepts=[money])
        factories.wallet(member_id=person.id, money=money)
        factories.charge(member_id=person.id, money=money, amount_yen=50_000)
        shop = directory.shop_by_id(shop_id).code
    registered = client(live_server, redirect_uris=[CALLBACK], allowed_shops=[shop_id], **registration)
    return registered, {"SHOP": shop, "MONEY": money, "YEN": str(STEP_UP_YEN + 2_000)}


def test_a_payment_with_step_up_is_paid_once(live_server: Live, person: Person) -> None:
    registered, where = at_shop(live_server, person)
    with example("step_up.py", **environment(live_server, registered), **where) as running:
        browser = Browser(live_server)
        page = browser.sign_in(browser.open(running.address()), person)
        long_ago = clock.now() - timedelta(minutes=10)
        with live_server.app.app_context(), transaction() as session:
            session.execute(
                update(MemberSession).values(auth_time=long_ago).where(MemberSession.member_id == person.id)
            )
        back = browser.send(page, decision="allow", permission=["payment"])
        running.answer(back.headers["Location"])

        running.said("sign in again")
        page = browser.open(running.address())
        page = browser.send(page, email=person.email, password=person.password)
        code = live_server.mailed_code(person.email, after=1)
        running.answer(browser.follow_refresh(browser.send(page, code=code)).headers["Location"])
        said = running.rest()
    assert f"201 paid {STEP_UP_YEN + 2_000}" in said


def test_a_payment_below_it_goes_straight_through(live_server: Live, person: Person) -> None:
    registered, where = at_shop(live_server, person)
    with example("step_up.py", **environment(live_server, registered), **{**where, "YEN": "800"}) as running:
        browser = Browser(live_server)
        page = browser.sign_in(browser.open(running.address()), person)
        back = browser.send(page, decision="allow", permission=["payment"], max_per_payment_yen="500")
        running.answer(back.headers["Location"])
        said = running.rest()
    assert '"max_per_payment_yen": 500' in said
    assert "403 mandate_exceeded" in said


@pytest.fixture
def listening(live_server: Live, tmp_path: Path) -> Iterator[tuple[str, factories.RegisteredClient, Path]]:
    """The receiver of logout tokens: its address, whose it is, and what it writes."""
    site, log = f"http://localhost:{free_port()}", tmp_path / "backchannel.log"
    address = f"{site}/backchannel-logout"
    registered = client(live_server, redirect_uris=[CALLBACK], backchannel_logout_uri=address)
    command = [sys.executable, "-m", "flask", "--app", str(EXAMPLES / "backchannel.py"), "run"]
    known = {name: value for name, value in environment(live_server, registered).items() if value is not None}
    with process([*command, "--port", site.rpartition(":")[2]], env=known, log=log):
        eventually(lambda: _answers(address))
        yield address, registered, log


def _answers(address: str) -> bool | None:
    try:
        return requests.get(address, timeout=5).status_code == 405
    except requests.ConnectionError:
        return None


def test_word_of_a_sign_out_arrives(
    live_server: Live, person: Person, listening: tuple[str, factories.RegisteredClient, Path]
) -> None:
    _, registered, log = listening
    with example("web.sh", **environment(live_server, registered)) as running:
        browser = Browser(live_server)
        page = browser.sign_in(browser.open(running.address()), person)
        running.answer(browser.send(page, decision="allow", permission=["balance"]).headers["Location"])
        assert "Revoked" in running.rest()
    browser.send(browser.open(f"{live_server.url}/logout"))
    assert eventually(lambda: f"of member {person.id}" in log.read_text() or None)


@pytest.mark.parametrize("wrong", ["signature", "typ", "aud", "events", "nonce", "not a JWT"])
def test_what_is_no_logout_token_is_refused(
    live_server: Live, listening: tuple[str, factories.RegisteredClient, Path], wrong: str
) -> None:
    address, registered, log = listening
    token = _logout_token(live_server, registered, wrong)
    assert requests.post(address, {"logout_token": token}, timeout=10).status_code == 400
    assert "signed out" not in log.read_text()
    right = _logout_token(live_server, registered, "")
    assert requests.post(address, {"logout_token": right}, timeout=10).status_code == 204


def _logout_token(live_server: Live, registered: factories.RegisteredClient, wrong: str) -> str:
    """As the server would sign it, but for one thing."""
    now = int(clock.now().timestamp())
    claims: dict[str, Any] = {
        "iss": live_server.url,
        "aud": registered.id,
        "iat": now,
        "exp": now + 120,
        "jti": "j",
        "sub": "m",
        "sid": "s",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }
    changes = {"aud": {"aud": "another"}, "events": {"events": {}}, "nonce": {"nonce": "n"}}
    with live_server.app.app_context():
        key = keys.current_key(sealing_key=live_server.settings.sealing_key)
    header = {"typ": "JWT" if wrong == "typ" else "logout+jwt", "alg": "ES256", "kid": key.kid}
    signer = ECKey.generate_key("P-256") if wrong == "signature" else key
    token = jwt.encode(header, {**claims, **changes.get(wrong, {})}, signer)
    return "nonsense" if wrong == "not a JWT" else token


def test_introspection(live_server: Live, person: Person) -> None:
    registered = client(live_server)
    with live_server.app.app_context():
        token = factories.access_token(member_id=person.id, client_id=registered.id, scopes=["openid", "balance"])
    with example("introspect.py", **environment(live_server, registered)) as running:
        running.answer(token)
        said = running.rest()
    assert "Active: True scope: openid balance" in said
    assert "Signed: True" in said


def test_registering_by_program(live_server: Live) -> None:
    with live_server.app.app_context(), transaction():
        token = invitations.invite(
            profiles=["web"], scopes=["openid", "balance", "offline_access"], uses=1, days=1, note="docs"
        )
    with example("register.sh", KUMIAI_URL=live_server.url, INITIAL_TOKEN=token) as running:
        said = running.rest()
    assert "Profile: web, scope: openid balance offline_access" in said
    assert "https://staging.app.example/callback" in said
    assert "Removed" in said
    with example("register.sh", KUMIAI_URL=live_server.url, INITIAL_TOKEN=token) as running:
        assert "invalid_token" in running.rest(status=1)


def test_a_grant_and_its_end(live_server: Live, person: Person) -> None:
    registered, _ = at_shop(live_server, person)
    with live_server.app.app_context():
        token = factories.access_token(
            member_id=person.id, client_id=registered.id, scopes=["openid", "balance", "payment"]
        )
        grant_id = _grant_id(person, registered)
    with example("grants.sh", **environment(live_server, registered), GRANT_ID=grant_id) as running:
        said = running.rest()
    assert "active: openid balance payment" in said
    assert '"used_today_yen":0' in said
    assert said.splitlines()[-1] == "revoked"
    bearer = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{live_server.url}/v1/wallets", headers=bearer, timeout=10).status_code == 401


def _grant_id(person: Person, registered: factories.RegisteredClient) -> str:
    with transaction() as session:
        own = (OAuthGrant.member_id == person.id, OAuthGrant.client_id == registered.id)
        return str(session.scalars(select(OAuthGrant.id).where(*own)).one())


@contextmanager
def page_alone(live_server: Live, directory: Path, client_id: str, port: int) -> Iterator[str]:
    """The page of the profile spa, with this server and client written into it; yields its address."""
    html = (EXAMPLES / "spa.html").read_text()
    changed = html.replace("http://localhost:8000", live_server.url).replace("canteen_spa", client_id)
    (directory / "spa.html").write_text(changed)
    shutil.copy(EXAMPLES / "spa.js", directory)
    with ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=directory)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{port}/spa.html"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Not among the tests' own words."""


def test_a_page_alone(live_server: Live, person: Person, open_page: Open, tmp_path: Path) -> None:
    port = free_port()
    address = f"http://localhost:{port}/spa.html"
    registered = client(live_server, profile="spa", redirect_uris=[address])
    with page_alone(live_server, tmp_path, registered.id, port):
        page = open_page(locale="en-GB")
        page.goto(address)
        page.get_by_role("button").click()
        page.fill('input[name="email"]', person.email)
        page.fill('input[name="password"]', person.password)
        page.press('input[name="password"]', "Enter")
        page.fill('input[name="code"]', live_server.mailed_code(person.email))
        page.press('input[name="code"]', "Enter")
        page.get_by_role("button", name="Allow access").click()
        page.wait_for_url(address)
        page.get_by_text("you allow").wait_for()
        assert page.inner_text("#said") == "Hello 組合 花子, you have ¥5000, and you allow: openid profile balance"
        assert page.evaluate("sessionStorage.length") == 0


def test_the_page_is_let_in_and_no_other(live_server: Live) -> None:
    registered = client(live_server, profile="spa", redirect_uris=["https://spa.example/app"])
    origins = {"https://spa.example": 2, "https://evil.example": 0}
    for origin, let_in in origins.items():
        with example("spa.sh", **environment(live_server, registered), ORIGIN=origin) as running:
            said = running.rest()
        assert said.count(origin) == let_in, said
        assert "discovery: *" in said  # public anyway


def test_the_page_can_be_tried(live_server: Live) -> None:
    port = free_port()
    with example("spa.py", str(port)):
        answer = eventually(lambda: _fetched(f"http://localhost:{port}/spa.html"))
    assert "canteen_spa" in answer


def _fetched(address: str) -> str | None:
    try:
        return requests.get(address, timeout=5).text
    except requests.ConnectionError:
        return None
