"""Sign-in, consent and tokens as a client library sees them that is not Authlib, over real HTTP."""

from __future__ import annotations

import pytest
import requests
from jwskate import SignedJwt
from requests_oauth2client import (
    AccessDenied,
    AuthorizationPending,
    AuthorizationResponseError,
    BearerToken,
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    OAuth2Client,
    SlowDown,
)

from tests import factories
from tests.live import Live
from tests.oauth.browser import Browser

CALLBACK = "https://app.example/callback"


@pytest.fixture(scope="module")
def client(live_server: Live) -> OAuth2Client:
    with live_server.app.app_context():
        shop_id = factories.shop(accepts=[factories.money()])
        registered = factories.oauth_client(redirect_uris=[CALLBACK], allowed_shops=[shop_id])
    return OAuth2Client.from_discovery_endpoint(
        issuer=live_server.url,
        client_id=registered.id,
        client_secret=registered.secret,
        redirect_uri=CALLBACK,
        id_token_signed_response_alg="ES256",
        testing=True,  # the server of the test is on this machine, without TLS
    )


def test_from_discovery_to_revocation(live_server: Live, client: OAuth2Client) -> None:
    person, browser = live_server.register(), Browser(live_server)
    asked = client.authorization_request(scope="openid email balance history payment offline_access", max_age=3600)

    page = browser.sign_in(browser.open(str(asked)), person)
    assert "アクセス許可" in page.text
    back = browser.send(page, decision="allow", permission=["balance", "payment"], max_per_payment_yen="450")
    answer = asked.validate_callback(back.headers["Location"])  # state and iss
    tokens = client.authorization_code(answer, validate=True)  # PKCE; then iss, aud, nonce, at_hash, signature

    assert isinstance(tokens, BearerToken)
    assert tokens.id_token is not None
    assert tokens.id_token.sub == str(person.id)
    assert tokens.scope == "openid email balance payment offline_access"
    assert tokens.authorization_details[0]["max_per_payment_yen"] == 450
    assert client.userinfo(tokens)["email"] == person.email

    refreshed = client.refresh_token(tokens)
    assert refreshed.refresh_token != tokens.refresh_token
    assert client.userinfo(refreshed)["sub"] == str(person.id)

    assert client.revoke_refresh_token(refreshed)
    with pytest.raises(InvalidGrant):
        client.refresh_token(refreshed)


def test_a_denial_and_a_second_visit(live_server: Live, client: OAuth2Client) -> None:
    person, browser = live_server.register(), Browser(live_server)

    asked = client.authorization_request(scope="openid balance")
    denied = browser.send(browser.sign_in(browser.open(str(asked)), person), decision="cancel")
    with pytest.raises(AuthorizationResponseError) as refusal:
        asked.validate_callback(denied.headers["Location"])
    assert refusal.value.error == "access_denied"

    again = client.authorization_request(scope="openid balance")
    allowed = browser.send(browser.open(str(again)), decision="allow", permission=["balance"])
    tokens = client.authorization_code(again.validate_callback(allowed.headers["Location"]), validate=True)
    assert tokens.scope == "openid balance"

    third = client.authorization_request(scope="openid balance", prompt="none")
    straight = browser.open(str(third))
    assert third.validate_callback(straight.headers["Location"]).code


@pytest.fixture
def device(live_server: Live) -> OAuth2Client:
    """A device without a browser, which has no secret."""
    with live_server.app.app_context():
        shop_id = factories.shop(accepts=[factories.money()])
        registered = factories.oauth_client(
            profile="native", redirect_uris=["http://127.0.0.1/callback"], allowed_shops=[shop_id]
        )
    metadata = requests.get(f"{live_server.url}/.well-known/oauth-authorization-server", timeout=10).json()
    return OAuth2Client.from_discovery_document(
        metadata,
        client_id=registered.id,
        client_secret=None,
        device_authorization_endpoint=metadata["device_authorization_endpoint"],  # it reads the others by itself
        testing=True,
    )


