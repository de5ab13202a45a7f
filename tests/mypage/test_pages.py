"""The member page over HTTP, against the real server: signing in, HOME, history, signing out."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from itertools import chain
from urllib.parse import urljoin

import pytest
import requests
from sqlalchemy import select

from app.db import transaction
from app.mypage.factory import create_mypage
from app.oauth import grants_service
from app.oauth.models import OAuthGrant
from app.wallet import ledger
from app.wallet.postings import Accepted, Payment
from app.wallet.spend_control import GrantControls
from app.web.protection import protection_of
from tests import factories
from tests.live import Live, Person
from tests.mypage.visitor import Visitor


def wallet_of(live: Live, person: Person, *, balance_yen: int) -> tuple[str, str]:
    """A wallet with a money of its own; returns the money's code and the name of a shop that takes it."""
    with live.app.app_context():
        money = factories.money(name_ja="試験マネー", name_en="Trial money")
        factories.wallet(member_id=person.id, money=money)
        factories.charge(member_id=person.id, money=money, amount_yen=balance_yen)
    return money, "中央食堂"


def pay(live: Live, person: Person, money: str, *amounts_yen: int) -> None:
    with live.app.app_context():
        shop_id = factories.shop(accepts=[money])
        for amount_yen in amounts_yen:
            outcome = ledger.post(
                Payment(
                    requester="test",
                    request_id=secrets.token_hex(8),
                    params_hash=b"payment",
                    member_id=person.id,
                    money=money,
                    shop_id=shop_id,
                    amount_yen=amount_yen,
                    controls=(),
                    description="昼食 <A>定食",
                )
            )
            assert isinstance(outcome, Accepted), outcome


def revoke_grant(live: Live, person: Person) -> None:
    with live.app.app_context(), transaction() as session:
        grant_id = session.scalars(select(OAuthGrant.id).where(OAuthGrant.member_id == person.id)).one()
        grants_service.revoke(grant_id=grant_id, controls=GrantControls())


def test_home_shows_name_balances_and_latest_transactions(live_server: Live, visitor: Visitor, person: Person) -> None:
    money, shop = wallet_of(live_server, person, balance_yen=2_000)
    pay(live_server, person, money, 450)

    home = visitor.enter(person)

    assert home.url == visitor.home
    for text in ("組合 花子 さん", "試験マネー", "¥1,550", shop, "昼食 &lt;A&gt;定食", "−¥450", "+¥2,000", "チャージ"):
        assert text in home.text


def test_connected_apps_are_one_click_from_home_and_taking_all_back_signs_out(
    live_server: Live, visitor: Visitor, person: Person
) -> None:
    home = visitor.enter(person)
    link = re.search(r'<a href="([^"]+)">連携アプリ</a>', home.text)
    assert link
    assert link[1] == f"{live_server.url}/account/apps"

    apps = visitor.get(link[1])
    assert apps.url == link[1], "the member is signed in there still"
    assert "組合員マイページ" in apps.text
    assert "生協のページ" in apps.text
    assert f'href="{live_server.mypage.url}"' in apps.text

    visitor.submit(visitor.get(f"{link[1]}/revoke-all"))
    assert "アクセス許可が取り消されたか、期限が切れています" in visitor.get(visitor.home).text


def test_who_is_signed_out_at_the_server_signs_in_and_comes_to_the_apps(
    live_server: Live, new_visitor: Callable[..., Visitor], person: Person
) -> None:
    visitor = new_visitor()
    page = visitor.get(f"{live_server.url}/account/apps")
    assert page.url == f"{live_server.url}/login?next=/account/apps"
    page = visitor.submit(page, email=person.email, password=person.password)
    page = visitor.submit(page, code=live_server.mailed_code(person.email))
    onward = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page.text)
    assert onward
    assert "許可しているアプリはありません" in visitor.get(urljoin(page.url, unescape(onward[1]))).text


def test_the_first_page_leads_strangers_to_no_apps(visitor: Visitor) -> None:
    assert "/account/apps" not in visitor.get(visitor.home).text


def test_home_in_english(live_server: Live, new_visitor: Callable[..., Visitor], person: Person) -> None:
    money, _ = wallet_of(live_server, person, balance_yen=2_000)
    pay(live_server, person, money, 450)

    home = new_visitor(locale="en").enter(person)

    assert '<html lang="en">' in home.text
    for text in ("Hello, 組合 花子", "Trial money", "Central Canteen", "Latest activity", "Sign out"):
        assert text in home.text


