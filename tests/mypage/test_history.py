"""履歴 and what HOME says of expiry: filters, turning pages both ways, one transaction, and the papers."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from zoneinfo import ZoneInfo

import requests

from tests import factories
from tests.mypage.stall import ALL, POINTS_UNTIL, Stall
from tests.mypage.visitor import Visitor, hidden

MONTH = datetime.now(UTC).astimezone(ZoneInfo("Asia/Tokyo")).strftime("%Y-%m")


def paid(stall: Stall, visitor: Visitor, amount_yen: int, description: str) -> str:
    """A payment by a shop's code; returns its id."""
    page = visitor.get(stall.code(amount_yen, description=description)["url"])
    page = visitor.submit(page, form="/pay", **hidden(page, "/pay"))
    found = re.search(r"/transactions/([0-9a-f-]{36})", page.text)
    assert found
    return found[1]


def rows(page: requests.Response) -> list[str]:
    return re.findall(r'class="amount">([^<]+)<', page.text)


def follow(visitor: Visitor, page: requests.Response, rel: str) -> requests.Response:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page.text)
    assert found, rel
    return visitor.get(f"{visitor.live.mypage.url}{unescape(found[1])}")


def test_home_shows_points_apart_and_what_expires_first(stall: Stall, visitor: Visitor) -> None:
    home = visitor.enter(stall.member(), ALL)
    assert "合計（ポイントを除く）" in home.text
    assert "¥4,000" in home.text
    assert f"{POINTS_UNTIL.month}月{POINTS_UNTIL.day}日まで ポイント" in home.text
    for path in ("/history", "/move", "/code", "/pay"):
        assert f'href="{path}"' in home.text
    assert f'href="{visitor.live.url}/account/suspend"' in home.text


def test_filters(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ALL)
    paid(stall, visitor, 450, "A定食")
    paid(stall, visitor, 200, "プリン")

    def found(**query: str) -> list[str]:
        page = visitor.get(f"{visitor.home}history", params=query)
        assert page.status_code == 200
        return rows(page)

    assert found() == ["−¥200", "−¥450", "+¥120", "+¥1,000", "+¥3,000"]
    assert found(kind="payment") == ["−¥200", "−¥450"]
    assert found(money=stall.base) == ["+¥3,000"]
    assert found(q="ﾌﾟﾘﾝ") == ["−¥200"]
    assert found(min="３００", max="500", kind="payment") == ["−¥450"]
    assert found(month=MONTH, kind="charge") == ["+¥1,000", "+¥3,000"]
    assert found(month="2020-01") == []
    running = visitor.get(f"{visitor.home}history", params={"money": stall.meal}).text
    assert "残高 ¥670" in running
    assert "残高 " not in visitor.get(f"{visitor.home}history").text


def test_parts_stand_below_a_payment(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ALL)
    paid(stall, visitor, 450, "A定食")
    row = visitor.get(f"{visitor.home}history?kind=payment").text
    assert re.search(r"学食マネー <span[^>]*>−¥330", row)
    assert re.search(r"ポイント <span[^>]*>−¥117", row)


def test_what_cannot_be_asked_is_marked(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ALL)
    for query, field in (
        ("min=x", "min"),
        ("min=500&max=100", "max"),
        ("month=2026-13", "month"),
        ("q=" + "x" * 101, "q"),
    ):
        page = visitor.get(f"{visitor.home}history?{query}")
        assert page.status_code == 200
        assert f'href="#{field}"' in page.text, query


def test_nonsense_leads_nowhere(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ALL)
    for query in ("money=none", "kind=none", "shop=%00", "cursor=nowhere"):
        assert visitor.get(f"{visitor.home}history?{query}").status_code == 404, query
    assert visitor.get(f"{visitor.home}transactions/01936a7c-5b1e-7a10-8000-0000000000c0").status_code == 404
    for query in ("month=2026-13&as=pdf", "month=2026-01&as=exe", ""):
        assert visitor.get(f"{visitor.home}statements?{query}").status_code == 404


def test_pages_are_turned_both_ways(stall: Stall, visitor: Visitor) -> None:
    person = stall.member(points_yen=0)
    with stall.live.app.app_context():
        for amount_yen in range(1, 66):
            factories.charge(member_id=person.id, money=stall.base, amount_yen=amount_yen)
    visitor.enter(person, ALL)
    first = visitor.get(f"{visitor.home}history?kind=charge")
    second = follow(visitor, first, "next")
    third = follow(visitor, second, "next")
    assert [len(rows(page)) for page in (first, second, third)] == [30, 30, 7]
    assert 'rel="next"' not in third.text
    assert rows(follow(visitor, third, "prev")) == rows(second)
    back = follow(visitor, follow(visitor, third, "prev"), "prev")
    assert rows(back) == rows(first)
    assert 'rel="prev"' not in back.text


def test_one_transaction_with_its_receipt_proof_and_refunds(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ALL)
    one = paid(stall, visitor, 450, "A定食")
    page = visitor.get(f"{visitor.home}transactions/{one}")
    for said in ("−¥450", "A定食", "中央食堂", "レシート番号", "学食マネー"):
        assert said in page.text, said
    proof = re.search(r'href="([^"]+/receipts/[^"]+)"', page.text)
    assert proof
    assert requests.get(proof[1], timeout=30).status_code == 200
    assert "この支払いの返金" not in page.text
    assert stall.ask("POST", f"/payments/{one}/refunds", {"amount_yen": 100}).status_code == 201
    page = visitor.get(f"{visitor.home}transactions/{one}")
    assert rows(page) == ["−¥450", "+¥100"]
    refund = re.findall(r'href="/transactions/([0-9a-f-]{36})"', page.text)[-1]
    assert f'href="/transactions/{one}"' in visitor.get(f"{visitor.home}transactions/{refund}").text
    receipt = visitor.get(f"{visitor.home}transactions/{one}/receipt.pdf")
    assert receipt.content.startswith(b"%PDF")
    assert receipt.headers["Content-Type"] == "application/pdf"
    assert receipt.headers["Cache-Control"] == "no-store"


def test_the_month_to_keep(stall: Stall, visitor: Visitor, new_visitor: Callable[..., Visitor]) -> None:
    visitor.enter(stall.member(), ALL)
    pdf = visitor.get(f"{visitor.home}statements?month={MONTH}&as=pdf")
    assert pdf.content.startswith(b"%PDF")
    csv = visitor.get(f"{visitor.home}statements?month={MONTH}&as=csv")
    assert "ベースマネー" in csv.content.decode("utf-8-sig")
    assert f"statement-{MONTH}.csv" in csv.headers["Content-Disposition"]
    assert new_visitor().get(f"{visitor.home}statements?month={MONTH}&as=pdf").url == visitor.home


def test_without_the_history_it_is_explained(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ["balance"])
    page = visitor.get(f"{visitor.home}history")
    assert page.status_code == 403
    assert "取引履歴の取得が許可されていません" in page.text
    assert visitor.get(f"{visitor.home}statements?month={MONTH}&as=pdf").url == f"{visitor.home}history"
