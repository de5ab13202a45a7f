"""Every page, in the order in which a member comes by."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from functools import cache
from urllib.parse import urlencode

import requests
from playwright.sync_api import Locator, Page

from app.db import transaction
from app.demo.demo_card import fcf_blocks
from app.oauth.clients import find_client
from app.reader import cards
from app.reader.cards import Reading
from app.wallet.proof.links import receipt_url
from tests import factories
from tests.live import Live, Person
from tests.mypage.stall import Stall
from tests.mypage.stall import stall as make_stall

REDIRECT_URI = "http://localhost:9/callback"
NEW_PASSWORD = "あしたも食堂でおひるごはん"
_CLIENT = "canteen_app"
_ALLOWED = "orders_app"
_DEVICE = "canteen_display"


def member_with_purchases(live: Live) -> Person:
    """A member with balances, a client that may ask to take payments, and one that was allowed to."""
    stall = _stall(live)
    person = stall.member()
    with live.app.app_context():
        money = stall.base
        for _ in range(12):
            factories.charge(member_id=person.id, money=money, amount_yen=1_000)
        if find_client(_CLIENT) is None:
            shops = [
                factories.shop(accepts=[money]),
                factories.shop(accepts=[money], name_ja="南書籍部", name_en="South Bookshop"),
            ]
            for client_id, profile in ((_CLIENT, "web"), (_ALLOWED, "web"), (_DEVICE, "native")):
                factories.oauth_client(
                    client_id=client_id, profile=profile, redirect_uris=[REDIRECT_URI], allowed_shops=shops
                )
        scopes = ["openid", "profile", "balance", "history", "payment", "offline_access"]
        factories.access_token(member_id=person.id, client_id=_ALLOWED, scopes=scopes)
    return person


@cache
def _stall(live: Live) -> Stall:
    """The till where the tour pays."""
    return make_stall(live)


def tour(page: Page, live: Live, person: Person) -> Iterator[str]:
    """Goes from page to page and yields the name of each. Goes by structure, not by words: any language will do."""
    yield from _sign_in(page, live, person)
    yield from _member_page(page, live, person)
    yield from _payment_is_asked(page, live)
    yield from _connected_apps(page, live)
    yield from devices(page, live)
    yield from _new_password(page, live, person)
    yield from _single_pages(page, live)
    yield from _sign_out(page, live)
    yield from _forgotten_password(page, live, person)


def _sign_in(page: Page, live: Live, person: Person) -> Iterator[str]:
    """From the member page to its first consent, with every step refused once."""
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


def _member_page(page: Page, live: Live, person: Person) -> Iterator[str]:
    """Without one permission, then with it."""
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
    yield from _history(page, live)
    yield from _moving(page, live)
    yield from _cards(page, live, person)
    yield from _paying(page, live)
    page.goto(f"{live.mypage.url}/nowhere")
    yield "error"


def _history(page: Page, live: Live) -> Iterator[str]:
    page.goto(f"{live.mypage.url}/history")
    yield "history"
    page.goto(f"{live.mypage.url}/history?kind=charge&min=x")
    yield "history refused"
    page.goto(f"{live.mypage.url}/history?money={_stall(live).base}")
    yield "history of one money"
    follow(page.locator("main .row a").first)
    yield "transaction"


def _cards(page: Page, live: Live, person: Person) -> Iterator[str]:
    with live.app.app_context(), transaction():
        for _ in range(2):
            idm = f"0114{secrets.token_hex(6)}".upper()
            cards.register(Reading(idm=idm, blocks=fcf_blocks()), member_id=person.id)
    page.goto(f"{live.mypage.url}/cards")
    yield "cards"
    follow(page.locator("main button[name=code]"))
    yield "code for registering a card"
    page.locator("#pin").fill("1234")
    page.locator("#again").fill("1234")
    follow(page.locator("main button[name=set_pin]"))
    yield "PIN refused"
    follow(page.locator("main button[name=lost]").first)
    yield "card lost"


def _moving(page: Page, live: Live) -> Iterator[str]:
    stall = _stall(live)
    page.goto(f"{live.mypage.url}/move")
    yield "move"
    follow(page.locator("main .actions .button.primary"))
    yield "move refused"
    page.locator(f"input[value='{stall.base}:{stall.meal}']").check()
    follow(page.locator("button[value='+1000']"))
    follow(page.locator("button[value='+500']"))
    follow(page.locator("main .actions .button.primary"))
    yield "move to be confirmed"
    follow(page.locator("main .button.primary"))
    yield "moved"


def _paying(page: Page, live: Live) -> Iterator[str]:
    """Without the permission, then with it, by the shop's code and by the member's own."""
    stall = _stall(live)
    page.goto(f"{live.mypage.url}/pay")
    yield "payment not allowed"
    page.locator("main .button.primary").click()
    page.wait_for_url(f"{live.url}/oauth/authorize?**")
    page.locator("input[value=payment]").check()
    page.locator("button[value=allow]").click()
    page.wait_for_url(f"{live.mypage.url}/pay")
    yield "pay"
    page.goto(stall.code(2_000)["url"])
    yield "pay, too much for one money"
    page.goto(stall.code(450, description="A定食")["url"])
    yield "pay, to be confirmed"
    follow(page.locator("main .button.primary"))
    yield "paid"
    page.goto(stall.code(2_999, money=stall.meal)["url"])
    yield "pay, not enough"
    page.goto(f"{live.mypage.url}/pay?code=1")
    yield "pay, no such code"
    page.goto(f"{live.mypage.url}/code")
    yield "code"
    assert stall.scan("".join(page.locator(".digits").inner_text().split()), 200).ok
    page.goto(f"{live.mypage.url}/code")
    page.wait_for_url(f"{live.mypage.url}/code/used/**")
    yield "code used"


def _payment_is_asked(page: Page, live: Live) -> Iterator[str]:
    """With limits that cannot be."""
    page.goto(payment_request(live))
    yield "consent to pay"
    page.locator("input[value=payment]").check()
    page.locator("#max_per_payment_yen").fill("９９９，９９９")
    page.locator("details.finer summary").click()
    yield "consent to pay, in detail"
    page.locator("#max_per_day_yen").fill("as much as you like")
    page.locator("#until").fill("2020-01-01")
    page.locator("button[value=allow]").click()
    yield "consent to pay, refused"


def _new_password(page: Page, live: Live, person: Person) -> Iterator[str]:
    page.goto(f"{live.url}/.well-known/change-password")
    page.wait_for_url(f"{live.url}/account/password")
    yield "password"
    fill_passwords(page, current="not the password", new=NEW_PASSWORD)
    page.locator("main .notice.error").wait_for()
    yield "password refused"
    fill_passwords(page, current=person.password, new=NEW_PASSWORD)
    page.wait_for_url(f"{live.url}/account/password?changed=1")
    yield "password changed"


def _single_pages(page: Page, live: Live) -> Iterator[str]:
    page.goto(f"{live.url}/oauth/logout?client_id={_CLIENT}")
    yield "sign-out asked by a client"
    page.goto(f"{live.url}/oauth/logout?post_logout_redirect_uri=https://evil.example/")
    yield "sign-out refused"
    with live.app.app_context():
        holder = factories.holder()
        paid_in = factories.charge(member_id=holder.member_id, money=holder.money, amount_yen=500)
        page.goto(receipt_url(paid_in.transaction_id))
    yield "receipt"
    for path in ("/", "/docs", "/docs/errors/insufficient_balance", "/dev/mailbox", "/nowhere", "/logout"):
        page.goto(f"{live.url}{path}")
        yield path


def _sign_out(page: Page, live: Live) -> Iterator[str]:
    """On the page that asks whether to."""
    page.locator("button[name=sessions]").click()
    page.wait_for_url(f"{live.url}/logout?everywhere=1")
    yield "signed out everywhere"


def _forgotten_password(page: Page, live: Live, person: Person) -> Iterator[str]:
    """As far as a code that is wrong."""
    primary = page.locator("main .button.primary")
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
    page.locator("main .notice.error").wait_for()
    yield "password forgotten, code refused"


def fill_passwords(page: Page, *, current: str, new: str) -> None:
    for name, value in (("current", current), ("new", new), ("again", new)):
        page.locator(f"#{name}").fill(value)
    page.locator("main .button.primary").click()


def _connected_apps(page: Page, live: Live) -> Iterator[str]:
    page.goto(live.mypage.url)
    follow(page.locator("header nav a[href$='/account/apps']"))
    yield "apps"
    follow(page.locator("main section a.button[aria-describedby]").nth(1))  # the first is the member page
    yield "app"
    follow(page.locator("main .row .button").first)
    yield "one permission to be taken away"
    page.go_back()
    follow(page.locator("main a[href$='/limits']"))
    yield "limits"
    page.locator("#max_per_day_yen").fill("９９９，９９９")
    follow(page.locator("main .button.primary"))
    yield "limits, refused"
    page.locator("#max_per_day_yen").fill("1,500")
    follow(page.locator("main .button.primary"))
    yield "app, changed"
    follow(page.locator("main a[href$='/revoke']"))
    yield "app to be revoked"
    follow(page.locator("main button.danger"))
    yield "apps, one less"
    follow(page.locator("main a[href$='/revoke-all']"))
    yield "all to be revoked"
    follow(page.locator("main button.danger"))
    yield "no apps"


def follow(link: Locator) -> None:
    """Click, and wait for the page it leads to, at the same address too."""
    with link.page.expect_navigation():
        link.click()


def devices(page: Page, live: Live) -> Iterator[str]:
    """A member who is signed in connects a device, and another not."""
    primary = page.locator("main .button.primary")
    page.goto(f"{live.url}/oauth/device")
    yield "device"
    refusals = (("12345678", "#user-code-error", "no code"), ("BBBB-BBBB", ".notice.error", "wrong code"))
    for typed, refused, name in refusals:
        page.locator("#user_code").fill(typed)
        primary.click()
        page.locator(refused).wait_for()
        yield f"device, {name}"
    page.locator("#user_code").fill(user_code(live).lower())
    primary.click()
    page.wait_for_url(f"{live.url}/oauth/device/consent?**")
    yield "device asks"
    page.locator("button[value=allow]").click()
    page.locator("main [role=status]").wait_for()
    yield "device allowed"
    page.goto(f"{live.url}/oauth/device?user_code={user_code(live)}")
    yield "device, code from the address"
    primary.click()
    page.wait_for_url(f"{live.url}/oauth/device/consent?**")
    yield "device asks again"
    page.locator("button[value=cancel]").click()
    page.locator("main [role=status]").wait_for()
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
