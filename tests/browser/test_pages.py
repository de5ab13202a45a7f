"""Every page in a real browser: accessible, on small screens, by keyboard, without JavaScript."""

from __future__ import annotations

from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.steps import enter_mypage
from tests.browser.tour import member_with_purchases, tour, user_code
from tests.live import Live

pytestmark = pytest.mark.browser

LOCALES = ["ja-JP", "en-GB"]


@pytest.mark.parametrize("locale", LOCALES)
def test_axe_finds_nothing_no_policy_is_broken_and_nothing_scrolls_sideways(
    live_server: Live, open_page: Open, locale: str
) -> None:
    page = open_page(width=390, locale=locale)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)

    found = {
        name: [*violations(page, locale), *hidden_at_the_side(page)]
        for name in tour(page, live_server, member_with_purchases(live_server))
    }

    assert not {name: each for name, each in found.items() if each}
    assert not complaints


def violations(page: Page, locale: str) -> list[str]:
    """What axe-core says of the page as it is now: the rule, and where. Once, in Japanese: it looks at structure and
    colours, which both languages share."""
    if locale != LOCALES[0]:
        return []
    result: dict[str, Any] = Axe().run(page)
    return [f"{rule['id']}: {node['html']}" for rule in result["violations"] for node in rule["nodes"]]


def hidden_at_the_side(page: Page) -> list[str]:
    """How far the page scrolls sideways on the smallest screen, 320 CSS pixels (WCAG 2.2, 1.4.10)."""
    usual = page.viewport_size
    assert usual is not None
    page.set_viewport_size({"width": 320, "height": 900})
    pixels = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.set_viewport_size(usual)
    return [f"{pixels} pixels too wide"] if pixels > 0 else []


def test_every_page_works_without_javascript(live_server: Live, open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    for _ in tour(page, live_server, member_with_purchases(live_server)):
        assert page.locator("h1").count() == 1


def test_a_member_signs_in_with_the_keyboard_alone(live_server: Live, open_page: Open) -> None:
    person = live_server.register()
    page = open_page()
    page.goto(live_server.mypage.url)

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="本文へ移動")).to_be_in_viewport()
    page.keyboard.press("Enter")
    tab_to(page, "ログイン")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{live_server.url}/login?**")

    tab_to(page, "メールアドレス")
    page.keyboard.type(person.email)
    page.keyboard.press("Tab")
    page.keyboard.type(person.password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{live_server.url}/login/code?**")
    digits = live_server.mailed_code(person.email)
    expect(page.get_by_label("確認コード")).to_be_focused()  # by itself, once the page is drawn: not at `load` yet
    page.keyboard.type(digits)
    page.keyboard.press("Enter")

    page.wait_for_url(f"{live_server.url}/oauth/authorize?**")
    tab_to(page, "取引履歴の取得")
    page.keyboard.press("Space")
    tab_to(page, "アクセスを許可する")
    page.keyboard.press("Enter")

    page.wait_for_url(f"{live_server.mypage.url}/")
    expect(page.get_by_text("取引履歴の取得が許可されていないため")).to_be_visible()
    tab_to(page, "ログアウト")
    page.keyboard.press("Enter")
    expect(page.get_by_text("ログアウトしました")).to_be_visible()
    assert page.url == f"{live_server.mypage.url}/"
    page.goto(f"{live_server.url}/logout")
    expect(page.get_by_text("ログアウト済みです")).to_be_visible()


def test_a_member_takes_a_permission_back_with_the_keyboard_alone(live_server: Live, open_page: Open) -> None:
    page = open_page(width=320)
    enter_mypage(page, live_server, live_server.register())

    for name in ("連携アプリ", "確認・変更", "取り消す", "この許可を取り消す"):
        tab_to(page, name)
        with page.expect_navigation():
            page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("許可を1つ取り消しました")
    for name in ("このアプリの許可を取り消す", "許可を取り消す"):
        tab_to(page, name)
        with page.expect_navigation():
            page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="許可しているアプリはありません")).to_be_visible()


def test_a_device_is_connected_with_the_keyboard_alone(live_server: Live, open_page: Open) -> None:
    page = open_page()
    enter_mypage(page, live_server, member_with_purchases(live_server))
    page.goto(f"{live_server.url}/oauth/device")

    expect(page.get_by_label("コード")).to_be_focused()
    page.keyboard.type(user_code(live_server))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{live_server.url}/oauth/device/consent?**")
    tab_to(page, "アクセスを許可する")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("連携しました")


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what is called `name` has the focus; each stop on the way shows that it has it."""
    for _ in range(20):
        page.keyboard.press("Tab")
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        focused = page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()")
        assert ring == "solid", focused
        if focused.startswith(name):
            return
    raise AssertionError(f"{name} cannot be reached")


def test_the_language_can_be_changed_on_any_page(live_server: Live, open_page: Open) -> None:
    page = open_page(width=390)
    enter_mypage(page, live_server, live_server.register())
    expect(page.get_by_role("heading", level=1)).to_have_text("組合 花子 さん")

    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, 組合 花子")
    page.goto(f"{live_server.url}/logout")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign out")
