"""支払いコード: the member's own code, renewed by itself, and what it says once a till has read it."""

from __future__ import annotations

import re

from requests import Response

from tests.mypage.stall import ALL, Stall
from tests.mypage.visitor import Visitor


def digits_of(page: Response) -> str:
    found = re.search(r'class="digits">(.*?)</p>', page.text)
    assert found
    return "".join(re.findall(r"[0-9]+", found[1]))


def test_it_is_shown_as_qr_and_digits_renews_itself_and_says_what_was_paid(stall: Stall, visitor: Visitor) -> None:
    person = stall.member(points_yen=0)
    visitor.enter(person, ALL)
    first = visitor.get(f"{visitor.home}code")
    assert first.headers["Refresh"] == "30"
    assert first.headers["Cache-Control"] == "no-store"
    assert "<svg" in first.text
    assert len(digits_of(first)) == 22
    second = visitor.get(f"{visitor.home}code")
    assert digits_of(second) != digits_of(first)
    assert visitor.get(f"{visitor.home}code/status").json() == {"onward": None}

    assert stall.scan(digits_of(first), 380, description="昼食").status_code == 201  # the one before, still good
    onward = visitor.get(f"{visitor.home}code/status").json()["onward"]
    page = visitor.get(f"{visitor.home}code")
    assert page.url == f"{visitor.live.mypage.url}{onward}"
    for said in ("支払いました", "¥380", "昼食", "中央食堂", "¥620"):
        assert said in page.text, said
    assert digits_of(visitor.get(f"{visitor.home}code")) not in (digits_of(first), digits_of(second))


def test_a_till_that_could_not_take_it_is_explained(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(base_yen=0, meal_yen=100, points_yen=0), ALL)
    page = visitor.get(f"{visitor.home}code")
    assert stall.scan(digits_of(page), 380).status_code == 422
    page = visitor.get(f"{visitor.home}code")
    assert "レジで支払えませんでした" in page.text
    assert "残高が足りません" in page.text
    assert digits_of(page)


def test_without_the_history_the_amount_is_not_told(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ["payment"])
    assert stall.scan(digits_of(visitor.get(f"{visitor.home}code")), 380).status_code == 201
    page = visitor.get(f"{visitor.home}code")
    assert "コードで支払いました" in page.text
    assert "380" not in page.text


def test_without_the_permission_there_is_no_code(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ["balance", "history"])
    page = visitor.get(f"{visitor.home}code")
    assert page.status_code == 403
    assert "支払いが許可されていません" in page.text
    assert "Refresh" not in page.headers


def test_another_members_code_tells_nothing(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ALL)
    page = visitor.get(f"{visitor.home}code/used/01936a7c-5b1e-7a10-8000-0000000000c0")
    assert "見つかりませんでした" in page.text
