"""Checklist, "OIDC basic" (client profile `oidc_basic`): its clauses in order, over HTTP against the running server."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from tests.live import Live
from tests.oauth.browser import TIMEOUT_S, Browser
from tests.oauth.office import kumiai_for
from tests.oauth.over_http.conftest import Visitor, register, signed_in
from tests.oauth.over_http.plain_client import CALLBACK, PlainClient, header_of, refusal, sent_back

NO_PKCE: dict[str, str | None] = {"code_challenge": None, "code_challenge_method": None}
SCOPE = "openid profile email"


class Basic(PlainClient):
    """A client as the certification plan has it: without PKCE."""

    def request(self, **changes: str | None) -> dict[str, str]:
        return super().request(**{**NO_PKCE, "scope": SCOPE, **changes})

    def redeem(self, code: str, **changes: Any) -> requests.Response:
        return super().redeem(code, **{"code_verifier": None, **changes})


def basic(live: Live, **registration: Any) -> Basic:
    registered = register(live, profile="oidc_basic", **registration)
    return Basic(live=live, id=registered.id, secret=registered.secret, redirect_uri=registered.redirect_uri)


@pytest.fixture
def new(live_server: Live) -> Basic:
    """A client that nobody has allowed anything yet."""
    return basic(live_server)


@pytest.fixture(scope="module")
def known(live_server: Live, browser: Browser) -> Basic:
    """A client that the member has allowed SCOPE."""
    client = basic(live_server)
    client.tokens(browser)
    return client


def asks_to_sign_in(page: requests.Response) -> bool:
    return page.status_code == 200 and 'autocomplete="current-password"' in page.text


def lang(page: requests.Response) -> str:
    found = re.search(r'<html lang="(\w+)"', page.text)
    assert found, page.text
    return found[1]


def asks_to_allow(page: requests.Response) -> bool:
    return page.status_code == 200 and 'name="decision"' in page.text


# --- confidential, nonce required, PKCE optional


def test_confidential(new: Basic, browser: Browser) -> None:
    """confidential"""
    code = new.answer(browser)["code"]
    assert refusal(new.other(secret=None).redeem(code)) == (401, "invalid_client")
    assert refusal(new.other(secret="kcs_wrong").redeem(code)) == (401, "invalid_client")
    assert new.redeem(code).status_code == 200


@pytest.mark.parametrize("nonce", [None, ""])
def test_nonce_required(known: Basic, browser: Browser, nonce: str | None) -> None:
    """nonce required"""
    back = sent_back(browser.open(known.address(nonce=nonce)), to=CALLBACK)
    assert (back["error"], "code" in back) == ("invalid_request", False)


def test_pkce_optional(known: Basic, browser: Browser) -> None:
    """PKCE optional because the certification plan sends none; who sends it is held to it"""
    assert known.tokens(browser)["token_type"] == "Bearer"
    with_pkce = PlainClient(live=known.live, id=known.id, secret=known.secret, redirect_uri=CALLBACK)
    code = with_pkce.answer(browser, scope=SCOPE)["code"]
    assert refusal(known.redeem(code)) == (400, "invalid_grant")
    assert with_pkce.tokens(browser, scope=SCOPE)["token_type"] == "Bearer"


def test_kumiai_doctor_warns_of_it(known: Basic) -> None:
    """(... `kumiai doctor` warns of it)"""
    told = kumiai_for(known.live.settings)("doctor", "--json").output
    (finding,) = [each for each in json.loads(told)["findings"] if each["code"] == "clients_without_pkce"]
    assert finding["level"] == "warning"
    assert known.id in told


# --- nonce


def test_nonce(known: Basic, browser: Browser) -> None:
    """nonce: comes back in the ID token as it was sent"""
    for nonce in ("n0nce", "n" * 64, "日本語 & <b>"):
        assert known.id_token(known.tokens(browser, nonce=nonce))["nonce"] == nonce


# --- prompt none/login/consent


def test_prompt_none(live_server: Live, known: Basic, new: Basic, browser: Browser) -> None:
    """prompt none: never a page; login_required, consent_required, or the code straight"""
    signed_out = Browser(live_server).open(known.address(prompt="none"))
    assert sent_back(signed_out, to=CALLBACK)["error"] == "login_required"
    assert sent_back(browser.open(new.address(prompt="none")), to=CALLBACK)["error"] == "consent_required"
    assert "code" in sent_back(browser.open(known.address(prompt="none")), to=CALLBACK)
    both = sent_back(browser.open(known.address(prompt="none login")), to=CALLBACK)
    assert both["error"] == "invalid_request"


def test_prompt_login(live_server: Live, new: Basic) -> None:
    """prompt login: the member signs in again, once, and the ID token says when"""
    visitor = signed_in(live_server)
    first = new.id_token(new.tokens(visitor.browser))
    page = visitor.browser.open(new.address(prompt="login"))
    assert asks_to_sign_in(page)
    assert asks_to_sign_in(visitor.browser.open(new.address(prompt="login")))  # opening it again does not get around
    back = visitor.browser.sign_in(page, visitor.person, mails_before=1)
    again = new.id_token(new.redeem(sent_back(back, to=CALLBACK)["code"]).json())
    assert again["sub"] == first["sub"]
    assert again["auth_time"] >= first["auth_time"]
    assert again["auth_time"] >= again["iat"] - 30


def test_prompt_consent(known: Basic, browser: Browser) -> None:
    """prompt consent: the page is shown again although all was allowed before"""
    assert "code" in sent_back(browser.open(known.address()), to=CALLBACK)
    page = browser.open(known.address(prompt="consent"))
    assert asks_to_allow(page)
    assert "code" in sent_back(browser.send(page, decision="allow"), to=CALLBACK)


# --- max_age and auth_time


def test_max_age_and_auth_time(live_server: Live, new: Basic, rows: Callable[..., list[Any]]) -> None:
    """max_age and auth_time"""
    visitor = signed_in(live_server)
    young = new.id_token(new.tokens(visitor.browser, max_age="3600"))
    assert young["iat"] - 60 <= young["auth_time"] <= young["iat"]

    rows(
        "UPDATE member_session SET auth_time = auth_time - interval '2 hours' WHERE member_id = :id",
        id=visitor.person.id,
    )
    old = new.id_token(new.tokens(visitor.browser, max_age="10000"))
    assert old["auth_time"] == young["auth_time"] - 7200
    silent = sent_back(visitor.browser.open(new.address(max_age="3600", prompt="none")), to=CALLBACK)
    assert silent["error"] == "login_required"
    page = visitor.browser.open(new.address(max_age="3600"))
    assert asks_to_sign_in(page)
    back = visitor.browser.sign_in(page, visitor.person, mails_before=1)
    fresh = new.id_token(new.redeem(sent_back(back, to=CALLBACK)["code"]).json())
    assert fresh["auth_time"] >= young["auth_time"]

    refused = sent_back(visitor.browser.open(new.address(max_age="soon")), to=CALLBACK)
    assert refused["error"] == "invalid_request"


def test_auth_time_without_max_age(known: Basic, browser: Browser) -> None:
    """auth_time: is there without being asked for"""
    assert "auth_time" in known.id_token(known.tokens(browser))


# --- id_token_hint, login_hint; ui_locales


def test_id_token_hint(live_server: Live, known: Basic, browser: Browser) -> None:
    """id_token_hint: whom the client means; another member is not passed off as them"""
    hint = known.tokens(browser)["id_token"]
    assert "code" in sent_back(browser.open(known.address(prompt="none", id_token_hint=hint)), to=CALLBACK)
    stranger = signed_in(live_server)
    known.tokens(stranger.browser)
    silent = sent_back(stranger.browser.open(known.address(prompt="none", id_token_hint=hint)), to=CALLBACK)
    assert silent["error"] == "login_required"
    page = stranger.browser.open(known.address(id_token_hint=hint))
    assert asks_to_sign_in(page)
    still_another = stranger.browser.sign_in(page, stranger.person, mails_before=1)
    assert sent_back(still_another, to=CALLBACK)["error"] == "login_required"  # and not asked for ever
    forged = hint[:-4] + ("AAAA" if hint[-4:] != "AAAA" else "BBBB")
    for wrong in ("x.y.z", forged):
        back = sent_back(browser.open(known.address(id_token_hint=wrong)), to=CALLBACK)
        assert back["error"] == "invalid_request"


def test_login_hint(live_server: Live, known: Basic) -> None:
    """login_hint: stands in the field of the sign-in page, and nothing else comes of it"""
    page = Browser(live_server).open(known.address(login_hint='hanako"><b>@example.ac.jp'))
    assert 'value="hanako&#34;&gt;&lt;b&gt;@example.ac.jp"' in page.text


@pytest.mark.parametrize(
    ("ui_locales", "expected"),
    [("en", "en"), ("fr-FR en ja", "en"), ("ja", "ja"), ("fr", "ja"), ("", "ja"), ("en-GB", "en")],
)
def test_ui_locales(live_server: Live, known: Basic, browser: Browser, ui_locales: str, expected: str) -> None:
    """ui_locales: of sign-in and consent"""
    asked = known.address(ui_locales=ui_locales, prompt="consent")
    for page in (Browser(live_server).open(asked), browser.open(asked)):
        assert lang(page) == expected


def test_ui_locales_all_the_way_through_signing_in(live_server: Live, new: Basic) -> None:
    """ui_locales: also of the pages between the request and its answer; what the member chose here counts more"""
    person, browser = live_server.register(), Browser(live_server)
    sign_in = browser.open(new.address(ui_locales="en"))
    forgotten = re.search(r'href="(/login/forgot[^"]*)"', sign_in.text)
    assert forgotten
    assert lang(browser.open(html.unescape(forgotten[1]))) == "en"
    assert lang(browser.send(sign_in, email=person.email, password="x" * 12)) == "en"
    code = browser.send(sign_in, email=person.email, password=person.password)
    assert lang(code) == "en"
    done = browser.send(code, code=live_server.mailed_code(person.email))
    assert lang(done) == "en"
    onward = re.search(r'content="0;url=([^"]*)"', done.text)
    assert onward
    assert lang(browser.open(html.unescape(onward[1]))) == "en"
    assert lang(browser.open("/logout")) == "ja"

    chosen = Browser(live_server)
    chosen.open("/language/ja")
    assert lang(chosen.open(new.address(ui_locales="en"))) == "ja"


# --- claims by scope; userinfo GET and POST

CLAIMS = {
    "openid": {"sub"},
    "openid profile": {"sub", "name", "family_name", "given_name", "locale"},
    "openid email": {"sub", "email", "email_verified"},
    "openid phone": {"sub", "phone_number", "phone_number_verified"},
    "openid profile email phone": {
        *("sub", "name", "family_name", "given_name", "locale", "email", "email_verified"),
        *("phone_number", "phone_number_verified"),
    },
}


@pytest.mark.parametrize("scope", CLAIMS)
def test_claims_by_scope(live_server: Live, visitor: Visitor, rows: Callable[..., list[Any]], scope: str) -> None:
    """claims by scope"""
    client = basic(live_server, scopes=["openid", "profile", "email", "phone"])
    rows("UPDATE member SET phone_number = '+819012345678' WHERE id = :id", id=visitor.person.id)
    tokens = client.tokens(visitor.browser, scope=scope)
    claims = client.call(tokens["access_token"]).json()
    assert claims.keys() == CLAIMS[scope]
    assert claims["sub"] == str(visitor.person.id) == client.id_token(tokens)["sub"]
    assert claims.get("email", visitor.person.email) == visitor.person.email


def test_userinfo_get_and_post(known: Basic, browser: Browser) -> None:
    """userinfo GET and POST"""
    token = known.tokens(browser)["access_token"]
    get, post = known.call(token), known.call(token, method="POST")
    assert get.status_code == post.status_code == 200
    assert get.json() == post.json()
    assert get.headers["Content-Type"] == "application/json"


# --- id_token without alg none


def test_id_token_without_alg_none(known: Basic, browser: Browser) -> None:
    """id_token without alg none"""
    tokens = known.tokens(browser)
    header = header_of(tokens["id_token"])
    assert header["alg"] == "ES256"
    assert header["kid"]
    assert known.id_token(tokens)["exp"] > known.id_token(tokens)["iat"]
    metadata = requests.get(f"{known.live.url}/.well-known/openid-configuration", timeout=TIMEOUT_S).json()
    assert metadata["id_token_signing_alg_values_supported"] == ["ES256", "PS256", "EdDSA"]


# --- unknown parameters ignored; POST authorization requests


def test_unknown_parameters_ignored(known: Basic, browser: Browser) -> None:
    """unknown parameters ignored"""
    back = known.answer(browser, extra="foobar", display="page", acr_values="1 2", claims_locales="se")
    assert back.keys() == {"code", "state", "iss"}
    assert known.redeem(back["code"], extra="foobar").status_code == 200


def test_post_authorization_requests(live_server: Live, known: Basic, new: Basic, browser: Browser) -> None:
    """POST authorization requests: signed in or not, as a link would"""
    cookies = browser.http.cookies.get_dict()
    endpoint = f"{live_server.url}/oauth/authorize"

    def post(client: Basic, **options: Any) -> requests.Response:
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example"}
        response = requests.post(
            endpoint, client.request(), headers=headers, allow_redirects=False, timeout=TIMEOUT_S, **options
        )
        assert response.status_code == 303
        return response

    assert post(known).headers["Location"] == f"/oauth/authorize?{urlencode(known.request())}"
    back = browser.open(post(known, cookies=cookies).headers["Location"])
    assert known.redeem(sent_back(back, to=CALLBACK)["code"]).status_code == 200
    assert asks_to_allow(browser.open(post(new, cookies=cookies).headers["Location"]))  # a POST is no consent
    assert asks_to_sign_in(Browser(live_server).open(post(known).headers["Location"]))


# --- `request`/`request_uri` answered with the right error when unsupported


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("request", "eyJhbGciOiJub25lIn0.e30.", "request_not_supported"),
        ("request_uri", "https://app.example/request.jwt", "request_uri_not_supported"),
        ("registration", '{"client_name": "x"}', "registration_not_supported"),
    ],
)
def test_request_and_request_uri(known: Basic, browser: Browser, name: str, value: str, error: str) -> None:
    """request/request_uri answered with the right error when unsupported"""
    back = sent_back(browser.open(known.address(**{name: value})), to=CALLBACK)
    assert (back["error"], back["state"], "code" in back) == (error, "st4te", False)
