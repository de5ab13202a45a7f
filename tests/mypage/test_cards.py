"""カード: lost in one step, a PIN, a code for registering at a till; all without a script."""

from __future__ import annotations

import re
import secrets

from requests import Response

from app.db import transaction
from app.demo.demo_card import fcf_blocks
from app.reader import cards, pins
from app.reader.cards import Reading
from tests.mypage.stall import ALL, Stall
from tests.mypage.test_paying import age_sign_in
from tests.mypage.visitor import Visitor


def offered(page: Response) -> list[str]:
    """The cards that the page offers to report lost."""
    return re.findall(r'name="lost" value="([^"]+)"', page.text)


def new_idm() -> str:
    return f"0114{secrets.token_hex(6)}".upper()


def test_a_card_is_registered_at_a_till_and_lost_in_one_step(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    visitor.enter(person, ["card"])
    page = visitor.get(f"{visitor.home}cards")
    assert "登録されているカードはありません" in page.text
    page = visitor.submit(page, form="/cards", code="1")
    shown = re.search(r"[B-Z]{4}-[B-Z]{4}", page.text)
    assert shown
    idm, blocks = new_idm(), {str(number): fcf_blocks()[number].hex() for number in (0, 2, 3)}
    made = stall.ask("POST", "/card-registrations", {"code": shown[0], "card": {"idm": idm, "blocks": blocks}})
    assert made.status_code == 201, made.text
    page = visitor.get(f"{visitor.home}cards")
    assert idm[-4:] in page.text
    assert "使用中" in page.text
    page = visitor.submit(page, form="/cards", lost=offered(page)[0])
    assert "紛失の届けを受け付けました" in page.text
    assert "使用中" not in page.text
    assert offered(page) == []


def test_the_way_there_is_on_every_page(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ["card", "balance"])
    for path in ("", "history", "cards"):
        assert "カードをなくしたとき" in visitor.get(f"{visitor.home}{path}").text


def test_a_pin_is_set_and_what_is_wrong_with_it_is_said(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    visitor.enter(person, ["card"])
    page = visitor.get(f"{visitor.home}cards")
    assert "まだ設定されていません" in page.text
    for pin, again, said in (
        ("", "", "入力してください"),
        ("4829", "4820", "一致しません"),
        ("1234", "1234", "ほかの番号にしてください"),
        ("48", "48", "数字だけで入力してください"),
    ):
        page = visitor.submit(page, form="/cards", set_pin="1", pin=pin, again=again)
        assert said in page.text
        assert 'value="4829"' not in page.text
    page = visitor.submit(page, form="/cards", set_pin="1", pin="4829", again="4829")
    assert "暗証番号を設定しました" in page.text
    with stall.live.app.app_context():
        assert pins.check(person.id, "4829")[0] == "right"


def test_another_members_card_is_not_there(stall: Stall, visitor: Visitor) -> None:
    owner = stall.member()
    with stall.live.app.app_context(), transaction():
        card_id = cards.register(Reading(idm=new_idm(), blocks=fcf_blocks()), member_id=owner.id)
    visitor.enter(stall.member(), ["card"])
    page = visitor.get(f"{visitor.home}cards")
    for wrong in (str(card_id), "", "../wallets", "x"):
        assert visitor.submit(page, form="/cards", lost=wrong).status_code == 404
    with stall.live.app.app_context(), transaction():
        (card,) = cards.of_member(owner.id)
        assert card.status == "active"


def test_who_left_the_page_open_signs_in_again_before_a_pin_or_a_code_and_not_to_report_a_card_lost(
    stall: Stall, visitor: Visitor
) -> None:
    person = stall.member()
    with stall.live.app.app_context(), transaction():
        cards.register(Reading(idm=new_idm(), blocks=fcf_blocks()), member_id=person.id)
    visitor.enter(person, ["card"])
    page = visitor.get(f"{visitor.home}cards")
    age_sign_in(stall.live, person.id)
    for change in ({"set_pin": "1", "pin": "4829", "again": "4829"}, {"code": "1"}):
        again = visitor.submit(page, form="/cards", **change)
        assert again.url.startswith(f"{visitor.live.url}/login")
    with stall.live.app.app_context():
        assert pins.state(person.id) == "none"
    assert "紛失の届けを受け付けました" in visitor.submit(page, form="/cards", lost=offered(page)[0]).text


def test_after_signing_in_again_one_is_back_at_the_cards(stall: Stall, visitor: Visitor) -> None:
    person = stall.member()
    visitor.enter(person, ALL)
    page = visitor.get(f"{visitor.home}cards")
    age_sign_in(stall.live, person.id)
    page = visitor.sign_in(person, visitor.submit(page, form="/cards", code="1"))
    assert page.url == f"{visitor.home}cards"
    assert re.search(r"[B-Z]{4}-[B-Z]{4}", visitor.submit(page, form="/cards", code="1").text)


def test_without_the_permission_it_is_asked_for(stall: Stall, visitor: Visitor) -> None:
    visitor.enter(stall.member(), ["balance"])
    page = visitor.get(f"{visitor.home}cards")
    assert page.status_code == 403
    assert "カードの管理が許可されていません" in page.text
