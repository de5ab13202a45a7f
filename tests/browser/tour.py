"""Every page of the first slice, in the order in which a member comes by."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from playwright.sync_api import Page

from app.oauth.clients import find_client
from tests import factories
from tests.live import Live, Person

REDIRECT_URI = "http://localhost:9/callback"
NEW_PASSWORD = "あしたも食堂でおひるごはん"
_CLIENT = "canteen_app"


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
    return person


def tour(page: Page, live: Live, person: Person) -> Iterator[str]:
    """Goes from page to page and yields the name of each. Goes by structure, not by words: any language will do."""
    primary, refused = page.locator("main .button.primary"), page.locator("main .notice.error")
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
    page.goto(f"{live.url}/.well-known/change-password")
    page.wait_for_url(f"{live.url}/account/password")
    yield "password"
    fill_passwords(page, current="not the password", new=NEW_PASSWORD)
    refused.wait_for()
    yield "password refused"
    fill_passwords(page, current=person.password, new=NEW_PASSWORD)
    page.wait_for_url(f"{live.url}/account/password?changed=1")
    yield "password changed"
    page.goto(f"{live.url}/oauth/logout?client_id={_CLIENT}")
    yield "sign-out asked by a client"
    page.goto(f"{live.url}/oauth/logout?post_logout_redirect_uri=https://evil.example/")
    yield "sign-out refused"
    for path in ("/", "/docs", "/docs/errors/insufficient_balance", "/dev/mailbox", "/nowhere", "/logout"):
        page.goto(f"{live.url}{path}")
        yield path
    page.locator("button[name=sessions]").click()
    page.wait_for_url(f"{live.url}/logout?everywhere=1")
    yield "signed out everywhere"
    page.goto(f"{live.url}/login")
    page.locator("main a.button").click()
    page.wait_for_url(f"{live.url}/login/forgot")
    yield "password forgotten"
    page.locator("#email").fill(person.email)
    primary.click()
    page.wait_for_url(f"{live.url}/login/forgot/code")
    yield "password forgotten, code"
    for name, value in (("code", "000000"), ("new", person.password), ("again", person.password)):
        page.locator(f"#{name}").fill(value)
    primary.click()
    refused.wait_for()
    yield "password forgotten, code refused"


def fill_passwords(page: Page, *, current: str, new: str) -> None:
    for name, value in (("current", current), ("new", new), ("again", new)):
        page.locator(f"#{name}").fill(value)
    page.locator("main .button.primary").click()


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
