"""マネー移動: adding up and taking back, the balances before and after, and that it happens once."""

from __future__ import annotations

import re

from requests import Response

from tests.mypage.stall import ALL, Stall
from tests.mypage.stall import stall as make_stall
from tests.mypage.visitor import Visitor, hidden


def amount_of(page: Response) -> str:
    found = re.search(r'id="amount" [^>]*value="([^"]*)"', page.text)
    assert found
    return found[1]


def press(visitor: Visitor, page: Response, do: str) -> Response:
    """One of the form's buttons, with what the form holds."""
    was = re.findall(r'name="was" value="([^"]*)"', page.text)
    return visitor.get(f"{visitor.home}move", params={"was": was, "amount": amount_of(page), "do": do})


def test_buttons_add_up_and_can_be_taken_back(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ALL)
    page = visitor.get(f"{visitor.home}move")
    seen = []
    for do in ("+1000", "+1000", "+500", "undo", "clear", "undo", "undo", "undo", "undo", "+7", "+100"):
        page = press(visitor, page, do)
        seen.append(amount_of(page))
    assert seen == ["1000", "2000", "2500", "2000", "", "2000", "1000", "", "", "", "100"]
    typed = visitor.get(f"{visitor.home}move", params={"amount": "１，２００円", "do": "+500"})
    assert amount_of(typed) == "1700"


def test_a_move_shows_both_balances_and_is_made_once(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    visitor.enter(person, ALL)
    way = f"{stall.base}:{stall.meal}"
    page = visitor.get(f"{visitor.home}move", params={"way": way, "amount": "1,200", "do": "confirm"})
    for said in ("マネー移動の確認", "移動前 ¥3,000 → 移動後 ¥1,800", "移動前 ¥1,000 → 移動後 ¥2,200"):
        assert said in page.text, said
    assert stall.balances(person)["base"] == 3_000

    fields = hidden(page, "/move")
    first, second = (visitor.submit(page, form="/move", **fields) for _ in range(2))
    assert first.url == second.url == f"{visitor.home}move/done/{fields['key']}"
    for said in ("移動しました", "¥1,800", "¥2,200"):
        assert said in second.text, said
    assert stall.balances(person) == {"base": 1_800, "meal": 2_200, "points": 120}
    assert "移動しました" in visitor.get(second.url).text


def test_an_amount_that_cannot_be_moved_is_marked(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ALL)
    for amount in ("", "0", "x", "50", "150", "10100", "-100", "1.5", "99999999"):
        asked = {"way": f"{stall.base}:{stall.meal}", "amount": amount, "do": "confirm"}
        page = visitor.get(f"{visitor.home}move", params=asked)
        assert page.status_code == 200
        assert 'href="#amount"' in page.text, amount
        assert 'aria-describedby="amount-error"' in page.text
        assert amount_of(page) == amount


def test_only_moves_between_wallets_the_member_has_are_offered(stall: Stall, visitor: Visitor) -> None:
    make_stall(stall.live)
    visitor.enter(stall.member(), ALL)
    page = visitor.get(f"{visitor.home}move")
    assert re.findall(r'name="way" value="([^"]+)"', page.text) == [f"{stall.base}:{stall.meal}"]


def test_a_way_that_there_is_not_is_marked(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ALL)
    for way in ("", f"{stall.meal}:{stall.base}", "x", "\x00:y"):
        page = visitor.get(f"{visitor.home}move", params={"way": way, "amount": "100", "do": "confirm"})
        assert 'href="#way"' in page.text, way


def test_more_than_there_is_says_how_much_is_missing(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(base_yen=300), ALL)
    way = f"{stall.base}:{stall.meal}"
    page = visitor.get(f"{visitor.home}move", params={"way": way, "amount": "1000", "do": "confirm"})
    assert "残高が ¥700 足りません" in page.text
    assert amount_of(page) == "1000"


def test_a_balance_that_went_in_between(stall: Stall, visitor: Visitor) -> None:
    person = stall.member(base_yen=300)
    visitor.enter(person, ALL)
    way = f"{stall.base}:{stall.meal}"
    asked = {"way": way, "amount": "200", "do": "confirm"}
    pages = [visitor.get(f"{visitor.home}move", params=asked) for _ in range(2)]
    done, refused = (visitor.submit(page, form="/move", **hidden(page, "/move")) for page in pages)
    assert "移動しました" in done.text
    assert "移動できませんでした" in refused.text
    assert "残高が足りません" in refused.text
    assert stall.balances(person)["base"] == 100


def test_without_the_permission_nothing_is_moved(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    visitor.enter(person, ["balance"])
    page = visitor.get(f"{visitor.home}move")
    assert page.status_code == 403
    assert "マネー移動が許可されていません" in page.text
    assert "next=/move" in page.text


def test_without_balances_a_move_still_works(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    visitor.enter(person, ["move"])
    way = f"{stall.base}:{stall.meal}"
    page = visitor.get(f"{visitor.home}move", params={"way": way, "amount": "200", "do": "confirm"})
    assert "移動前" not in page.text
    assert "移動しました" in visitor.submit(page, form="/move", **hidden(page, "/move")).text
    assert stall.balances(person)["base"] == 2_800
