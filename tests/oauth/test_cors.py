"""Which pages of other origins may call the endpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask

from app.settings import Settings
from tests.live import free_port
from tests.oauth.conftest import VERIFIER, Member, ThirdParty

ALLOW = "Access-Control-Allow-Origin"


@pytest.fixture
def spa(new_third_party: Callable[..., ThirdParty]) -> ThirdParty:
    return new_third_party(profile="spa", redirect_uris=["https://spa.example:8443/done", "http://localhost:5173"])


@pytest.mark.parametrize("origin", ["https://spa.example:8443", "http://localhost:5173"])
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/userinfo"])
def test_a_registered_origin_may_call(app: Flask, spa: ThirdParty, path: str, origin: str) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}

    asked = app.test_client().options(path, headers=headers)
    called = app.test_client().post(path, headers=headers)

    assert asked.status_code in (200, 204)
    assert asked.headers[ALLOW] == called.headers[ALLOW] == origin
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    assert "Origin" in called.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in called.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://spa.example",
        "https://spa.example:844",
        "http://spa.example:8443",
        "https://evil.example",
        "https://web-app.example",
        "null",
        "*",
        "https://spa.example:8443/done",
        "https://%",
        "https://spa.example:8443\0",
    ],
)
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/userinfo"])
def test_no_other_origin_may(
    app: Flask, spa: ThirdParty, new_third_party: Callable[..., ThirdParty], path: str, origin: str
) -> None:
    new_third_party(profile="web", redirect_uris=["https://web-app.example/cb"])
    for method in ("OPTIONS", "POST"):
        response = app.test_client().open(path, method=method, headers={"Origin": origin})
        assert ALLOW not in response.headers


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/userinfo"])
def test_while_the_database_is_away_no_origin_may_and_the_answer_is_whole(
    settings: Settings, new_app: Callable[[Settings], Flask], path: str, method: str
) -> None:
    client = new_app(replace(settings, database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/gone")).test_client()
    headers = {"Origin": "https://spa.example:8443", "Authorization": "Bearer kat_x"}
    data = {"grant_type": "refresh_token", "client_id": "some_app", "refresh_token": "x"}
    if path != "/oauth/userinfo":
        del headers["Authorization"]

    answer = client.open(path, method=method, data=data, headers=headers)

    assert ALLOW not in answer.headers
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    if method == "POST":
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        body = answer.get_json()
        assert body.get("error") == (None if path == "/oauth/userinfo" else "temporarily_unavailable")
        assert body.get("code") == ("temporarily_unavailable" if path == "/oauth/userinfo" else None)


@pytest.mark.parametrize(
    "path",
    ["/oauth/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"],
)
def test_keys_and_discovery_are_for_everyone(app: Flask, path: str) -> None:
    assert app.test_client().get(path).headers[ALLOW] == "*"


def test_the_apps_own_page_reads_the_balance_and_takes_a_payment(app: Flask, spa: ThirdParty, member: Member) -> None:
    tokens = spa.tokens(member, scope="openid balance payment", ticked=["balance", "payment"])
    origin = {"Origin": "https://spa.example:8443"}
    for method, path in (("GET", "/v1/wallets"), ("POST", "/v1/payments"), ("GET", "/oauth/userinfo")):
        asked = app.test_client().options(path, headers={**origin, "Access-Control-Request-Method": method})
        called = app.test_client().open(
            path, method=method, headers={**origin, "Authorization": f"Bearer {tokens['access_token']}"}
        )

        assert (asked.status_code, asked.headers[ALLOW]) == (200, origin["Origin"])
        assert method in asked.headers["Access-Control-Allow-Methods"]
        assert "Idempotency-Key" in asked.headers["Access-Control-Allow-Headers"]
        assert called.headers[ALLOW] == origin["Origin"]
        assert called.status_code == (422 if method == "POST" else 200)  # allowed to ask; the body is missing
        stranger = app.test_client().open(path, method=method, headers={"Origin": "https://evil.example"})
        assert ALLOW not in stranger.headers


def test_a_browser_redeems_a_code_from_the_apps_own_page(app: Flask, spa: ThirdParty, member: Member) -> None:
    form = {
        "grant_type": "authorization_code",
        "client_id": spa.id,
        "code": spa.code(member),
        "redirect_uri": spa.redirect_uri,
        "code_verifier": VERIFIER,
    }
    headers = {"Origin": "https://spa.example:8443", "Sec-Fetch-Site": "cross-site"}

    response = app.test_client().post("/oauth/token", data=form, headers=headers)

    assert response.status_code == 200
    assert response.headers[ALLOW] == "https://spa.example:8443"
