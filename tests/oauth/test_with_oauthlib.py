"""The same flows as requests-oauthlib drives them: an older library that many apps still use."""

from __future__ import annotations

import base64
import json

import pytest
from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from tests import factories
from tests.live import Live
from tests.oauth.browser import Browser
from tests.oauth.test_with_foreign_client import CALLBACK

SCOPES = ["openid", "balance", "history", "offline_access"]


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """oauthlib wants https, except where it is told that the server is on this machine; scopes may be narrowed."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("OAUTHLIB_RELAX_TOKEN_SCOPE", "1")


def test_a_web_app_from_consent_to_refresh_to_revocation(live_server: Live) -> None:
    with live_server.app.app_context():
        client = factories.oauth_client(redirect_uris=[CALLBACK])
    assert client.secret is not None
    endpoint = f"{live_server.url}/oauth/token"
    renewed: list[dict[str, str]] = []
    person, browser = live_server.register(), Browser(live_server)

    with OAuth2Session(
        client.id,
        scope=SCOPES,
        redirect_uri=CALLBACK,
        pkce="S256",
        auto_refresh_url=endpoint,
        auto_refresh_kwargs={"client_id": client.id, "client_secret": client.secret},
        token_updater=renewed.append,
    ) as session:
        address, _ = session.authorization_url(f"{live_server.url}/oauth/authorize")
        page = browser.sign_in(browser.open(address), person)
        back = browser.send(page, decision="allow", permission=["balance"])
        first = session.fetch_token(
            endpoint, authorization_response=back.headers["Location"], auth=HTTPBasicAuth(client.id, client.secret)
        )
        assert sorted(first["scope"]) == ["balance", "offline_access", "openid"]
        assert session.get(f"{live_server.url}/v1/wallets").status_code == 200
        assert session.get(f"{live_server.url}/v1/transactions").status_code == 403

        session.scope = first["scope"]  # it would ask for what the member left out again: RFC 6749 section 6
        session.token = {**first, "expires_at": 1}  # so that the library renews before it asks
        assert session.get(f"{live_server.url}/v1/wallets").status_code == 200
        assert [token["refresh_token"] for token in renewed] != [first["refresh_token"]]

        revoked = session.post(
            f"{live_server.url}/oauth/revoke",
            data={"token": renewed[0]["refresh_token"]},
            auth=HTTPBasicAuth(client.id, client.secret),
            withhold_token=True,
        )
        assert revoked.status_code == 200
        with pytest.raises(InvalidGrantError):
            session.refresh_token(endpoint, refresh_token=renewed[0]["refresh_token"])


def test_a_public_app_without_a_secret(live_server: Live) -> None:
    with live_server.app.app_context():
        client = factories.oauth_client(profile="native", redirect_uris=["http://127.0.0.1/cb"])
    callback = "http://127.0.0.1:49152/cb"  # any port: RFC 8252 section 7.3
    with OAuth2Session(client.id, scope=["openid", "profile"], redirect_uri=callback, pkce="S256") as session:
        address, state = session.authorization_url(f"{live_server.url}/oauth/authorize", nonce="n" * 64)
        browser = Browser(live_server)
        page = browser.sign_in(browser.open(address), live_server.register())
        back = browser.send(page, decision="allow").headers["Location"]
        token = session.fetch_token(
            f"{live_server.url}/oauth/token", authorization_response=back, include_client_id=True
        )
        assert state in back
        payload = token["id_token"].split(".")[1]
        assert json.loads(base64.urlsafe_b64decode(payload + "=="))["nonce"] == "n" * 64
        assert session.get(f"{live_server.url}/oauth/userinfo").json()["given_name"] == "花子"


def test_a_program_for_itself(live_server: Live) -> None:
    with live_server.app.app_context():
        till = factories.oauth_client(profile="till")
    assert till.secret is not None
    with OAuth2Session(client=BackendApplicationClient(client_id=till.id)) as session:
        token = session.fetch_token(
            f"{live_server.url}/oauth/token", auth=HTTPBasicAuth(till.id, till.secret), scope=["till"]
        )
        assert token["token_type"] == "Bearer"
        assert session.get(f"{live_server.url}/v1/me").json()["client_id"] == till.id
