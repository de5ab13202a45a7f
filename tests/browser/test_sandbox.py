"""The sandbox gateway's pages in a real browser: accessible, narrow, by keyboard, without script, pressed twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect

from app.charge.ports import Chain
from tests.browser.conftest import Open
from tests.browser.test_pages import LOCALES, hidden_at_the_side, violations
from tests.charge.gateways.contract import card_request, konbini_request
from tests.charge.vendor import Vendor, vendor

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    with vendor(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


def started(gateway: Vendor, locale: str = "ja") -> tuple[str, str]:
    """A card payment's ref and page; it leads back to the stores."""
    page = gateway.gateway().start_card(card_request(return_url=f"{gateway.url}/store", locale=locale))
    return page.ref, page.url


def tour(page: Page, gateway: Vendor, locale: str) -> Iterator[str]:
    """Every kind of page, each by its name once it is there."""
    ref, url = started(gateway, locale)
    page.goto(url)
    yield "card"
    page.click("button.pay")
    page.wait_for_selector(".problem")
    yield "card with problems"
    page.goto(f"{url}?fill=challenge")
    page.click("button.pay")
    page.wait_for_url("**/challenge")
    yield "challenge"
    page.fill("#code", "x")
    page.keyboard.press("Enter")
    page.wait_for_selector("#code-error")
    yield "wrong code"
    page.click("[name=give_up]")
    page.wait_for_url("**/store")
    yield "stores"
    page.goto(url)
    yield "over"
    for chain in (Chain.SEVEN_ELEVEN, Chain.FAMILYMART, Chain.LAWSON):
        slip = gateway.gateway().start_konbini(konbini_request(chain=chain, locale=locale))
        assert slip.voucher_url
        page.goto(slip.voucher_url)
        yield f"slip of {chain}"
        page.click(".actions a")
        page.wait_for_selector("button.key")
        yield f"counter of {chain}"
        page.click("button.key")
        page.wait_for_selector("[name=pay]")
        yield f"confirmation of {chain}"
    page.click("[name=pay]")
    page.wait_for_url("**/receipt/**")
    yield "receipt"
    gateway.fault("webhook_late", seconds=9, times=3)
    for path in ("/", "/console", f"/console/payments/{ref}", f"/console/payments/{slip.ref}", "/store/lawson", "/no"):
        page.goto(gateway.url + path)
        yield path
    gateway.calm()


@pytest.mark.parametrize("locale", LOCALES)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(gateway: Vendor, open_page: Open, locale: str) -> None:
    page = open_page(width=390, locale=locale)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)
    stops = tour(page, gateway, locale[:2])
    found = {name: [*violations(page, locale), *hidden_at_the_side(page)] for name in stops}
    assert not {name: each for name, each in found.items() if each}
    assert complaints == []


def test_without_script_by_keyboard(gateway: Vendor, open_page: Open) -> None:
    page = open_page(width=320, java_script_enabled=False)
    ref, url = started(gateway)
    page.goto(f"{url}?fill=challenge")
    page.focus("#number")
    page.keyboard.press("Enter")
    page.wait_for_url("**/challenge")
    page.focus("#code")
    page.keyboard.type(page.inner_text(".sms .number"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/store")
    assert gateway.payment(ref)["state"] == "paid"


@pytest.fixture
def elsewhere(gateway: Vendor) -> Iterator[str]:
    """A merchant that sends the browser on to a third origin, as one whose sign-in has ended does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{gateway.port}/store")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_the_merchant_may_send_the_browser_on(gateway: Vendor, open_page: Open, elsewhere: str) -> None:
    page = open_page()
    url = gateway.gateway().start_card(card_request(return_url=elsewhere)).url
    page.goto(f"{url}?fill=visa")
    page.click("button.pay")
    page.wait_for_url(f"http://127.0.0.1:{gateway.port}/store")


def test_the_brand_is_shown_while_typing_and_two_presses_pay_once(gateway: Vendor, open_page: Open) -> None:
    page = open_page(locale="en-GB")
    ref, url = started(gateway, "en")
    page.goto(url)
    for number, brand, shown in (
        ("5555555555554444", "Mastercard", "5555 5555 5555 4444"),
        ("378282246310005", "American Express", "3782 822463 10005"),
        ("9", "", "9"),
        ("4242424242424242", "Visa", "4242 4242 4242 4242"),
    ):
        page.fill("#number", "")
        page.locator("#number").press_sequentially(number)
        expect(page.locator("#brand")).to_have_text(brand)
        expect(page.locator("#number")).to_have_value(shown)
    page.keyboard.press("Tab")
    page.keyboard.type("12/30")
    page.keyboard.press("Tab")
    page.keyboard.type("123")
    page.dblclick("button.pay")
    page.wait_for_url("**/store")
    assert len(gateway.payment(ref)["received"]) == 1
