"""The member's charging pages in a real browser: accessible, narrow, without script, and a barcode that reads."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from app.charge.ports import Chain
from app.settings import Settings
from tests.browser.conftest import Open
from tests.browser.test_pages import LOCALES, hidden_at_the_side, tab_to, violations
from tests.browser.tour import follow
from tests.charge.product import Charging, charging_product
from tests.conftest import TestServer
from tests.live import Person, eventually

pytestmark = pytest.mark.browser

ENDS = {
    "cancelled": "チャージを取り消しました|The charge was cancelled",
    "expired": "お支払い期限が過ぎました|The deadline has passed",
    "failed": "チャージできませんでした|The charge failed",
    "late": "期限後のお支払いをチャージしました|Your late payment was charged",
    "twice": "二重のお支払いを確認しました|You paid more than once",
    "another amount": "お支払いを確認しています|We are looking into your payment",
}
"""How an order may end, and how its page is headed then."""

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


def show(page: Page, charging: Charging, order_id: UUID, heading: str) -> None:
    """The page of an order, once it says so in either language."""

    def look() -> bool | None:
        page.goto(f"{charging.live.mypage.url}/charge/{order_id}")
        return re.fullmatch(heading, page.locator("h1").inner_text()) is not None or None

    eventually(look)


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
    show(page, charging, order_id, "チャージしました|Charged")
    yield "paid"
    for chain in (Chain.LAWSON, Chain.SEICOMART, Chain.SEVEN_ELEVEN):  # at the machine, at the till, off the screen
        yield from slip(page, charging, chain)
    page.locator("#other-chain").select_option(Chain.FAMILYMART)
    follow(page.locator("section[aria-labelledby=change] button").first)
    yield "slip of another chain"
    yield from _over(page, charging, person)
    page.goto(f"{mypage}/charges")
    yield "charges"
    yield from _links(page, charging)


def _over(page: Page, charging: Charging, person: Person) -> Iterator[str]:
    """Each way in which an order ends without its money, or with other money than was ordered."""
    for end, heading in ENDS.items():
        for _ in slip(page, charging, "lawson"):
            pass
        order_id, ref = charging.last(person)
        if end == "cancelled":
            follow(page.locator("button.danger"))
        elif end == "another amount":
            charging.gateway.pay(ref, amount_yen=500)
        elif end == "twice":
            charging.gateway.pay(ref, times=2)
        elif end == "failed":
            charging.gateway.fail(ref)
        else:
            charging.gateway.expire(ref)
        if end == "late":
            eventually(lambda id_=order_id: charging.is_over(id_) or None)  # type: ignore[misc]
            charging.gateway.pay(ref, late=True)
        show(page, charging, order_id, heading)
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
    found = {
        name: [*violations(page, locale), *hidden_at_the_side(page), *too_small(page)] for name in tour(page, charging)
    }
    assert not {name: each for name, each in found.items() if each}
    assert not complaints


def too_small(page: Page) -> list[str]:
    """What is touched, and is less than 44 pixels tall: a box by the whole of its line; links within words apart."""
    low: list[str] = page.evaluate("""
        () => [...document.querySelectorAll("main :is(a, button, select, input:not([type=hidden]))")]
          .filter((each) => !each.matches(".unseen, .notice a"))
          .map((each) => [each, (each.closest(".choice") ?? each).getBoundingClientRect().height])
          .filter(([, height]) => height < 44)
          .map(([each, height]) => `${height} pixels tall: ${each.outerHTML.slice(0, 80)}`)
    """)
    return low


def test_every_page_works_without_javascript(charging: Charging, open_page: Open) -> None:
    page = open_page(width=320, java_script_enabled=False)
    for _ in tour(page, charging):
        assert page.locator("h1").count() == 1


def test_a_charge_is_ordered_and_cancelled_with_the_keyboard_alone(charging: Charging, open_page: Open) -> None:
    page = open_page(width=320, java_script_enabled=False)
    signed_in(page, charging, charging.member())
    for button in ("+¥1,000", "+¥3,000", "+¥5,000", "1つ戻す"):
        press(page, "Enter", tab_to_first=button)
        expect(page.get_by_role("button", name=button, exact=True)).to_be_focused()  # still: the next is not far
    expect(page.get_by_label("金額（円）")).to_have_value("4000")
    tab_to(page, "学食マネー")
    page.keyboard.press("Space")
    tab_to(page, "クレジットカード")
    page.keyboard.press("ArrowDown")
    press(page, "Enter")

    typed = {"お名前（カナ）": "くみあい", "メールアドレス": CONTACT["email"], "電話番号": "0312345678"}
    for label, words in typed.items():
        tab_to(page, label)
        page.keyboard.type(words)
    tab_to(page, "ローソン")
    page.keyboard.press("Space")
    press(page, "Enter")
    expect(page.get_by_text("クミアイ")).to_be_visible()
    press(page, "Enter", tab_to_first="戻って直す")
    expect(page.get_by_label("電話番号")).to_have_value("0312345678")
    press(page, "Enter", tab_to_first="確認へ進む")
    press(page, "Enter", tab_to_first="この内容で申し込む")
    expect(page.locator(".slip")).to_contain_text("031 234 5678")
    press(page, "Enter", tab_to_first="このチャージを取り消す")
    expect(page.get_by_role("heading", level=1)).to_have_text("チャージを取り消しました")


def press(page: Page, key: str, *, tab_to_first: str = "") -> None:
    """Press, and wait for the page it leads to."""
    if tab_to_first:
        tab_to(page, tab_to_first)
    with page.expect_navigation():
        page.keyboard.press(key)


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("dots", [1, 2, 3])
def test_a_reader_reads_the_barcode(charging: Charging, open_page: Open, width: int, dots: int) -> None:
    """Off any screen, off the small ones too, and off paper."""
    page = open_page(width=width, device_scale_factor=dots)
    signed_in(page, charging, charging.member())
    for _ in slip(page, charging, "seven_eleven"):
        pass
    digits = "".join(page.locator(".slip .digits").inner_text().split())
    for media in ("screen", "print"):
        page.emulate_media(media=media)  # type: ignore[arg-type]
        assert read_by_machine(page.locator(".barcode")) == (zxingcpp.BarcodeFormat.Code128, digits)
        shown = page.locator(".barcode svg").bounding_box()
        assert shown is not None
        assert shown["width"] == 2 * 143, "two pixels for each module, wherever it is shown"


def test_a_slip_on_paper_is_the_slip_and_nothing_to_press(charging: Charging, open_page: Open) -> None:
    page = open_page(width=700)
    signed_in(page, charging, charging.member())
    for _ in slip(page, charging, "seven_eleven"):
        pass
    page.emulate_media(media="print")
    for each in page.locator("a.button, button, select, header nav, footer").all():
        expect(each).to_be_hidden()
    for words in ("セブン-イレブン", "払込票番号", "お支払い期限", "お支払い方法"):
        expect(page.get_by_text(words).first).to_be_visible()


def read_by_machine(picture: Locator) -> tuple[zxingcpp.BarcodeFormat, str]:
    """What a reader finds in a picture as the screen shows it."""
    [read] = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.screenshot())))
    return read.format, read.text


def test_a_reader_reads_the_link_off_its_qr_code(charging: Charging, open_page: Open) -> None:
    page = open_page(width=320, device_scale_factor=2)
    signed_in(page, charging, charging.member())
    for name in _links(page, charging):
        if name == "a new link":
            assert read_by_machine(page.locator(".qr"))[1] == page.locator("#new-link").input_value()