def test_a_device_from_its_code_to_its_tokens(live_server: Live, device: OAuth2Client) -> None:
    person, browser = live_server.register(), Browser(live_server)
    asked = device.authorize_device(scope="openid balance payment offline_access")
    assert asked.interval == 5
    assert not asked.is_expired()
    with pytest.raises(AuthorizationPending):
        device.device_code(asked)
    with pytest.raises(SlowDown):
        device.device_code(asked)

    page = browser.sign_in(browser.open(str(asked.verification_uri_complete)), person)
    page = browser.send(page, user_code=asked.user_code)
    assert asked.user_code in page.text
    browser.send(page, decision="allow", permission=["balance", "payment"], max_per_payment_yen="450")

    tokens = device.device_code(asked)
    assert tokens.scope == "openid balance payment offline_access"
    assert tokens.authorization_details[0]["max_per_payment_yen"] == 450
    assert device.userinfo(tokens)["sub"] == str(person.id)
    assert device.userinfo(device.refresh_token(tokens))["sub"] == str(person.id)
    with pytest.raises(InvalidGrant):
        device.device_code(asked)


def test_a_device_that_is_denied(live_server: Live, device: OAuth2Client) -> None:
    person, browser = live_server.register(), Browser(live_server)
    asked = device.authorize_device(scope="openid balance")

    page = browser.sign_in(browser.open(str(asked.verification_uri)), person)
    browser.send(browser.send(page, user_code=asked.user_code), decision="cancel")

    with pytest.raises(AccessDenied):
        device.device_code(asked)


@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
def test_id_tokens_and_introspection(live_server: Live, alg: str) -> None:
    with live_server.app.app_context():
        registered = factories.oauth_client(redirect_uris=[CALLBACK], id_token_alg=alg)
    client = OAuth2Client.from_discovery_endpoint(
        issuer=live_server.url,
        client_id=registered.id,
        client_secret=registered.secret,
        redirect_uri=CALLBACK,
        id_token_signed_response_alg=alg,
        testing=True,
    )
    person, browser = live_server.register(), Browser(live_server)
    asked = client.authorization_request(scope="openid balance offline_access")
    page = browser.sign_in(browser.open(str(asked)), person)
    back = browser.send(page, decision="allow", permission=["balance"])
    tokens = client.authorization_code(asked.validate_callback(back.headers["Location"]), validate=True)

    known = client.introspect_token(tokens)
    assert (known["active"], known["sub"], known["scope"]) == (True, str(person.id), "openid balance offline_access")
    assert client.introspect_token(tokens, token_type_hint="refresh_token")["active"] is True
    assert tokens.access_token is not None
    assert client.introspect_token(tokens.access_token, token_type_hint="refresh_token")["active"] is True

    signed = client.introspect_token(tokens, requests_kwargs={"accept": "application/token-introspection+jwt"})
    assert client.authorization_server_jwks is not None
    jwt = SignedJwt(signed)
    assert jwt.verify_signature(client.authorization_server_jwks, alg=alg)
    assert jwt.claims["token_introspection"] == known

    assert client.revoke_access_token(tokens)
    assert client.introspect_token(tokens) == {"active": False}


def test_a_pushed_request(live_server: Live, client: OAuth2Client) -> None:
    person, browser = live_server.register(), Browser(live_server)
    asked = client.authorization_request(scope="openid balance", login_hint=person.email)
    pushed = client.pushed_authorization_request(asked)
    assert pushed.request_uri.startswith("urn:ietf:params:oauth:request_uri:kpr_")

    page = browser.sign_in(browser.open(str(pushed)), person)
    back = browser.send(page, decision="allow", permission=["balance"])
    tokens = client.authorization_code(asked.validate_callback(back.headers["Location"]), validate=True)
    assert tokens.scope == "openid balance"

    again = browser.open(str(pushed))
    assert again.status_code == 400
    assert "Location" not in again.headers
    with pytest.raises(InvalidScope):
        client.pushed_authorization_request(client.authorization_request(scope="till"))
    with pytest.raises(InvalidTarget):
        client.pushed_authorization_request(
            client.authorization_request(scope="openid", resource=f"{live_server.url}/")
        )