def test_tokens_are_only_in_a_sealed_cookie(visitor: Visitor, person: Person) -> None:
    home = visitor.enter(person)

    tokens = visitor.opened()["tokens"]
    assert tokens["access_token"].startswith("kat_")
    assert "id_token" not in tokens, "kept once, beside them"
    assert tokens["access_token"] not in visitor.cookie.value + home.text
    assert visitor.cookie.has_nonstandard_attr("HttpOnly")
    assert visitor.cookie.get_nonstandard_attr("SameSite") == "Lax"
    assert home.headers["Cache-Control"] == "no-store"


def test_a_page_of_the_history_follows_the_other(live_server: Live, visitor: Visitor, person: Person) -> None:
    money, _ = wallet_of(live_server, person, balance_yen=9_000)
    pay(live_server, person, money, *range(101, 143))

    page = visitor.enter(person)
    pages = [page]
    while more := re.search(r'href="(/history\?cursor=[^"]+)"', page.text):
        page = visitor.get(f"{live_server.mypage.url}{more[1]}")
        pages.append(page)

    seen = [re.findall(r'class="amount">[+−]¥([0-9,]+)<', page.text) for page in pages]
    assert [len(page) for page in seen] == [10, 30, 3]
    assert [*chain.from_iterable(seen)] == [*(str(amount) for amount in reversed(range(101, 143))), "9,000"]


def test_a_place_in_the_history_that_does_not_exist(visitor: Visitor, person: Person) -> None:
    visitor.enter(person)
    page = visitor.get(f"{visitor.home}history?cursor=nowhere")
    assert page.status_code == 404
    assert "ページが見つかりませんでした" in page.text


def test_history_is_for_members_who_are_signed_in(visitor: Visitor, person: Person) -> None:
    page = visitor.get(f"{visitor.home}history?kind=payment")
    assert page.url.startswith(f"{visitor.live.url}/login?")
    assert visitor.decide(visitor.sign_in(person, page), ["history"]).url == f"{visitor.home}history?kind=payment"


def test_what_was_not_allowed_is_not_shown_and_can_be_allowed_later(
    live_server: Live, visitor: Visitor, person: Person
) -> None:
    wallet_of(live_server, person, balance_yen=2_000)

    home = visitor.enter(person, ["balance"])
    assert "¥2,000" in home.text
    assert "取引履歴の取得が許可されていないため" in home.text
    assert "取引履歴の取得が許可されていません" in visitor.get(f"{visitor.home}history").text

    consent = visitor.get(f"{visitor.home}login?consent=1")
    home = visitor.decide(consent, ["history"])
    assert "+¥2,000" in home.text
    assert "許可されていない" not in home.text


def test_nothing_allowed_but_the_name(visitor: Visitor, person: Person) -> None:
    home = visitor.enter(person, [])
    assert home.status_code == 200
    assert "アクセス許可を追加する" in home.text


def test_cancel_at_consent_leads_to_a_friendly_page(visitor: Visitor, person: Person) -> None:
    page = visitor.decide(visitor.sign_in(person), ["balance"], decision="cancel")

    assert page.url == visitor.home
    assert "アクセスは許可されませんでした" in page.text
    assert 'href="/login"' in page.text
    assert "tokens" not in visitor.opened()


@pytest.mark.parametrize("change", [{"state": "of-another"}, {"state": ""}])
def test_an_answer_to_another_sign_in_is_refused(visitor: Visitor, change: dict[str, str]) -> None:
    visitor.get(f"{visitor.home}login", allow_redirects=False)
    answer = {"code": "kac_x", "iss": visitor.live.url, "state": visitor.opened()["attempt"]["state"], **change}
    page = visitor.get(f"{visitor.home}callback", params=answer)
    assert "ログインを完了できませんでした" in page.text


@pytest.mark.parametrize("iss", ["https://other.example", None])
def test_an_answer_from_another_server_is_refused(visitor: Visitor, iss: str | None) -> None:
    """RFC 9207: mix-up. With the right `iss` the same answer goes on to the token endpoint, which refuses the code."""
    visitor.get(f"{visitor.home}login", allow_redirects=False)
    answer = {"error": "access_denied", "iss": iss, "state": visitor.opened()["attempt"]["state"]}
    page = visitor.get(f"{visitor.home}callback", params=answer)
    assert "ログインできませんでした" in page.text
    assert "アクセスは許可されませんでした" not in page.text


def test_a_code_that_the_server_refuses(visitor: Visitor) -> None:
    visitor.get(f"{visitor.home}login", allow_redirects=False)
    answer = {"code": "kac_unknown", "iss": visitor.live.url, "state": visitor.opened()["attempt"]["state"]}
    page = visitor.get(f"{visitor.home}callback", params=answer)
    assert page.status_code == 200
    assert "ログインできませんでした" in page.text


