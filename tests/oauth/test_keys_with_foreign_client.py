"""private_key_jwt and DPoP as a client library does them that is not ours, over real HTTP."""

from __future__ import annotations

import http.client
import secrets
from urllib.parse import urlencode, urlsplit

import jwskate
import pytest
import requests
from requests_oauth2client import (
    DPoPKey,
    DPoPToken,
    InvalidClient,
    InvalidGrant,
    OAuth2Client,
    PrivateKeyJwt,
    PublicApp,
)

from tests import factories
from tests.live import Live
from tests.oauth.browser import Browser
from tests.oauth.keyholder import Signer, by_assertion
from tests.oauth.test_with_foreign_client import CALLBACK

ALGS = ("ES256", "PS256", "EdDSA")
SCOPE = "openid offline_access"


def discovered(live_server: Live, *, auth: PrivateKeyJwt | PublicApp) -> OAuth2Client:
    return OAuth2Client.from_discovery_endpoint(
        issuer=live_server.url,
        auth=auth,
        redirect_uri=CALLBACK,
        id_token_signed_response_alg="ES256",
        testing=True,  # the server of the test is on this machine, without TLS
    )


def private_key(alg: str) -> jwskate.Jwk:
    return jwskate.Jwk.generate(alg=alg).with_kid_thumbprint()


def by_key(live_server: Live, key: jwskate.Jwk, *, profile: str = "web", aud: str | None = None) -> OAuth2Client:
    """A client that is registered with this key."""
    jwks = {"keys": [dict(key.public_jwk())]}
    with live_server.app.app_context():
        registered = factories.oauth_client(profile=profile, jwks=jwks)
    return discovered(live_server, auth=PrivateKeyJwt(registered.id, key, aud=aud or live_server.url))


def consented(live_server: Live, client: OAuth2Client, key: DPoPKey) -> DPoPToken:
    """Tokens of a code that was asked for with `dpop_jkt`, after sign-in and consent."""
    asked = client.authorization_request(scope=SCOPE, dpop=True, dpop_key=key)
    browser = Browser(live_server)
    back = browser.send(browser.sign_in(browser.open(str(asked)), live_server.register()), decision="allow")
    answer = asked.validate_callback(back.headers["Location"])
    tokens = client.authorization_code(answer, validate=False, dpop=True)  # it fails to validate beside a DPoP token
    assert isinstance(tokens, DPoPToken)
    assert tokens.dpop_key == key
    return tokens


@pytest.mark.parametrize("alg", ALGS)
def test_a_program_proves_itself_by_its_key(live_server: Live, alg: str) -> None:
    client = by_key(live_server, private_key(alg), profile="till")

    plain = client.client_credentials()
    bound = client.client_credentials(dpop=True)

    assert (plain.token_type, bound.token_type) == ("Bearer", "DPoP")
    for tokens in (plain, bound, bound):
        answer = requests.get(f"{live_server.url}/v1/me", auth=tokens, timeout=10)
        assert answer.json()["client_id"] == client.client_id


def test_an_assertion_for_the_token_endpoint_proves_nothing(live_server: Live) -> None:
    client = by_key(live_server, private_key("ES256"), profile="till", aud=f"{live_server.url}/oauth/token")

    with pytest.raises(InvalidClient, match="aud"):
        client.client_credentials()


def test_a_confidential_client_with_keys_from_discovery_to_revocation(live_server: Live) -> None:
    client = by_key(live_server, private_key("PS256"))
    tokens = consented(live_server, client, DPoPKey.generate("EdDSA"))

    assert client.userinfo(tokens)["sub"]
    refreshed = client.refresh_token(tokens)
    assert isinstance(refreshed, DPoPToken)
    assert refreshed.refresh_token == tokens.refresh_token
    assert refreshed.access_token != tokens.access_token
    assert client.userinfo(refreshed)["sub"]

    assert client.revoke_refresh_token(refreshed)
    with pytest.raises(InvalidGrant):
        client.refresh_token(refreshed)


def test_a_public_client_whose_refresh_token_is_bound(live_server: Live) -> None:
    with live_server.app.app_context():
        registered = factories.oauth_client(profile="spa", redirect_uris=[CALLBACK])
    client = discovered(live_server, auth=PublicApp(registered.id))
    tokens = consented(live_server, client, DPoPKey.generate("PS256"))

    refreshed = client.refresh_token(tokens)

    assert isinstance(refreshed, DPoPToken)
    assert refreshed.refresh_token != tokens.refresh_token
    assert client.userinfo(refreshed)["sub"]
    with pytest.raises(InvalidGrant):
        client.token_request(
            {"grant_type": "refresh_token", "refresh_token": refreshed.refresh_token}, dpop_key=DPoPKey.generate()
        )


@pytest.mark.parametrize("second", ["right", "nonsense", "empty"])
def test_the_web_server_hands_on_that_there_are_two_proofs(live_server: Live, second: str) -> None:
    """Whatever the second one is, and in either order: one that is passed over could be the one that is looked at."""
    signer, key = Signer.new(), Signer.new()
    with live_server.app.app_context():
        till = factories.oauth_client(profile="till", jwks=signer.jwks)
    url = f"{live_server.url}/oauth/token"

    def send(*proofs: str) -> int:
        form = {"grant_type": "client_credentials", **by_assertion(signer.assertion(till.id, aud=live_server.url))}
        body = urlencode(form).encode()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        connection.putrequest("POST", "/oauth/token")
        connection.putheader("Content-Type", "application/x-www-form-urlencoded")
        connection.putheader("Content-Length", str(len(body)))
        for proof in proofs:
            connection.putheader("DPoP", proof)
        connection.endheaders(body)
        status = connection.getresponse().status
        connection.close()
        return status

    other = {"right": key.proof(url), "nonsense": secrets.token_hex(), "empty": ""}[second]
    assert send(key.proof(url)) == 200
    assert send(key.proof(url), other) == 400
    assert send(other, key.proof(url)) == 400
