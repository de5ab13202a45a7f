"""Whatever a stranger or a member sends to any page or endpoint: an answer that refuses it, never a failure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlencode

import pytest
import werkzeug.test
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from app.oauth import client_assertion
from tests.oauth.conftest import Member, ThirdParty, hidden
from tests.oauth.keyholder import caller

HEADER = {
    "NUL": "\0",
    "half": "\ud800",
    "object": {"a": 1},
    "list": ["a"],
    "number": 1,
    "nothing": None,
    "digits": 10**30,
}
# Long enough that JSON nests too deep, that a number has too many digits, and short enough that a form with all NAMES
# is read to its end (MAX_BODY_BYTES) instead of being refused unread.
BRACKETS, DIGITS = "[" * 1_200, "9" * 4_500
VALUES = (
    "",
    "\0",
    "\r\nSet-Cookie: a=b",
    "%00%ff",
    "\u202e𝟙🙂",
    DIGITS,
    "-1",
    BRACKETS,
    '[{"type":"payment","max_per_payment_yen":1e400,"until":"0000-00-00","shops":[{}],"money":null}]',
    "javascript:alert(1)",
    "//evil.example/\\",
    "00000000-0000-0000-0000-000000000000",
    "BCDF-GHJK",
    "9999-12-31",
)
NAMES = (
    *("response_type", "client_id", "client_secret", "redirect_uri", "scope", "state", "nonce", "prompt", "max_age"),
    *("code_challenge", "code_challenge_method", "authorization_details", "id_token_hint", "login_hint", "ui_locales"),
    *("request", "request_uri", "resource", "response_mode", "dpop_jkt", "sign_in_asked", "next", "ticket"),
    *("grant_type", "code", "code_verifier", "refresh_token", "device_code", "user_code", "token", "token_type_hint"),
    *("client_assertion", "client_assertion_type", "post_logout_redirect_uri", "logout_hint", "sessions", "decision"),
    *("permission", "shop", "money", "until", "max_per_payment_yen", "max_per_day_yen", "max_per_month_yen"),
    *("email", "password", "current", "new", "reset", "everywhere", "changed", "lang"),
)


def jwts() -> Iterator[str]:
    """Tokens whose header says what no header should, each in turn."""
    for name in ("alg", "kid", "typ", "jwk", "crit", "b64", "jku"):
        for value in HEADER.values():
            header = {"alg": "ES256", "kid": "k", "typ": "JWT", name: value}
            parts = (json.dumps(header).encode(), b'{"sub":"a","iss":[],"aud":{},"exp":"x","jti":"\\u0000"}', b"0" * 64)
            yield ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def rules(app: Flask) -> list[Rule]:
    """Every address but the wallet's, which tests/contract looks after."""
    return [rule for rule in app.url_map.iter_rules() if not str(rule).startswith(("/v1", "/docs", "/static"))]


def address(rule: Rule, given: str) -> str:
    """Of a rule; `given` stands for each of its variables of text."""
    ids = dict.fromkeys(rule.arguments, "00000000-0000-0000-0000-000000000000")
    path = str(rule)
    for name, id_ in ids.items():
        path = path.replace(f"<uuid:{name}>", id_).replace(f"<{name}>", given)
        path = path.replace(f"<path:{name}>", given)
    return path


@pytest.fixture
def knock(app: Flask, member: Member, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sends a request to every address by each of its methods, and looks at the status alone."""
    # the test client takes host and path from it, for its cookies, and would decode 60,000 brackets for that
    whole = werkzeug.test.get_current_url
    monkeypatch.setattr(werkzeug.test, "get_current_url", lambda environ: whole({**environ, "QUERY_STRING": ""}))

    def send(browser: FlaskClient, values: dict[str, str], *, given: str = "x") -> None:
        browser.environ_base["REMOTE_ADDR"] = "192.0.2.77"  # what is counted here stops no other test
        token = hidden(browser.get("/login/forgot"))["csrf_token"][0]
        query = urlencode(values, safe="[")
        form = {"data": f"{query}&csrf_token={token}", "content_type": "application/x-www-form-urlencoded"}
        for rule in rules(app):
            for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
                path = address(rule, given)
                if method != "GET" and path in ("/logout", "/oauth/logout/confirmed"):
                    continue  # the browser is wanted again
                answer = browser.open(path, method=method, **({"query_string": query} if method == "GET" else form))
                assert answer.status_code < 500, (method, path, values, answer.text[:300])
                if path.startswith("/oauth/"):  # these take what is asked from the address, whatever the method
                    answer = browser.open(path, method=method, query_string=query, data={"csrf_token": token})
                    assert answer.status_code < 500, (method, path, values, answer.text[:300])

    return send


@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_every_parameter_at_every_address(
    app: Flask, member: Member, third_party: ThirdParty, knock: Callable[..., None], value: str
) -> None:
    for browser in (member.browser, app.test_client()):
        knock(browser, dict.fromkeys(NAMES, value), given=quote(value[:200], safe=""))
        good = {"client_id": third_party.id, "redirect_uri": third_party.redirect_uri, "response_type": "code"}
        knock(browser, {**dict.fromkeys(NAMES, value), **good})


@pytest.mark.parametrize("name", NAMES[: NAMES.index("grant_type")])
def test_each_parameter_of_a_request_in_good_order(member: Member, third_party: ThirdParty, name: str) -> None:
    for value in VALUES:
        for path in (third_party.address(**{name: value}), third_party.address(**{"scope": "payment", name: value})):
            answer = member.browser.get(path)
            assert answer.status_code < 500, (path, answer.text[:300])


@pytest.mark.parametrize("name", ["id_token_hint", "client_assertion", "token", "code", "refresh_token"])
def test_every_token_in_another_form(member: Member, third_party: ThirdParty, name: str) -> None:
    for jwt in jwts():
        for path in (f"/oauth/logout?{name}={jwt}", third_party.address(**{name: jwt})):
            answer = member.browser.get(path)
            assert answer.status_code < 500, (path, answer.text[:300])
        form = {name: jwt, "grant_type": "authorization_code"}
        if name == "client_assertion":
            form["client_assertion_type"] = client_assertion.TYPE
        for path in ("/oauth/token", "/oauth/par", "/oauth/revoke", "/oauth/introspect", "/oauth/device_authorization"):
            for headers in ({}, {"DPoP": jwt, "Authorization": f"DPoP {jwt}"}):
                answer = caller(third_party.app).post(path, data=form, headers=headers)
                assert answer.status_code < 500, (path, form, answer.text[:300])
        shown = {"DPoP": jwt, "Authorization": f"Bearer {jwt}"}
        for path in ("/oauth/userinfo", "/oauth/register/c_1", "/oauth/grants/00000000-0000-0000-0000-000000000000"):
            assert caller(third_party.app).get(path, headers=shown).status_code < 500


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"{", b"[1]", b"null", b'"\\ud800"', b'{"a":' * 2_000, b"1" * 9_999]
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", "a/b; c=\xff"])
def test_every_address_with_another_body(app: Flask, body: bytes, kind: str) -> None:
    stranger = caller(app)
    for rule in rules(app):
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD", "GET"}:
            headers = {"Authorization": "Bearer x", "Content-Type": kind}
            answer = stranger.open(address(rule, "x"), method=method, data=body, headers=headers)
            assert answer.status_code < 500, (method, str(rule), answer.text[:300])
