"""The member's charging pages in a real browser: accessible, narrow, without script, and a barcode that reads."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Page

from app.charge.ports import Chain
from app.settings import Settings
from tests.browser.conftest import Open
from tests.browser.test_pages import LOCALES, hidden_at_the_side, violations
from tests.browser.tour import follow
from tests.charge.product import Charging, charging_product
from tests.conftest import TestServer
from tests.live import Person, eventually

pytestmark = pytest.mark.browser

CONTACT = {"name_kana": "クミアイ ハナコ", "email": "hanako@example.ac.jp", "phone": "09012345678"}


@pytest.fixture(scope="module")
def charging(
    postgres: TestServer,
    template: str,
    make_settings: Callable[[str], Settings],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Charging]:
    with postgres.database(template=template) as name:
        settings = make_settings(postgres.url(name))
        with charging_product(settings, tmp_path_factory.mktemp("charging")) as product:
            yield product


def primary(page: Page) -> None:
    follow(page.locator("main .button.primary").last)


def signed_in(page: Page, charging: Charging, person: Person) -> None:
    """By structure: any language will do."""
    page.goto(f"{charging.live.mypage.url}/charge")
    page.locator("#email").fill(person.email)
    page.locator("#password").fill(person.password)
    page.locator("main .button.primary").click()
    page.wait_for_url(f"{charging.live.url}/login/code?**")
    page.locator("#code").fill(charging.live.mailed_code(person.email))
    page.locator("main .button.primary").click()
    page.wait_for_url(f"{charging.live.url}/oauth/authorize?**")
    for permission in ("balance", "history", "charge"):
        page.locator(f"input[value={permission}]").check()
    page.locator("button[value=allow]").click()
    page.wait_for_url(f"{charging.live.mypage.url}/charge")


def slip(page: Page, charging: Charging, chain: str) -> Iterator[str]:
    """From the first page to the numbers."""
    page.goto(f"{charging.live.mypage.url}/charge?money=meal&amount=1000&method=konbini&do=confirm")
    yield f"who pays at {chain}"
    primary(page)
    yield f"who pays at {chain}, wrong"
    for name, value in CONTACT.items():
        page.locator(f"#{name}").fill(value)
    page.locator(f"input[value={chain}]").check()
    primary(page)
    yield f"how to pay at {chain}"
    primary(page)
    yield f"slip of {chain}"


def show_once_over(page: Page, charging: Charging, order_id: UUID) -> None:
    eventually(lambda: charging.is_over(order_id) or None)
    page.goto(f"{charging.live.mypage.url}/charge/{order_id}")


def tour(page: Page, charging: Charging) -> Iterator[str]:
    """Every page of charging, each by its name once it is there."""
    mypage, person = charging.live.mypage.url, charging.member()
    signed_in(page, charging, person)
    yield "charge"
    primary(page)
    yield "charge, nothing chosen"
    page.goto(f"{mypage}/charge?money=meal&amount=1500&method=card&do=confirm")
    yield "charge, wrong amount"
    follow(page.locator("button[value='+100000']"))
    follow(page.locator("button[value='undo']"))
    yield "charge, taken back"
    page.goto(f"{mypage}/charge?money=meal&amount=3000&method=card&do=confirm")
    yield "card"
    primary(page)
    yield "to the card's page"
    order_id, ref = charging.last(person)
    charging.gateway.card(ref, "visa")
    show_once_over(page, charging, order_id)
    yield "paid"
    for chain in (Chain.LAWSON, Chain.SEICOMART, Chain.SEVEN_ELEVEN):  # at the machine, at the till, off the screen
        yield from slip(page, charging, chain)
    order_id, ref = charging.last(person)
    charging.gateway.pay(ref, amount_yen=500)
    show_once_over(page, charging, order_id)
    yield "another amount"
    yield from _over(page, charging, person)
    page.goto(f"{mypage}/charges")
    yield "charges"
    yield from _links(page, charging)


def _over(page: Page, charging: Charging, person: Person) -> Iterator[str]:
    for end in ("cancelled", "expired", "late"):
        for _ in slip(page, charging, "lawson"):
            pass
        order_id, ref = charging.last(person)
        if end == "cancelled":
            follow(page.locator("button.danger"))
        else:
            charging.gateway.expire(ref)
        if end == "late":
            charging.gateway.pay(ref, late=True)
        show_once_over(page, charging, order_id)
        yield end


def _links(page: Page, charging: Charging) -> Iterator[str]:
    mypage = charging.live.mypage.url
    page.goto(f"{mypage}/charge/links")
    yield "links"
    primary(page)
    yield "links, nothing chosen"
    page.locator("input[value=meal]").check()
    primary(page)
    yield "a new link"
    page.goto(page.locator("#new-link").input_value())
    yield "for somebody"
    page.goto(f"{mypage}/charge?for=kcl_none")
    yield "a link that does not work"


@pytest.mark.parametrize("locale", LOCALES)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(charging: Charging, open_page: Open, locale: str) -> None:
    page = open_page(width=390, locale=locale)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)
    found = {name: [*violations(page, locale), *hidden_at_the_side(page)] for name in tour(page, charging)}
    assert not {name: each for name, each in found.items() if each}
    assert not complaints


def test_every_page_works_without_javascript(charging: Charging, open_page: Open) -> None:
    page = open_page(width=320, java_script_enabled=False)
    for _ in tour(page, charging):
        assert page.locator("h1").count() == 1


def test_a_reader_reads_the_barcode_off_a_small_screen(charging: Charging, open_page: Open) -> None:
    page = open_page(width=320, device_scale_factor=2)
    signed_in(page, charging, charging.member())
    for _ in slip(page, charging, "seven_eleven"):
        pass
    shown = Image.open(io.BytesIO(page.locator(".barcode").screenshot()))
    [read] = zxingcpp.read_barcodes(shown)
    digits = "".join(page.locator(".slip .digits").first.inner_text().split())
    assert (read.format, read.text) == (zxingcpp.BarcodeFormat.Code128, digits)


def test_a_reader_reads_the_link_off_its_qr_code(charging: Charging, open_page: Open) -> None:
    page = open_page(width=320, device_scale_factor=2)
    signed_in(page, charging, charging.member())
    for name in _links(page, charging):
        if name == "a new link":
            [read] = zxingcpp.read_barcodes(Image.open(io.BytesIO(page.locator(".qr").screenshot())))
            assert read.text == page.locator("#new-link").input_value()