def test_going_back_to_a_used_answer_disturbs_nobody(visitor: Visitor, person: Person) -> None:
    home = visitor.enter(person)
    again = visitor.get(home.history[-1].url)
    assert again.url == visitor.home
    assert "組合 花子 さん" in again.text
    assert 'class="notice"' not in again.text


def test_an_expired_access_token_is_renewed(visitor: Visitor, person: Person) -> None:
    visitor.enter(person)
    before = visitor.opened()["tokens"]
    visitor.reseal(tokens={**before, "expires_at": int(time.time()) - 1})

    home = visitor.get(visitor.home)

    assert "組合 花子 さん" in home.text
    after = visitor.opened()["tokens"]
    assert after["access_token"] != before["access_token"]
    assert after["refresh_token"] != before["refresh_token"]
    assert after["expires_at"] > time.time()


def test_parallel_pages_may_renew_the_same_tokens(visitor: Visitor, person: Person) -> None:
    visitor.enter(person)
    visitor.reseal(tokens={**visitor.opened()["tokens"], "expires_at": int(time.time()) - 1})
    cookies = {visitor.cookie.name: visitor.cookie.value}

    def load(_: int) -> requests.Response:
        return requests.get(visitor.home, cookies=cookies, headers={"Accept-Language": "ja"}, timeout=30)

    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(load, range(4)))

    assert all("組合 花子 さん" in page.text for page in pages)


@pytest.mark.parametrize("expired", [False, True], ids=["access token refused", "refresh token refused"])
def test_withdrawn_permission_signs_out_and_says_why(
    live_server: Live, visitor: Visitor, person: Person, expired: bool
) -> None:
    visitor.enter(person)
    if expired:
        visitor.reseal(tokens={**visitor.opened()["tokens"], "expires_at": int(time.time()) - 1})
    revoke_grant(live_server, person)

    page = visitor.get(visitor.home)

    assert "アクセス許可が取り消されたか、期限が切れています" in page.text
    assert "tokens" not in visitor.opened()
    assert "アクセス許可が取り消されたか" not in visitor.get(visitor.home).text


def test_sign_out_gives_the_tokens_back_and_ends_both_sessions(
    live_server: Live, visitor: Visitor, person: Person
) -> None:
    home = visitor.enter(person)
    tokens = visitor.opened()["tokens"]
    assert _me(live_server, tokens) == 200

    page = visitor.submit(home, form="/logout")

    assert page.url == visitor.home, "one click: the ID token shows whose session it is"
    assert "ログアウトしました" in page.text
    assert "ログアウトしました" not in visitor.get(visitor.home).text
    assert 'href="/login"' in page.text
    assert _me(live_server, tokens) == 401
    assert not visitor.opened().keys() & {"tokens", "id_token"}
    assert "ログアウト済みです" in visitor.get(f"{live_server.url}/logout").text


def test_signing_out_of_a_cookie_from_before_there_were_id_tokens_in_it(visitor: Visitor, person: Person) -> None:
    home = visitor.enter(person)
    visitor.reseal(id_token=None)
    page = visitor.submit(home, form="/logout")
    assert "ログアウトしますか" in page.text
    assert visitor.submit(page, form="/oauth/logout/confirmed").url == visitor.home


def test_who_is_signed_in_is_not_told_to_be_signed_out(visitor: Visitor, person: Person) -> None:
    visitor.enter(person)
    page = visitor.get(f"{visitor.home}signed-out")
    assert "組合 花子 さん" in page.text
    assert "ログアウトしました" not in page.text


def _me(live: Live, tokens: dict[str, str]) -> int:
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    return requests.get(f"{live.url}/v1/me", headers=bearer, timeout=30).status_code


def test_no_other_site_can_sign_a_member_out(visitor: Visitor, person: Person) -> None:
    visitor.enter(person)
    refused = visitor.post(f"{visitor.home}logout")
    assert refused.status_code == 400
    assert "画面の有効期限が切れました" in refused.text
    assert "組合 花子 さん" in visitor.get(visitor.home).text


def test_a_form_may_end_at_the_server_and_nowhere_else(visitor: Visitor, person: Person) -> None:
    policy = visitor.enter(person).headers["Content-Security-Policy"]
    assert f"form-action 'self' {visitor.live.url}" in policy
    assert "default-src 'none'" in policy


def test_every_view_declares_its_protection(live_server: Live) -> None:
    app = create_mypage(live_server.mypage)
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert not [each for each in endpoints if protection_of(app.view_functions[each]) is None]
