"""支払う: what a shop's QR code opens, from a browser that knows nobody to the receipt; and how it can go wrong."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlalchemy import text

from app.db import transaction
from tests.live import Live
from tests.mypage.stall import ALL, Stall
from tests.mypage.visitor import Visitor, hidden


def age_sign_in(live: Live, member_id: object) -> None:
    """As if the member had signed in an hour ago, in every session and token."""
    with live.app.app_context(), transaction() as session:
        for table in ("oauth_token", "member_session"):
            statement = f"UPDATE {table} SET auth_time = auth_time - interval '1 hour' WHERE member_id = :id"
            session.execute(text(statement), {"id": member_id})


def test_from_the_shops_qr_code_through_sign_in_and_consent_to_the_receipt(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    shown = stall.code(450, description="A定食")

    page = visitor.get(shown["url"])
    assert page.url.startswith(f"{visitor.live.url}/login?")
    page = visitor.decide(visitor.sign_in(person, page), ALL)
    assert page.url == shown["url"]
    for said in (
        "中央食堂への支払い",
        "¥450",
        "A定食",
        "ポイント ¥120",
        "学食マネー ¥330",
        "学食マネー ¥670",
        "ポイント ¥0",
    ):
        assert said in page.text, said

    paid = visitor.submit(page, form="/pay", **hidden(page, "/pay"))
    assert "/pay/done/" in paid.url
    assert person.email not in paid.url
    for said in ("支払いました", "−¥117", "+¥3", "−¥330", "¥670", "中央食堂", "レシート番号"):
        assert said in paid.text, said
    assert stall.balances(person) == {"base": 3_000, "meal": 670, "points": 3}
    assert "支払いました" in visitor.get(paid.url).text, "a reload says the same"
    assert paid.headers["Cache-Control"] == "no-store"


def test_a_form_sent_twice_pays_once(stall: Stall, visitor: Visitor) -> None:
    person = stall.member(points_yen=0)
    visitor.enter(person, ALL)
    page = visitor.get(stall.code(200)["url"])
    fields = hidden(page, "/pay")
    first, second = (visitor.submit(page, form="/pay", **fields) for _ in range(2))
    assert first.url == second.url
    assert "支払いました" in second.text
    assert stall.balances(person)["meal"] == 800


def test_points_may_be_kept_and_another_money_chosen(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    visitor.enter(person, ALL)
    page = visitor.get(stall.code(450)["url"])
    offered = re.findall(r'name="way" value="([^"]+)"', page.text)
    assert offered == [f"{money}:{how}" for money in (stall.meal, stall.base) for how in ("points_first", "money_only")]
    paid = visitor.submit(page, form="/pay", **{**hidden(page, "/pay"), "way": f"{stall.base}:money_only"})
    assert "支払いました" in paid.text
    assert stall.balances(person) == {"base": 2_550, "meal": 1_000, "points": 120}


def test_a_code_for_one_money_offers_that_one(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(points_yen=0), ALL)
    page = visitor.get(stall.code(300, money=stall.base)["url"])
    assert re.findall(r'name="way" value="([^"]+)"', page.text) == [f"{stall.base}:points_first"]


def test_what_is_missing_is_said(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(base_yen=0, meal_yen=100, points_yen=20), ALL)
    page = visitor.get(stall.code(450)["url"])
    assert "いまお持ちのマネーでは支払えません" in page.text
    assert "残高が ¥330 足りません" in page.text
    assert "チャージしてから" in page.text
    assert 'name="way"' not in page.text


def test_a_balance_that_went_in_between(stall: Stall, visitor: Visitor, new_visitor: Callable[..., Visitor]) -> None:
    person = stall.member(base_yen=0, points_yen=0)
    visitor.enter(person, ALL)
    pages = [visitor.get(stall.code(600)["url"]) for _ in range(2)]
    assert "支払いました" in visitor.submit(pages[0], form="/pay", **hidden(pages[0], "/pay")).text
    refused = visitor.submit(pages[1], form="/pay", **hidden(pages[1], "/pay"))
    assert "支払えませんでした" in refused.text
    assert "残高が足りません" in refused.text
    assert stall.balances(person)["meal"] == 400


def test_codes_that_cannot_be_paid_say_why(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    visitor.enter(person, ALL)
    cancelled, expired, used = (stall.code(100) for _ in range(3))
    stall.ask("DELETE", f"/shop-codes/{cancelled['id']}")
    with stall.live.app.app_context(), transaction() as session:
        session.execute(text("UPDATE one_time_code SET expires_at = now() WHERE id = :id"), {"id": expired["id"]})
    page = visitor.get(used["url"])
    visitor.submit(page, form="/pay", **hidden(page, "/pay"))

    said = {"取り消されています": cancelled, "期限が過ぎています": expired, "使用済みです": used}
    for words, code in said.items():
        page = visitor.get(code["url"])
        assert words in page.text
        assert 'name="way"' not in page.text
    for typed in ("2100000000000000000000", "日本", "x" * 300):
        assert "このコードは見つかりませんでした" in visitor.get(f"{visitor.home}pay", params={"code": typed}).text
    assert "コードを入力してください" in visitor.get(f"{visitor.home}pay?code=").text


def test_a_code_may_be_typed_with_spaces_and_wide_digits(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ALL)
    digits = stall.code(100)["code"]
    wide = " ".join(re.findall(".{1,4}", digits)).translate({ord(str(n)): 0xFF10 + n for n in range(10)})
    assert "中央食堂への支払い" in visitor.get(f"{visitor.home}pay", params={"code": wide}).text


def test_without_the_permission_it_is_explained_and_can_be_given(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    visitor.enter(person, ["history"])
    page = visitor.get(stall.code(450)["url"])
    assert page.status_code == 403
    assert "支払いが許可されていません" in page.text
    onward = re.search(r'href="(/login\?consent=1&amp;next=[^"]+)"', page.text)
    assert onward
    page = visitor.get(f"{visitor.live.mypage.url}{onward[1].replace('&amp;', '&')}")
    page = visitor.decide(page, ["payment"])
    assert "中央食堂への支払い" in page.text
    assert "支払い後の残高" not in page.text, "balances were not allowed"
    assert "支払いました" in visitor.submit(page, form="/pay", **hidden(page, "/pay")).text


def test_a_large_payment_asks_for_another_sign_in_and_is_the_very_same_afterwards(
    stall: Stall, visitor: Visitor
) -> None:
    person = stall.member(meal_yen=3_000, points_yen=0)
    visitor.enter(person, ALL)
    age_sign_in(visitor.live, person.id)

    page = visitor.get(stall.code(2_600)["url"])
    assert "このあと本人確認のためにもう一度ログインしていただきます" in page.text
    fields = hidden(page, "/pay")
    page = visitor.submit(page, form="/pay", **fields)
    assert page.url.startswith(f"{visitor.live.url}/login?"), page.url
    assert stall.balances(person)["meal"] == 3_000
    paid = visitor.sign_in(person, page)
    assert paid.url == f"{visitor.home}pay/done/{fields['key']}"
    assert "支払いました" in paid.text
    assert stall.balances(person)["meal"] == 400
    assert visitor.get(f"{visitor.home}pay/confirmed").url == visitor.home, "it is there once"


def test_nobody_else_pays_what_a_member_confirmed(stall: Stall, visitor: Visitor) -> None:
    person, other = stall.member(meal_yen=3_000), stall.member(meal_yen=3_000)
    visitor.enter(person, ALL)
    age_sign_in(visitor.live, person.id)
    page = visitor.get(stall.code(2_600)["url"])
    page = visitor.submit(page, form="/pay", **hidden(page, "/pay"))
    page = visitor.decide(visitor.sign_in(other, page), ALL)
    assert page.url == visitor.home
    assert {stall.balances(each)["meal"] for each in (person, other)} == {3_000}


def test_nothing_is_paid_by_another_site_or_without_a_key(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    visitor.enter(person, ALL)
    page = visitor.get(stall.code(100)["url"])
    fields = hidden(page, "/pay")
    assert visitor.post(f"{visitor.home}pay", data=fields).status_code == 400
    for change in ({"key": ""}, {"key": "a b"}, {"way": f"{stall.meal}:sometimes"}, {"way": "m\x00:points_first"}):
        assert visitor.submit(page, form="/pay", **{**fields, **change}).status_code == 400, change
    assert stall.balances(person)["meal"] == 1_000


def test_in_english(stall: Stall, new_visitor: Callable[..., Visitor]) -> None:
    visitor = new_visitor(locale="en")
    visitor.enter(stall.member(), ALL)
    page = visitor.get(stall.code(450)["url"])
    for said in ("Pay Central Canteen", "Points ¥120", "Meal money ¥330", "Left afterwards", "Pay ¥450"):
        assert said in page.text, said
