"""Checklist, "Device grant": its clauses in order, over HTTP against the running server."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests import factories
from tests.live import Live
from tests.oauth.browser import Browser
from tests.oauth.over_http.conftest import register
from tests.oauth.over_http.plain_client import PlainClient, refusal

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture(scope="module")
def device(live_server: Live) -> PlainClient:
    """A device without a browser, which has no secret."""
    with live_server.app.app_context():
        shop = factories.shop(accepts=[factories.money()], name_ja="東食堂")
    return register(live_server, profile="native", redirect_uris=["http://127.0.0.1/callback"], allowed_shops=[shop])


def ask(device: PlainClient, scope: str = "openid balance offline_access") -> dict[str, Any]:
    answer = device.post("/oauth/device_authorization", {"scope": scope})
    assert answer.status_code == 200, answer.text
    asked: dict[str, Any] = answer.json()
    return asked


def poll(device: PlainClient, asked: dict[str, Any]) -> requests.Response:
    return device.token(grant_type=GRANT, device_code=asked["device_code"])


def question(browser: Browser, asked: dict[str, Any]) -> requests.Response:
    """The page that asks, once the member has typed the code."""
    return browser.send(browser.open(asked["verification_uri"]), user_code=asked["user_code"])


def allow(browser: Browser, asked: dict[str, Any]) -> None:
    page = browser.send(question(browser, asked), decision="allow", permission=["balance"])
    assert "連携しました" in page.text


def shift(rows: Callable[..., Any], device: PlainClient, column: str, seconds: int) -> None:
    rows(
        f"UPDATE oauth_device SET {column} = {column} - make_interval(secs => {seconds}) WHERE client_id = :id",
        id=device.id,
    )


def test_slow_down(device: PlainClient, rows: Callable[..., Any]) -> None:
    """slow_down: five seconds more each time (RFC 8628 section 3.5)"""
    asked = ask(device)
    assert asked["interval"] == 5
    assert refusal(poll(device, asked)) == (400, "authorization_pending")
    assert refusal(poll(device, asked)) == (400, "slow_down")
    shift(rows, device, "polled_at", 5)  # in time for the first interval, not for the one of 10 seconds
    assert refusal(poll(device, asked)) == (400, "slow_down")
    shift(rows, device, "polled_at", 15)
    assert refusal(poll(device, asked)) == (400, "authorization_pending")


def test_expired(device: PlainClient, browser: Browser, rows: Callable[..., Any]) -> None:
    """expired: for the device, allowed or not, and for who types its code"""
    waiting, allowed = ask(device), ask(device)
    assert waiting["expires_in"] == 600
    allow(browser, allowed)
    shift(rows, device, "expires_at", 601)
    assert refusal(poll(device, waiting)) == (400, "expired_token")
    assert refusal(poll(device, allowed)) == (400, "expired_token")
    page = question(browser, waiting)
    assert page.status_code == 404
    assert "このコードは使えません" in page.text


def test_denied(device: PlainClient, browser: Browser) -> None:
    """denied"""
    asked = ask(device)
    page = browser.send(question(browser, asked), decision="cancel")
    assert "連携しませんでした" in page.text
    assert [refusal(poll(device, asked)) for _ in range(2)] == [(400, "access_denied")] * 2


def test_once_only(device: PlainClient, browser: Browser) -> None:
    """once only: a second redemption gets nothing, and ends what the first gave"""
    asked = ask(device)
    allow(browser, asked)
    tokens = poll(device, asked).json()
    assert device.call(tokens["access_token"]).status_code == 200
    assert refusal(poll(device, asked)) == (400, "invalid_grant")
    assert device.call(tokens["access_token"]).status_code == 401
    assert refusal(device.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


def test_a_user_code_is_answered_once_only(device: PlainClient, browser: Browser) -> None:
    """once only: neither is a user code, nor is another client's device code worth anything"""
    asked = ask(device)
    assert refusal(poll(register(device.live, profile="native"), asked)) == (400, "invalid_grant")
    allow(browser, asked)
    assert question(browser, asked).status_code == 404
    assert poll(device, asked).status_code == 200


def test_the_user_code_page_shows_what_will_be_allowed(
    live_server: Live, device: PlainClient, browser: Browser
) -> None:
    """the user code page shows what will be allowed: which app, on which device, what it may do and up to how much"""
    client = register(live_server, profile="native", allowed_shops=shops(live_server))
    asked = ask(client, scope="openid profile balance payment offline_access")
    page = question(browser, asked)
    text = html.unescape(page.text)
    assert page.url.startswith(f"{live_server.url}/oauth/device/consent?")
    for shown in ("試験アプリ", asked["user_code"], "残高の取得", "支払い", "西食堂", "3,000"):
        assert shown in text, shown
    assert "取引履歴の取得" not in text
    browser.send(page, decision="allow", permission=["balance"])
    assert poll(client, asked).json()["scope"] == "openid profile balance offline_access"


def shops(live: Live) -> list[Any]:
    with live.app.app_context():
        return [factories.shop(accepts=[factories.money()], name_ja="西食堂")]


def test_nothing_is_allowed_by_an_address_alone(device: PlainClient, browser: Browser) -> None:
    """the user code page: a link with the code in it only fills the field in (RFC 8628 section 5.4)"""
    asked = ask(device)
    page = browser.open(asked["verification_uri_complete"])
    assert asked["user_code"] in page.text
    assert 'name="decision"' not in page.text
    assert refusal(poll(device, asked)) == (400, "authorization_pending")
