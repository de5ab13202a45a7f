"""Every page of the first slice, in the order in which a member comes by."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import requests
from playwright.sync_api import Page

from app.oauth.clients import find_client
from tests import factories
from tests.live import Live, Person

REDIRECT_URI = "http://localhost:9/callback"
_CLIENT = "canteen_app"
_DEVICE = "canteen_display"


def member_with_purchases(live: Live) -> Person:
    """A member with a balance, and a client that may ask to take payments."""
    person = live.register()
    with live.app.app_context():
        money = factories.money()
        factories.wallet(member_id=person.id, money=money)
        for _ in range(12):
            factories.charge(member_id=person.id, money=money, amount_yen=1_000)
        if find_client(_CLIENT) is None:
            shop_id = factories.shop(accepts=[money])
            factories.oauth_client(client_id=_CLIENT, redirect_uris=[REDIRECT_URI], allowed_shops=[shop_id])
            factories.oauth_client(
                client_id=_DEVICE, profile="native", redirect_uris=[REDIRECT_URI], allowed_shops=[shop_id]
            )
    return person


def tour(page: Page, live: Live, person: Person) -> Iterator[str]:
    """Goes from page to page and yields the name of each. Goes by structure, not by words: any language will do."""
    primary = page.locator("main .button.primary")
    page.goto(live.mypage.url)
    yield "welcome"
    primary.click()
    yield "login"
    page.locator("#email").fill(person.email)
    page.locator("#password").fill("not the password")
    primary.click()
    yield "login refused"
    page.locator("#password").fill(person.password)
    primary.click()
    page.wait_for_url(f"{live.url}/login/code?**")
    yield "code"
    page.locator("#code").fill("000000")
    primary.click()
    yield "code refused"
    page.locator("#code").fill(live.mailed_code(person.email))
    primary.click()
    page.wait_for_url(f"{live.url}/oauth/authorize?**")
    yield "consent"
    page.locator("input[value=history]").uncheck()
    page.locator("button[value=allow]").click()
    page.wait_for_url(f"{live.mypage.url}/")
    yield "home without history"
    page.locator("main .notice .button").click()
    page.wait_for_url(f"{live.url}/oauth/authorize?**")
    yield "consent again"
    page.locator("button[value=allow]").click()
    page.wait_for_url(f"{live.mypage.url}/")
    yield "home"
    page.locator("main a.button").click()
    yield "history"
    page.goto(f"{live.mypage.url}/nowhere")
    yield "error"
    page.goto(payment_request(live))
    yield "consent to pay"
    page.locator("input[value=payment]").check()
    page.locator("#max_per_payment_yen").fill("９９９，９９９")
    page.locator("button[value=allow]").click()
    yield "consent to pay, refused"
    yield from devices(page, live)
    for path in ("/", "/docs", "/docs/errors/insufficient_balance", "/dev/mailbox", "/nowhere", "/logout"):
        page.goto(f"{live.url}{path}")
        yield path
    primary.click()
    yield "signed out"


def devices(page: Page, live: Live) -> Iterator[str]:
    """A member who is signed in connects a device, and another not."""
    primary = page.locator("main .button.primary")
    page.goto(f"{live.url}/oauth/device")
    yield "device"
    for typed, name in (("12345678", "device, no code"), ("BBBB-BBBB", "device, wrong code")):
        page.locator("#user_code").fill(typed)
        primary.click()
        yield name
    page.locator("#user_code").fill(user_code(live).lower())
    primary.click()
    page.wait_for_url(f"{live.url}/oauth/device/consent?**")
    yield "device asks"
    page.locator("button[value=allow]").click()
    yield "device allowed"
    page.goto(f"{live.url}/oauth/device?user_code={user_code(live)}")
    yield "device, code from the address"
    primary.click()
    page.wait_for_url(f"{live.url}/oauth/device/consent?**")
    yield "device asks again"
    page.locator("button[value=cancel]").click()
    yield "device denied"


def user_code(live: Live) -> str:
    """The code that a device of `member_with_purchases` shows."""
    form = {"client_id": _DEVICE, "scope": "openid profile balance history payment offline_access"}
    answer = requests.post(f"{live.url}/oauth/device_authorization", data=form, timeout=10)
    return str(answer.json()["user_code"])


def payment_request(live: Live) -> str:
    """Where the client of `member_with_purchases` sends a member to allow payments."""
    query = {
        "response_type": "code",
        "client_id": _CLIENT,
        "redirect_uri": REDIRECT_URI,
        "scope": "openid profile balance history payment offline_access",
        "state": "s",
        "code_challenge": "a" * 43,
        "code_challenge_method": "S256",
    }
    return f"{live.url}/oauth/authorize?{urlencode(query)}"
