"""A member charges: by card with a challenge, at a store, too late; in a real browser through real processes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.settings import Settings
from tests.browser.conftest import Open
from tests.browser.steps import allow, sign_in
from tests.charge.product import Charging, charging_product
from tests.conftest import TestServer
from tests.live import Person, eventually
from tests.oauth.office import kumiai_for

pytestmark = pytest.mark.browser

SHOTS = Path(__file__).parent.parent / "browser" / "screenshots"


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


def enter(page: Page, charging: Charging, person: Person) -> None:
    page.goto(charging.live.mypage.url)
    page.get_by_role("link", name="ログイン").click()
    sign_in(page, charging.live, person)
    allow(page, charging.live, ("balance", "history", "charge"))
    page.wait_for_url(f"{charging.live.mypage.url}/")


def choose(page: Page, *, steps: tuple[str, ...], money: str, method: str) -> None:
    """The first page of a charge: amounts by buttons, money, way to pay."""
    page.get_by_role("link", name="チャージ", exact=True).click()
    page.get_by_label(money).check()
    page.get_by_label(method).check()
    for step in steps:
        page.get_by_role("button", name=step, exact=True).click()
    page.get_by_role("button", name="確認へ進む").last.click()


def order_slip(page: Page, chain: str) -> None:
    page.get_by_label("お名前（カナ）").fill("くみあい ﾊﾅｺ")
    page.get_by_label("メールアドレス").fill("hanako@example.ac.jp")
    page.get_by_label("電話番号").fill("０９０－１２３４－５６７８")
    page.get_by_label(chain).check()
    page.get_by_role("button", name="確認へ進む").click()
    expect(page.get_by_text("クミアイ ハナコ")).to_be_visible()
    expect(page.get_by_text("09012345678")).to_be_visible()
    shot(page, "slip-check")
    page.get_by_role("button", name="この内容で申し込む").click()
    expect(page.get_by_role("heading", name="コンビニでお支払いください")).to_be_visible()


def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"charging-{name}.png", full_page=True)


def test_by_card_with_a_challenge(charging: Charging, open_page: Open) -> None:
    person = charging.member()
    page = open_page(width=375)
    enter(page, charging, person)
    choose(
        page,
        steps=("+¥3,000", "+¥1,000", "1つ戻す", "+¥1,000", "+¥1,000"),
        money="学食マネー",
        method="クレジットカード",
    )
    expect(page.get_by_text("¥0 → ¥5,000")).to_be_visible()
    shot(page, "card-confirm")
    page.get_by_role("button", name="この内容で申し込む").click()
    shot(page, "card-pending")
    page.get_by_role("link", name="お支払いページへ進む").click()
    page.wait_for_url(f"{charging.gateway.url}/**")
    page.goto(f"{page.url}?fill=challenge")
    page.click("button.pay")
    page.wait_for_url("**/challenge")
    page.fill("#code", page.inner_text(".sms .number"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{charging.live.mypage.url}/charge/**")
    expect(page.get_by_role("heading", name="チャージしました")).to_be_visible()
    expect(page.get_by_text("¥5,000").last).to_be_visible()
    shot(page, "card-paid")
    page.get_by_role("link", name="控えを見る").click()
    expect(page.get_by_text("¥5,000").first).to_be_visible()
    assert charging.balance_yen(person, charging.meal) == 5_000


def test_at_a_store_and_the_page_follows_by_itself(charging: Charging, open_page: Open) -> None:
    person = charging.member()
    page, counter = open_page(width=375), open_page()
    enter(page, charging, person)
    choose(page, steps=("+¥3,000",), money="教科書マネー", method="コンビニ")
    shot(page, "slip-form")
    order_slip(page, "セイコーマート")
    shot(page, "slip")
    digits = re.sub(r"\s", "", page.locator(".slip .digits").first.inner_text())
    counter.goto(f"{charging.gateway.url}/store/seicomart")
    fields = counter.locator("main input[type=text], main input[type=tel]").all()
    for field, value in zip(fields, (digits, "09012345678"), strict=True):
        field.fill(value)
    counter.click("button.key")
    counter.wait_for_selector("[name=pay]")
    counter.click("[name=pay]")
    eventually(lambda: charging.balance_yen(person, charging.textbook) == 3_000 or None)
    expect(page.get_by_role("heading", name="チャージしました")).to_be_visible()
    shot(page, "slip-paid")


def test_a_slip_that_ran_out_and_is_paid_late(charging: Charging, open_page: Open) -> None:
    """The member and the office see what became of it."""
    person = charging.member()
    page = open_page(width=375)
    enter(page, charging, person)
    choose(page, steps=("+¥1,000",), money="学食マネー", method="コンビニ")
    order_slip(page, "ローソン")
    order_id, ref = charging.last(person)
    charging.gateway.expire(ref)
    expect(page.get_by_role("heading", name="お支払い期限が過ぎました")).to_be_visible()
    shot(page, "expired")
    charging.gateway.pay(ref, late=True)
    eventually(lambda: charging.balance_yen(person, charging.meal) == 1_000 or None)
    page.reload()
    expect(page.get_by_role("heading", name="期限後のお支払いをチャージしました")).to_be_visible()
    shot(page, "late")
    page.goto(f"{charging.live.mypage.url}/charges")
    expect(page.get_by_text("期限後にチャージ")).to_be_visible()
    shot(page, "list")
    shown = kumiai_for(charging.live.settings)("charge", "show", str(order_id)).output
    assert "paid late" in shown
    assert "credited" in shown


def test_changing_the_store_and_cancelling(charging: Charging, open_page: Open) -> None:
    person = charging.member()
    page = open_page(width=320, java_script_enabled=False)
    enter(page, charging, person)
    choose(page, steps=("+¥1,000",), money="学食マネー", method="コンビニ")
    order_slip(page, "ファミリーマート")
    page.get_by_label("ほかのコンビニで支払う").select_option(label="セブン-イレブン")
    page.get_by_role("button", name="コンビニを変える").click()
    expect(page.locator(".slip").get_by_text("セブン-イレブン")).to_be_visible()
    shot(page, "seven")
    page.get_by_role("button", name="このチャージを取り消す").click()
    expect(page.get_by_role("heading", name="チャージを取り消しました")).to_be_visible()
    shot(page, "cancelled")


def test_a_guardian_charges_for_a_student(charging: Charging, open_page: Open) -> None:
    """The student makes a link; the guardian, who signs in on the way, pays; neither sees what is the other's."""
    student, guardian = charging.member(), charging.member()
    page = open_page(width=320, java_script_enabled=False)
    enter(page, charging, student)
    page.get_by_role("link", name="チャージ", exact=True).click()
    page.get_by_role("link", name="だれかにチャージしてもらう").click()
    page.get_by_label("学食マネー").check()
    page.get_by_label("相手に見える名前").fill("花子")
    page.get_by_role("button", name="リンクを作る").click()
    address = page.get_by_label("リンク", exact=True).input_value()
    shot(page, "link")
    page.reload()
    assert address not in page.content()
    shot(page, "links")

    other = open_page(width=375)
    other.goto(address)
    sign_in(other, charging.live, guardian)
    allow(other, charging.live, ("balance", "history", "charge"))
    expect(other.get_by_role("heading", name="花子さんにチャージ")).to_be_visible()
    shot(other, "for-somebody")
    other.get_by_label("コンビニ").check()
    other.get_by_role("button", name="+¥1,000", exact=True).click()
    other.get_by_role("button", name="確認へ進む").last.click()
    order_slip(other, "セイコーマート")
    shot(other, "for-somebody-slip")
    order_id, ref = charging.last(guardian)
    page.goto(f"{charging.live.mypage.url}/charge/{order_id}")
    expect(page.get_by_role("heading", name="ほかの方がチャージの手続き中です")).to_be_visible()
    assert "09012345678" not in page.content()
    shot(page, "coming")
    charging.gateway.pay(ref)
    expect(other.get_by_role("heading", name="チャージしました")).to_be_visible()
    shot(other, "for-somebody-paid")
    page.reload()
    expect(page.get_by_role("link", name="控えを見る")).to_be_visible()
    assert (charging.balance_yen(student, charging.meal), charging.balance_yen(guardian, charging.meal)) == (1_000, 0)

    page.goto(f"{charging.live.mypage.url}/charge/links")
    page.get_by_role("button", name="停止").click()
    other.goto(address)
    expect(other.get_by_text("このリンクは使えません")).to_be_visible()
    shot(other, "link-gone")
