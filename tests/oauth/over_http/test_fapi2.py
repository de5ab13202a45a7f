"""Checklist, "FAPI 2.0 Security Profile": its clauses in order, over HTTP against the running server."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from joserfc.jwk import ECKey, OctKey

from app import clock
from tests.live import Live
from tests.oauth.browser import TIMEOUT_S, Browser
from tests.oauth.keyholder import Signer, by_assertion, now, sign
from tests.oauth.over_http.conftest import register
from tests.oauth.over_http.plain_client import PlainClient, header_of, refusal, sent_back

ALGS = ("PS256", "ES256", "EdDSA")


@pytest.fixture(scope="module")
def app(live_server: Live) -> PlainClient:
    return register(live_server, profile="fapi2")


@pytest.fixture(scope="module")
def tokens(app: PlainClient, browser: Browser) -> dict[str, Any]:
    """Tokens for whoever only shows them."""
    return app.tokens(browser, app.pushed())


def forms(app: PlainClient) -> dict[str, dict[str, str]]:
    """What is sent to the endpoints where a client must prove who it is."""
    return {
        "/oauth/par": app.request(),
        "/oauth/token": {"grant_type": "refresh_token", "refresh_token": "krt_x"},
    }


# --- confidential only; private_key_jwt (PS256/ES256/EdDSA), also on refresh


@pytest.mark.parametrize(
    "metadata",
    [
        {"jwks": None},
        {"token_endpoint_auth_method": "none"},
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"jwks": {"keys": [Signer.new().key.as_dict(private=True)]}},
        {"jwks": {"keys": [OctKey.generate_key().as_dict(private=True)]}},
    ],
)
def test_confidential_only(registration: Callable[..., requests.Response], metadata: dict[str, Any]) -> None:
    """confidential only: no client of the profile is registered without keys, and none with a secret"""
    said = {"kumiai_profile": "fapi2", "jwks": Signer.new().jwks, **metadata}
    refused = registration(**{name: value for name, value in said.items() if value is not None})
    assert refusal(refused) == (400, "invalid_client_metadata")
    assert registration(kumiai_profile="fapi2", jwks=Signer.new().jwks).status_code == 201


def test_nobody_is_the_client_without_its_key(live_server: Live, app: PlainClient) -> None:
    """confidential only: a name alone, or with a secret, proves nothing"""
    for form in ({"client_id": app.id}, {"client_id": app.id, "client_secret": "s3cret"}):
        for path, asked in forms(app).items():
            answer = requests.post(f"{live_server.url}{path}", {**asked, **form}, timeout=TIMEOUT_S)
            assert refusal(answer) == (401, "invalid_client")


@pytest.mark.parametrize("alg", ALGS)
def test_private_key_jwt_also_on_refresh(live_server: Live, browser: Browser, alg: str) -> None:
    """private_key_jwt (PS256/ES256/EdDSA), also on refresh"""
    app = register(live_server, profile="fapi2", signer=Signer.new(alg))
    tokens = app.tokens(browser, app.pushed())
    assert refusal(app.refresh(tokens["refresh_token"], assertion=None)) == (401, "invalid_client")
    assert app.signer is not None
    stranger = Signer.new("ES256").assertion(app.id, aud=live_server.url, header={"kid": app.signer.jkt})
    assert refusal(app.refresh(tokens["refresh_token"], assertion=stranger)) == (401, "invalid_client")
    assert app.refresh(tokens["refresh_token"]).status_code == 200


def test_an_assertion_is_used_once(app: PlainClient) -> None:
    """private_key_jwt: its jti is not accepted twice (RFC 7523 section 3)"""
    assertion = app.assertion()
    assert app.push(assertion=assertion).status_code == 201
    assert refusal(app.push(assertion=assertion)) == (401, "invalid_client")


def test_refresh_without_rotation(app: PlainClient, browser: Browser) -> None:
    """Refresh: rotate for every client except confidential sender-constrained ones (FAPI 2.0 forbids it there)"""
    refresh_token = app.tokens(browser, app.pushed())["refresh_token"]
    for _ in range(3):
        answer = app.refresh(refresh_token)
        assert answer.status_code == 200, answer.text
        assert answer.json().get("refresh_token", refresh_token) == refresh_token


# --- assertion `aud` = issuer as one string; arrays, token URL, PAR URL refused


@pytest.mark.parametrize("path", ["/oauth/par", "/oauth/token"])
@pytest.mark.parametrize(
    "aud", ["[issuer]", "[issuer, token]", "/oauth/token", "/oauth/par", "/", "https://other.example", None]
)
def test_assertion_aud(app: PlainClient, path: str, aud: str | None) -> None:
    """assertion aud = issuer as one string; arrays, token URL, PAR URL refused"""
    issuer = app.live.url
    wrong: Any = {"[issuer]": [issuer], "[issuer, token]": [issuer, f"{issuer}/oauth/token"]}.get(aud or "", aud)
    if isinstance(wrong, str) and wrong.startswith("/"):
        wrong = issuer + wrong
    answer = app.post(path, forms(app)[path], assertion=app.assertion(aud=wrong))
    assert refusal(answer) == (401, "invalid_client")
    assert "aud" in answer.json()["error_description"]


# --- iat/nbf up to 10 s ahead accepted, over 60 s refused


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_iat_and_nbf_of_an_assertion(app: PlainClient, name: str) -> None:
    """iat/nbf up to 10 s ahead accepted, over 60 s refused"""
    assert app.push(assertion=app.assertion(**{name: now() + 10})).status_code == 201
    late = {name: now() + 75, "exp": now() + 120}
    refused = app.push(assertion=app.assertion(**late))
    assert refusal(refused) == (401, "invalid_client")
    assert name in refused.json()["error_description"]


# --- PAR required, client-authenticated, `request_uri` < 600 s, bound to the client, not allowed inside a PAR body


def test_par_required(app: PlainClient, browser: Browser) -> None:
    """PAR required"""
    back = sent_back(browser.open(app.address()), to=app.redirect_uri)
    assert (back["error"], back["state"], back["iss"]) == ("invalid_request", "st4te", app.live.url)
    assert "code" not in back


def test_par_is_client_authenticated(app: PlainClient) -> None:
    """PAR client-authenticated"""
    assert refusal(app.push(assertion=None)) == (401, "invalid_client")
    other = Signer.new().assertion(app.id, aud=app.live.url)
    assert refusal(app.push(assertion=other)) == (401, "invalid_client")


def test_request_uri_lives_less_than_600_s(app: PlainClient, browser: Browser, rows: Callable[..., Any]) -> None:
    """request_uri < 600 s"""
    since, answer = clock.now(), app.push()
    assert answer.status_code == 201
    assert 5 < answer.json()["expires_in"] < 600
    (until,) = rows("SELECT max(expires_at) FROM oauth_pushed_request WHERE client_id = :id", id=app.id)[0]
    assert until < since + timedelta(seconds=600)
    rows("UPDATE oauth_pushed_request SET expires_at = now() WHERE client_id = :id", id=app.id)
    late = browser.open(app.link(answer.json()["request_uri"]))
    assert (late.status_code, "Location" in late.headers) == (400, False)


def test_request_uri_is_bound_to_the_client(app: PlainClient, browser: Browser) -> None:
    """request_uri bound to the client"""
    thief = register(app.live, profile="fapi2")
    answer = browser.open(thief.link(app.push().json()["request_uri"]))
    assert (answer.status_code, "Location" in answer.headers) == (400, False)
    assert "このリクエストは無効になっています" in answer.text


def test_request_uri_is_not_allowed_inside_a_par_body(app: PlainClient) -> None:
    """request_uri not allowed inside a PAR body"""
    for request_uri in (app.push().json()["request_uri"], "https://app.example/request.jwt"):
        assert refusal(app.push(request_uri=request_uri)) == (400, "invalid_request")


def test_request_uri_is_spent_at_authorization(app: PlainClient, browser: Browser) -> None:
    """request_uri spent at authorization"""
    address = app.pushed(prompt="consent")
    page = browser.open(address)
    code = sent_back(browser.send(page, decision="allow", permission=["balance"]), to=app.redirect_uri)["code"]
    for again in (browser.open(address), browser.send(page, decision="allow", permission=["balance"])):
        assert (again.status_code, "Location" in again.headers) == (400, False)
    assert refusal(app.redeem(code)) == (400, "invalid_grant")  # the second answer was a replay


def test_a_page_reload_before_sign_in_still_works(app: PlainClient, live_server: Live) -> None:
    """(a page reload before sign-in still works)"""
    browser, address = Browser(live_server), app.pushed(prompt="consent")
    person = live_server.register()
    for _ in range(3):
        page = browser.open(address)
        assert 'autocomplete="current-password"' in page.text
    page = browser.sign_in(page, person)
    page = browser.open(page.url)  # and once more, signed in
    back = sent_back(browser.send(page, decision="allow", permission=["balance"]), to=app.redirect_uri)
    assert app.redeem(back["code"]).status_code == 200


# --- S256 and redirect_uri inside PAR


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/callback"},
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": "short"},
    ],
)
def test_s256_and_redirect_uri_inside_par(app: PlainClient, changes: dict[str, str | None]) -> None:
    """S256 and redirect_uri inside PAR"""
    assert refusal(app.push(**changes)) == (400, "invalid_request")


def test_what_stands_beside_a_request_uri_counts_for_nothing(app: PlainClient, browser: Browser) -> None:
    """S256 and redirect_uri inside PAR: in the address they change nothing"""
    request_uri = app.push(prompt="consent").json()["request_uri"]
    address = app.link(request_uri, redirect_uri="https://evil.example/", state="other", code_challenge="x" * 43)
    back = app.answer(browser, address)
    assert back["state"] == "st4te"
    assert app.redeem(back["code"]).status_code == 200


# --- code <= 60 s, once, its tokens revoked on replay


def test_code_lives_60_s_at_most(app: PlainClient, browser: Browser, rows: Callable[..., Any]) -> None:
    """code <= 60 s"""
    code, since = app.answer(browser, app.pushed())["code"], clock.now()
    (until,) = rows("SELECT max(expires_at) FROM oauth_code WHERE client_id = :id", id=app.id)[0]
    assert timedelta() < until - since <= timedelta(seconds=60)
    rows("UPDATE oauth_code SET expires_at = now() WHERE client_id = :id AND used_at IS NULL", id=app.id)
    assert refusal(app.redeem(code)) == (400, "invalid_grant")


def test_code_is_redeemed_once_and_its_tokens_are_revoked_on_replay(app: PlainClient, browser: Browser) -> None:
    """code once, its tokens revoked on replay"""
    code = app.answer(browser, app.pushed())["code"]
    tokens = app.redeem(code).json()
    assert app.call(tokens["access_token"]).status_code == 200
    assert refusal(app.redeem(code)) == (400, "invalid_grant")
    assert app.call(tokens["access_token"]).status_code == 401
    assert refusal(app.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


# --- only DPoP-bound tokens; `dpop_jkt` and proof-at-PAR binding


def test_only_dpop_bound_tokens(app: PlainClient, browser: Browser, tokens: dict[str, Any]) -> None:
    """only DPoP-bound tokens"""
    code = app.answer(browser, app.pushed())["code"]
    assert refusal(app.redeem(code, proof=None)) == (400, "invalid_dpop_proof")
    assert refusal(app.refresh(tokens["refresh_token"], proof=None)) == (400, "invalid_dpop_proof")
    assert app.dpop is not None
    for issued in (tokens, app.refresh(tokens["refresh_token"]).json()):
        assert issued["token_type"] == "DPoP"
        known = app.post("/oauth/introspect", {"token": issued["access_token"]}).json()
        assert (known["active"], known["cnf"]) == (True, {"jkt": app.dpop.jkt})


def test_dpop_jkt_binds_the_code(app: PlainClient, browser: Browser) -> None:
    """dpop_jkt binding"""
    assert app.dpop is not None
    thief = app.other(dpop=Signer.new())
    code = app.answer(browser, app.pushed(dpop_jkt=app.dpop.jkt))["code"]
    assert refusal(thief.redeem(code)) == (400, "invalid_grant")
    code = app.answer(browser, app.pushed(dpop_jkt=app.dpop.jkt))["code"]
    assert app.redeem(code).status_code == 200


def test_a_proof_at_par_binds_the_code(app: PlainClient, browser: Browser) -> None:
    """proof-at-PAR binding"""
    thief = app.other(dpop=Signer.new())
    code = app.answer(browser, app.pushed(proof=app.proof("/oauth/par")))["code"]
    assert refusal(thief.redeem(code)) == (400, "invalid_grant")
    code = app.answer(browser, app.pushed(proof=app.proof("/oauth/par")))["code"]
    assert app.redeem(code).status_code == 200
    assert thief.dpop is not None
    both = app.push(proof=app.proof("/oauth/par"), dpop_jkt=thief.dpop.jkt)
    assert refusal(both) == (400, "invalid_dpop_proof")


# --- RS: htm, htu, iat, jti replay, ath, key, alg, typ, private jwk, Bearer downgrade all refused

USERINFO, API = "/oauth/userinfo", "/v1/wallets"


def bent_proof(app: PlainClient, token: str, how: str, *, path: str = USERINFO) -> str | None:
    """A proof for a GET of this path, with one thing wrong."""
    key = app.dpop
    assert key is not None
    rsa = Signer.new("PS256")
    changes: dict[str, Any] = {
        "htm": {"htm": "POST"},
        "htm, missing": {"htm": None},
        "htu, path": {"htu": f"{app.live.url}/v1/me"},
        "htu, host": {"htu": f"https://other.example{path}"},
        "htu, missing": {"htu": None},
        "iat, old": {"iat": now() - 65},
        "iat, ahead": {"iat": now() + 75},
        "iat, missing": {"iat": None},
        "jti, missing": {"jti": None},
        "ath, of another token": {"ath": "x" * 43},
        "ath, missing": {"ath": None},
        "alg, RS256": {"header": {"alg": "RS256", "jwk": rsa.jwk}, "key": rsa.key},
        "alg, HS256": {"header": {"alg": "HS256"}, "key": OctKey.import_key(json.dumps(key.jwk))},
        "typ": {"header": {"typ": "JWT"}},
        "typ, missing": {"header": {"typ": None}},
        "private jwk": {"header": {"jwk": key.key.as_dict(private=True)}},
        "signed by another key": {"key": ECKey.generate_key("P-256")},
    }
    if how == "alg, none":
        return sign(
            {"typ": "dpop+jwt", "alg": "none", "jwk": key.jwk},
            {"jti": "j", "htm": "GET", "htu": f"{app.live.url}{path}", "iat": now()},
            None,
        )
    if how == "no proof":
        return None
    return app.proof(path, method="GET", token=token, **changes[how])


@pytest.mark.parametrize(
    "how",
    [
        *("htm", "htm, missing", "htu, path", "htu, host", "htu, missing"),
        *("iat, old", "iat, ahead", "iat, missing", "jti, missing"),
        *("ath, of another token", "ath, missing", "signed by another key"),
        *("alg, RS256", "alg, HS256", "alg, none", "typ", "typ, missing", "private jwk", "no proof"),
    ],
)
@pytest.mark.parametrize("path", [USERINFO, API])
def test_at_the_resource_a_bent_proof_is_refused(app: PlainClient, tokens: dict[str, Any], path: str, how: str) -> None:
    """RS: htm, htu, iat, jti, ath, alg, typ, private jwk refused"""
    token = tokens["access_token"]
    answer = app.call(token, path=path, proof=bent_proof(app, token, how, path=path))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_dpop_proof")
    assert answer.headers["WWW-Authenticate"].startswith("DPoP ")


@pytest.mark.parametrize("path", [USERINFO, API])
def test_at_the_resource_a_proof_in_good_order_is_accepted(app: PlainClient, tokens: dict[str, Any], path: str) -> None:
    """RS: so that the refusals above are for the one thing that is bent; iat up to 10 s ahead is borne"""
    token = tokens["access_token"]
    assert app.call(token, path=path).status_code == 200
    ahead = app.proof(path, method="GET", token=token, iat=now() + 10)
    assert app.call(token, path=path, proof=ahead).status_code == 200


@pytest.mark.parametrize("path", [USERINFO, API])
def test_at_the_resource_a_jti_is_not_accepted_again(app: PlainClient, tokens: dict[str, Any], path: str) -> None:
    """RS: jti replay refused"""
    token = tokens["access_token"]
    proof = app.proof(path, method="GET", token=token)
    assert [app.call(token, path=path, proof=proof).status_code for _ in range(3)] == [200, 401, 401]


@pytest.mark.parametrize("path", [USERINFO, API])
def test_at_the_resource_another_key_is_refused(app: PlainClient, tokens: dict[str, Any], path: str) -> None:
    """RS: key refused"""
    answer = app.other(dpop=Signer.new()).call(tokens["access_token"], path=path)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


@pytest.mark.parametrize("path", [USERINFO, API])
@pytest.mark.parametrize("proof", ["", None])
def test_at_the_resource_a_bearer_downgrade_is_refused(
    app: PlainClient, tokens: dict[str, Any], path: str, proof: str | None
) -> None:
    """RS: Bearer downgrade refused, with a proof beside it and without"""
    answer = app.call(tokens["access_token"], path=path, scheme="Bearer", proof=proof)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


# --- 64-character nonce and 1,000-character state survive


LONG_NONCE, LONG_STATE = "n" * 64, "".join(chr(33 + number % 94) for number in range(1_000))


def test_a_long_nonce_and_state_survive(app: PlainClient, browser: Browser) -> None:
    """64-character nonce and 1,000-character state survive"""
    back = app.answer(browser, app.pushed(nonce=LONG_NONCE, state=LONG_STATE))
    assert back["state"] == LONG_STATE
    assert app.id_token(app.redeem(back["code"]).json())["nonce"] == LONG_NONCE


def test_a_long_nonce_and_state_survive_a_sign_in(live_server: Live, web: PlainClient) -> None:
    """64-character nonce and 1,000-character state survive: of any client, in the address, through signing in"""
    browser = Browser(live_server)
    page = browser.sign_in(
        browser.open(web.address(nonce=LONG_NONCE, state=LONG_STATE, prompt="login")), live_server.register()
    )
    back = sent_back(browser.send(page, decision="allow", permission=["balance"]), to=web.redirect_uri)
    assert back["state"] == LONG_STATE
    assert web.id_token(web.redeem(back["code"]).json())["nonce"] == LONG_NONCE


# --- https redirects except loopback


@pytest.mark.parametrize(
    "uri", ["http://app.example/callback", "http://192.0.2.1/cb", "app.example:/cb", "ftp://a.b/c"]
)
def test_https_redirects(registration: Callable[..., requests.Response], app: PlainClient, uri: str) -> None:
    """https redirects except loopback: any other is registered by nobody, and asked for in vain"""
    refused = registration(kumiai_profile="fapi2", jwks=Signer.new().jwks, redirect_uris=[uri])
    assert refusal(refused) == (400, "invalid_redirect_uri")
    assert refusal(app.push(redirect_uri=uri)) == (400, "invalid_request")


@pytest.mark.parametrize("uri", ["http://127.0.0.1:8765/cb", "http://[::1]:8765/cb"])
def test_loopback_redirects(live_server: Live, browser: Browser, uri: str) -> None:
    """https redirects except loopback; its port is free for native apps only"""
    app = register(live_server, profile="fapi2", redirect_uris=[uri])
    assert app.tokens(browser, app.pushed())["token_type"] == "DPoP"
    assert refusal(app.push(redirect_uri=uri.replace("8765", "8766"))) == (400, "invalid_request")


# --- no RS256/none/HS


@pytest.mark.parametrize("alg", ["RS256", "HS256", "none"])
def test_no_rs256_none_hs_for_assertions(live_server: Live, alg: str) -> None:
    """no RS256/none/HS: even with a signature that is right"""
    app = register(live_server, profile="fapi2", signer=Signer.new("PS256"))
    assert app.signer is not None
    key = {"RS256": app.signer.key, "HS256": OctKey.import_key(json.dumps(app.signer.jwk)), "none": None}[alg]
    claims = {"iss": app.id, "sub": app.id, "aud": live_server.url, "iat": now(), "exp": now() + 60, "jti": "j"}
    assertion = sign({"alg": alg, "kid": app.signer.jkt}, claims, key)
    answer = requests.post(
        f"{live_server.url}/oauth/par", {**app.request(), **by_assertion(assertion)}, timeout=TIMEOUT_S
    )
    assert refusal(answer) == (401, "invalid_client")


@pytest.mark.parametrize("how", ["alg, RS256", "alg, HS256", "alg, none"])
def test_no_rs256_none_hs_for_proofs(app: PlainClient, tokens: dict[str, Any], how: str) -> None:
    """no RS256/none/HS: at the token endpoint"""
    answer = app.refresh(tokens["refresh_token"], proof=bent_proof(app, tokens["access_token"], how))
    assert refusal(answer) == (400, "invalid_dpop_proof")


def test_no_rs256_none_hs_of_ours(app: PlainClient, tokens: dict[str, Any]) -> None:
    """no RS256/none/HS: neither signed with, nor said to be supported"""
    assert header_of(tokens["id_token"])["alg"] == "ES256"
    metadata = requests.get(f"{app.live.url}/.well-known/openid-configuration", timeout=TIMEOUT_S).json()
    named = {name: set(algs) for name, algs in metadata.items() if "_alg_values_supported" in name}
    assert named
    assert all(algs <= set(ALGS) for algs in named.values()), named
