"""The programs app authors copy from docs/oauth.md do what it says, against a running server."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey, OKPKey
from sqlalchemy import text

from app.db import autocommit
from tests import factories
from tests.docs_examples.run import EXAMPLES, example
from tests.live import Live, Person, eventually, process
from tests.oauth.browser import Browser
from tests.oauth.test_with_foreign_client import CALLBACK
from tests.ports import free_port

THREE = ("py", "mjs", "sh")


@pytest.fixture
def person(live_server: Live) -> Person:
    """A member with 5,000 yen."""
    person = live_server.register()
    with live_server.app.app_context():
        money = factories.money()
        factories.wallet(member_id=person.id, money=money)
        factories.charge(member_id=person.id, money=money, amount_yen=5_000)
    return person


def client(live_server: Live, **registration: Any) -> factories.RegisteredClient:
    with live_server.app.app_context():
        return factories.oauth_client(**registration)


def environment(live_server: Live, registered: factories.RegisteredClient) -> dict[str, str | None]:
    return {
        "KUMIAI_URL": live_server.url,
        "CLIENT_ID": registered.id,
        "CLIENT_SECRET": registered.secret,
        "REDIRECT_URI": CALLBACK,
    }


def back_from(live_server: Live, address: str, person: Person, *, decision: str = "allow", to: str = CALLBACK) -> str:
    """The member opens the address, signs in, allows the balance; returns where the browser is sent."""
    browser = Browser(live_server)
    page = browser.sign_in(browser.open(address), person)
    return browser.send(page, decision=decision, permission=["balance"]).headers["Location"]


@contextmanager
def web_site(live_server: Live, kind: str, directory: Path) -> Iterator[str]:
    """The web example at an address of its own; yields that."""
    port = free_port()
    site = f"http://localhost:{port}"
    registered = client(live_server, redirect_uris=[f"{site}/callback"], post_logout_redirect_uris=[f"{site}/"])
    known = {**environment(live_server, registered), "PORT": str(port), "SESSION_KEY": "s" * 32}
    if kind == "mjs":
        with example("web.mjs", **known) as running:
            running.said("Open ")
            yield site
        return
    command = [sys.executable, "-m", "flask", "--app", str(EXAMPLES / "web.py"), "run", "--port", str(port)]
    given = {name: value for name, value in known.items() if value is not None}
    with process(command, env=given, log=directory / "web.log"):
        eventually(lambda: _answers(site))
        yield site


def _answers(site: str) -> bool | None:
    try:
        return requests.get(f"{site}/connect", allow_redirects=False, timeout=5).status_code > 0
    except requests.ConnectionError:
        return None


@pytest.mark.parametrize("kind", ["py", "mjs"])
def test_web(live_server: Live, person: Person, kind: str, tmp_path: Path) -> None:
    with web_site(live_server, kind, tmp_path) as site, requests.Session() as visitor:
        assert "/connect" in visitor.get(site, timeout=10).text
        asked = visitor.get(f"{site}/connect", allow_redirects=False, timeout=10).headers["Location"]
        back = back_from(live_server, asked, person, to=site)

        assert "5000 yen" not in requests.get(back, timeout=10).text  # another visitor's browser
        assert "5000 yen" in visitor.get(back, timeout=10).text


@pytest.mark.parametrize("kind", ["py", "mjs"])
def test_web_with_another_issuer_in_the_answer(live_server: Live, person: Person, kind: str, tmp_path: Path) -> None:
    with web_site(live_server, kind, tmp_path) as site, requests.Session() as visitor:
        asked = visitor.get(f"{site}/connect", allow_redirects=False, timeout=10).headers["Location"]
        back = back_from(live_server, asked, person, to=site)
        visitor.get(re.sub("iss=[^&]*", "iss=https%3A%2F%2Fevil.example", back), timeout=10)
        assert "/connect" in visitor.get(site, timeout=10).text


@pytest.mark.parametrize("kind", ["py", "mjs"])
def test_web_denied(live_server: Live, person: Person, kind: str, tmp_path: Path) -> None:
    with web_site(live_server, kind, tmp_path) as site, requests.Session() as visitor:
        asked = visitor.get(f"{site}/connect", allow_redirects=False, timeout=10).headers["Location"]
        back = back_from(live_server, asked, person, decision="cancel", to=site)
        assert "Not connected: access_denied" in visitor.get(back, timeout=10).text


@pytest.mark.parametrize("kind", ["py", "mjs"])
def test_web_shows_no_words_of_others_as_html(live_server: Live, kind: str, tmp_path: Path) -> None:
    with web_site(live_server, kind, tmp_path) as site, requests.Session() as visitor:
        asked = visitor.get(f"{site}/connect", allow_redirects=False, timeout=10).headers["Location"]
        state = re.search("state=([^&]*)", asked)
        assert state
        query = {"error": "<script>", "state": state[1], "iss": live_server.url}
        answer = visitor.get(f"{site}/callback", params=query, timeout=10)
        assert "Not connected" in answer.text
        assert "<script>" not in answer.text or answer.headers["Content-Type"].startswith("text/plain")


def test_web_gives_the_session_a_new_name_at_sign_in(live_server: Live, person: Person, tmp_path: Path) -> None:
    with web_site(live_server, "mjs", tmp_path) as site, requests.Session() as visitor:
        asked = visitor.get(f"{site}/connect", allow_redirects=False, timeout=10).headers["Location"]
        before = visitor.cookies["app"]
        visitor.get(back_from(live_server, asked, person, to=site), timeout=10)
        assert "5000 yen" in visitor.get(site, timeout=10).text
        assert "5000 yen" not in requests.get(site, cookies={"app": before}, timeout=10).text


def test_web_signs_out_at_both(live_server: Live, person: Person, tmp_path: Path) -> None:
    with web_site(live_server, "py", tmp_path) as site, requests.Session() as visitor:
        asked = visitor.get(f"{site}/connect", allow_redirects=False, timeout=10).headers["Location"]
        browser = Browser(live_server)
        page = browser.sign_in(browser.open(asked), person)
        visitor.get(browser.send(page, decision="allow").headers["Location"], timeout=10)
        leave = visitor.post(f"{site}/sign-out", allow_redirects=False, timeout=10).headers["Location"]
        assert browser.open(leave).headers["Location"] == f"{site}/"
        assert 'name="password"' in browser.open(asked).text  # it must be signed in to again


def test_web_renews_what_was_given_and_no_more(
    live_server: Live, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = client(live_server, redirect_uris=["http://localhost/callback"])
    for name, value in environment(live_server, registered).items():
        monkeypatch.setenv(name, value or "")
    monkeypatch.setenv("SESSION_KEY", "s" * 32)
    spec = importlib.util.spec_from_file_location("docs_example_web", EXAMPLES / "web.py")
    assert spec and spec.loader
    web = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(web)
    visitor = web.app.test_client()
    back = back_from(live_server, visitor.get("/connect").headers["Location"], person, to="http://localhost/callback")
    assert visitor.get(back.removeprefix("http://localhost")).status_code == 302

    first = web.TOKENS[str(person.id)]
    first["expires_at"] = 0
    assert "5000 yen" in visitor.get("/").text
    renewed = web.TOKENS[str(person.id)]
    assert renewed["refresh_token"] != first["refresh_token"]
    assert renewed["scope"] == "openid profile balance offline_access"

    form = {"token": renewed["refresh_token"]}
    requests.post(f"{live_server.url}/oauth/revoke", form, auth=(registered.id, registered.secret or ""), timeout=10)
    renewed["expires_at"] = 0
    assert visitor.get("/").status_code == 401


TEN_MINUTES_LATER = """data:text/javascript,
    const now = Date.now; let later = 0; Date.now = () => now() + later;
    process.on("SIGUSR2", () => { later = 600000; console.log("ten minutes later"); });
