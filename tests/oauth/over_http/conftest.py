"""A member who signed in once for a module's tests, clients of every profile, and the database beside the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from sqlalchemy import text

from app.db import autocommit, transaction
from app.oauth import invitations
from tests import factories
from tests.live import Live, Person
from tests.oauth.browser import TIMEOUT_S, Browser
from tests.oauth.keyholder import Signer
from tests.oauth.over_http.plain_client import CALLBACK, PlainClient


@dataclass(frozen=True)
class Visitor:
    """A member and the browser they are signed in with."""

    person: Person
    browser: Browser


def signed_in(live: Live) -> Visitor:
    """A new member who has signed in, by password and mailed code."""
    visitor = Visitor(person=live.register(), browser=Browser(live))
    page = visitor.browser.sign_in(visitor.browser.open("/login?next=/logout"), visitor.person)
    assert page.status_code == 200, page.text
    return visitor


@pytest.fixture(scope="module")
def visitor(live_server: Live) -> Visitor:
    return signed_in(live_server)


@pytest.fixture(scope="module")
def browser(visitor: Visitor) -> Browser:
    """The browser of a member who is signed in. Whoever signs out in a test takes one of their own."""
    return visitor.browser


def register(live: Live, *, profile: str = "web", **registration: Any) -> PlainClient:
    """A new client; one of the profile fapi2 has keys, for assertions and for proofs."""
    signer = dpop = None
    if profile == "fapi2":
        signer, dpop = registration.pop("signer", None) or Signer.new(), Signer.new()
        registration["jwks"] = signer.jwks
    registration.setdefault("redirect_uris", [CALLBACK])
    with live.app.app_context():
        client = factories.oauth_client(profile=profile, **registration)
    return PlainClient(
        live=live,
        id=client.id,
        redirect_uri=client.redirect_uris[0],
        secret=client.secret,
        signer=signer,
        dpop=dpop,
    )


@pytest.fixture
def new_client(live_server: Live) -> Callable[..., PlainClient]:
    def make(**registration: Any) -> PlainClient:
        return register(live_server, **registration)

    return make


@pytest.fixture
def web(new_client: Callable[..., PlainClient]) -> PlainClient:
    """A web application with a secret."""
    return new_client()


@pytest.fixture(scope="module")
def registration(live_server: Live) -> Callable[..., requests.Response]:
    """Registers clients as an invited developer does (RFC 7591); every value can be bent."""
    invited: dict[str, Any] = {"profiles": ["web", "native", "fapi2"], "scopes": ["openid", "balance"]}
    with live_server.app.app_context(), transaction():
        token = invitations.invite(**invited, uses=50, days=1, note="checklist")

    def send(**metadata: Any) -> requests.Response:
        body = {"client_name": "学食アプリ", "redirect_uris": [CALLBACK], "scope": "openid balance", **metadata}
        bearer = {"Authorization": f"Bearer {token}"}
        return requests.post(f"{live_server.url}/oauth/register", json=body, headers=bearer, timeout=TIMEOUT_S)

    return send


@pytest.fixture
def rows(live_server: Live) -> Callable[..., list[Any]]:
    """What the server's database holds. Time passes by moving what is written there: the server's clock is real."""

    def run(statement: str, **values: Any) -> list[Any]:
        with live_server.app.app_context(), autocommit().connect() as connection:
            result = connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    return run
