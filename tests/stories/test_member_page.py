"""A member's day with the member page, on a phone: a shop's QR code, points first, the receipt, a move, her own code.

The till is a program over HTTP, as any till is; the member uses Chromium and nothing else.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.steps import sign_in
from tests.browser.tour import follow
from tests.live import Live
from tests.mypage.stall import stall as make_stall

pytestmark = pytest.mark.browser


def test_hanako_pays_moves_and_shows_her_code(live_server: Live, open_page: Open) -> None:
    stall = make_stall(live_server)
    hanako = stall.member(base_yen=3_000, meal_yen=400, points_yen=120)
    page = open_page(width=375, height=800)

    # She opens what the shop's QR code says, signs in, and allows payments with everything else.
    page.goto(stall.code(450, description="A定食")["url"])
    sign_in(page, live_server, hanako)
    page.wait_for_url(f"{live_server.url}/oauth/authorize?**")
    assert not page.locator("input[value=payment]").is_checked(), "payment is never ticked beforehand"
    for box in page.locator("input[name=permission]").all():
        box.check()
    page.get_by_role("button", name="アクセスを許可する").click()

    # Points go first; she sees what would be left, pays, and has the receipt.
    expect(page.get_by_role("heading", level=1)).to_have_text("中央食堂への支払い")
    expect(page.get_by_role("radio").first).to_be_checked()
    expect(page.locator("main")).to_contain_text("ポイント ¥120 ＋ 学食マネー ¥330")
    follow(page.get_by_role("button", name="¥450 を支払う"))
    expect(page.get_by_role("heading", level=1)).to_have_text("支払いました")
    assert stall.balances(hanako) == {"base": 3_000, "meal": 70, "points": 3}
    page.reload()
    assert stall.balances(hanako)["meal"] == 70
    follow(page.get_by_role("link", name="この取引の詳細"))
    expect(page.get_by_role("link", name="証明ページを開く")).to_be_visible()

    _move_1_500(page, live_server)
    assert stall.balances(hanako) == {"base": 1_500, "meal": 1_570, "points": 3}

    # The till reads her code; the page says so by itself.
    page.goto(live_server.mypage.url)
    follow(page.get_by_role("link", name="支払いコード"))
    digits = "".join(page.locator(".digits").inner_text().split())
    assert stall.scan(digits, 380, description="カレー").status_code == 201
    page.wait_for_url(f"{live_server.mypage.url}/code/used/**")
    expect(page.get_by_role("heading", level=1)).to_have_text("支払いました")
    expect(page.locator("main")).to_contain_text("カレー")
    assert stall.balances(hanako)["meal"] == 1_570 - 377

    page.goto(f"{live_server.mypage.url}/history")
    kinds = [text for text in ("A定食", "カレー", "マネー移動") if text in page.locator("main").inner_text()]
    assert kinds == ["A定食", "カレー", "マネー移動"]


def _move_1_500(page: Page, live: Live) -> None:
    """With a press too many, taken back."""
    page.goto(f"{live.mypage.url}/move")
    for name in ("+¥1,000", "+¥500", "+¥500", "1つ戻す"):
        follow(page.get_by_role("button", name=name, exact=True))
    expect(page.get_by_label("金額（円）")).to_have_value("1500")
    page.get_by_label("金額（円）").press("Enter")
    expect(page.locator("main")).to_contain_text("移動前 ¥3,000 → 移動後 ¥1,500")
    follow(page.get_by_role("button", name="移動する"))
    expect(page.get_by_role("heading", level=1)).to_have_text("移動しました")