"""


def test_web_renews_in_javascript_too(live_server: Live, person: Person, tmp_path: Path) -> None:
    port = free_port()
    site = f"http://localhost:{port}"
    registered = client(live_server, redirect_uris=[f"{site}/callback"])
    options = {"PORT": str(port), "NODE_OPTIONS": f"--import={quote(TEN_MINUTES_LATER, safe=':/,')}"}
    with (
        example("web.mjs", **environment(live_server, registered), **options) as running,
        requests.Session() as visitor,
    ):
        running.said("Open ")
        asked = visitor.get(f"{site}/connect", allow_redirects=False, timeout=10).headers["Location"]
        visitor.get(back_from(live_server, asked, person, to=site), timeout=10)
        running.running.send_signal(signal.SIGUSR2)
        running.said("ten minutes later")
        assert "5000 yen" in visitor.get(site, timeout=10).text
    statement = "SELECT count(*) FROM oauth_token WHERE client_id = :id AND kind = 'refresh' AND rotated_at IS NOT NULL"
    with live_server.app.app_context(), autocommit().connect() as connection:
        assert connection.execute(text(statement), {"id": registered.id}).scalar_one() == 1


def test_web_by_hand(live_server: Live, person: Person) -> None:
    registered = client(live_server, redirect_uris=[CALLBACK])
    with example("web.sh", **environment(live_server, registered)) as running:
        running.answer(back_from(live_server, running.address(), person))
        said = running.rest()
    assert "Allowed: openid balance offline_access" in said
    assert "Total: 5000 yen" in said
    assert "Revoked" in said


@pytest.mark.parametrize("kind", ["py", "mjs"])
def test_native(live_server: Live, person: Person, kind: str) -> None:
    registered = client(live_server, profile="native", redirect_uris=["http://127.0.0.1/callback"])
    with example(f"native.{kind}", **environment(live_server, registered)) as running:
        back = back_from(live_server, running.address(), person, to="http://127.0.0.1:")
        assert requests.get(back, timeout=10).ok
        said = running.rest()
    assert (str(person.id) if kind == "py" else "組合 花子") in said
    assert "5000 yen" in said


def test_native_by_hand(live_server: Live, person: Person) -> None:
    registered = client(live_server, profile="native", redirect_uris=["http://127.0.0.1/callback"])
    with example("native.sh", **environment(live_server, registered)) as running:
        running.answer(back_from(live_server, running.address(), person, to="http://127.0.0.1:"))
        assert "Member: 組合 花子, allowed: openid profile balance" in running.rest()


@pytest.mark.parametrize("kind", THREE)
def test_service(live_server: Live, kind: str) -> None:
    registered = client(live_server, profile="service")
    with example(f"service.{kind}", **environment(live_server, registered)) as running:
        said = running.rest()
    assert registered.id in said
    assert "till" in said


@pytest.mark.parametrize("kind", THREE)
def test_service_with_a_wrong_secret(live_server: Live, kind: str) -> None:
    registered = client(live_server, profile="service")
    with example(f"service.{kind}", **{**environment(live_server, registered), "CLIENT_SECRET": "wrong"}) as running:
        assert "invalid_client" in running.rest(status=1)


@pytest.mark.parametrize("kind", ["py", "mjs"])
def test_fapi2(live_server: Live, person: Person, kind: str) -> None:
    key = ECKey.generate_key("P-256", auto_kid=True)
    public = {**key.as_dict(private=False), "kid": key.kid}
    registered = client(live_server, profile="fapi2", redirect_uris=[CALLBACK], jwks={"keys": [public]})
    private = json.dumps({**key.as_dict(private=True), "kid": key.kid})
    with example(f"fapi2.{kind}", **environment(live_server, registered), CLIENT_KEY=private) as running:
        running.answer(back_from(live_server, running.address(), person))
        said = running.rest()
    assert "DPoP" in said
    assert "Total: 5000 yen" in said


def test_fapi2_by_hand(live_server: Live, person: Person, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    public = OKPKey.import_key(pem.decode()).as_dict(private=False)
    registered = client(live_server, profile="fapi2", redirect_uris=[CALLBACK], jwks={"keys": [public]})
    known = {**environment(live_server, registered), "CLIENT_KEY_FILE": str(tmp_path / "key.pem")}
    with example("fapi2.sh", **known) as running:
        running.answer(back_from(live_server, running.address(), person))
        said = running.rest()
    assert "Bound: DPoP" in said
    assert "Total: 5000 yen" in said


@pytest.mark.parametrize("kind", THREE)
def test_device(live_server: Live, person: Person, kind: str) -> None:
    registered = client(live_server, profile="native", redirect_uris=["http://127.0.0.1/callback"])
    with example(f"device.{kind}", **environment(live_server, registered)) as running:
        link = running.said("Or scan this: ").rpartition("Or scan this: ")[2].strip()
        browser = Browser(live_server)
        page = browser.sign_in(browser.open(link), person)
        page = browser.send(page, user_code=link.rpartition("=")[2])
        browser.send(page, decision="allow", permission=["balance"])
        said = running.rest()
    assert "Allowed: openid balance" in said
    assert "Total: 5000 yen" in said


@pytest.mark.parametrize("kind", THREE)
def test_oidc_basic(live_server: Live, person: Person, kind: str) -> None:
    registered = client(live_server, profile="oidc_basic", redirect_uris=[CALLBACK])
    with example(f"oidc_basic.{kind}", **environment(live_server, registered)) as running:
        running.answer(back_from(live_server, running.address(), person))
        said = running.rest()
    assert "Member: " in said
    assert ("Refreshed" in said) == (kind == "py")


@pytest.mark.parametrize("name", ["web.sh", "fapi2.py", "fapi2.mjs", "oidc_basic.mjs", "oidc_basic.sh"])
def test_an_answer_to_another_question_is_refused(live_server: Live, person: Person, name: str) -> None:
    key = ECKey.generate_key("P-256", auto_kid=True)
    fapi2 = {"profile": "fapi2", "jwks": {"keys": [{**key.as_dict(private=False), "kid": key.kid}]}}
    kind = {"web": {}, "fapi2": fapi2, "oidc_basic": {"profile": "oidc_basic"}}[name.partition(".")[0]]
    registered = client(live_server, redirect_uris=[CALLBACK], **kind)
    private = json.dumps({**key.as_dict(private=True), "kid": key.kid})
    with example(name, **environment(live_server, registered), CLIENT_KEY=private) as running:
        back = back_from(live_server, running.address(), person)
        running.answer(re.sub("state=[^&]*", "state=another", back))
        said = running.rest(status=1)
    assert re.search("(?i)our question", said), said
