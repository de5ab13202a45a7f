"""What a member does, step by step, as a member would do it: by the words on the page."""

from __future__ import annotations

from collections.abc import Collection

from playwright.sync_api import Page

from tests.live import Live, Person


def give_password(page: Page, live: Live, person: Person) -> None:
    """On the sign-in page."""
    page.get_by_label("メールアドレス").fill(person.email)
    page.get_by_label("パスワード").fill(person.password)
    page.get_by_role("button", name="確認コードを送信").click()
    page.wait_for_url(f"{live.url}/login/code?**")


def give_code(page: Page, live: Live, person: Person) -> None:
    """On the page that asks for the six digits."""
    page.get_by_label("確認コード").fill(live.mailed_code(person.email))
    page.get_by_role("main").locator("button.primary").click()


def sign_in(page: Page, live: Live, person: Person) -> None:
    give_password(page, live, person)
    give_code(page, live, person)


def allow(page: Page, live: Live, permissions: Collection[str] = ("balance", "history")) -> None:
    """On the page アクセス許可: tick these boxes and no others, and allow."""
    page.wait_for_url(f"{live.url}/oauth/authorize?**")
    for box in page.locator("input[name=permission]").all():
        box.set_checked(box.get_attribute("value") in permissions)
    page.get_by_role("button", name="アクセスを許可する").click()


def enter_mypage(page: Page, live: Live, person: Person) -> None:
    """From nothing to HOME."""
    page.goto(live.mypage.url)
    page.get_by_role("link", name="ログイン").click()
    sign_in(page, live, person)
    allow(page, live)
    page.wait_for_url(f"{live.mypage.url}/")
