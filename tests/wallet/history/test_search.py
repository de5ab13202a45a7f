"""History as apps read it: what a search finds, how pages follow each other, what each client may see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.issuer import issuer_zone
from app.wallet import directory, search
from app.wallet.postings import Accepted, Adjustment, Hold, Move, Payment, Refund
from tests import factories
from tests.wallet.history.conftest import Books
from tests.wallet.world import soon

pytestmark = pytest.mark.ledger


def test_a_money_is_found_where_it_is_only_a_part_and_shows_its_own_balance(books: Books) -> None:
    books.charge(books.base, 1_000)
    books.charge(books.meal, 300)
    books.accepted(Adjustment, money=books.points, amount_yen=50, book="granted")
    books.accepted(Payment, amount_yen=600)  # 50 points, 300 meal, 250 base
    shown = {
        money: [(one["amount_yen"], one["balance_yen"]) for one in books.page(money=money)["transactions"]]
        for money in (books.base, books.meal, books.points)
    }
    assert shown == {
        books.base: [(600, 750), (1_000, 1_000)],
        books.meal: [(600, 0), (300, 300)],
        books.points: [(600, 3), (50, 50)],
    }


def test_without_the_balance_no_search_tells_it(books: Books) -> None:
    books.charge(books.meal, 300)
    [one] = books.page(scopes=("history",), money=books.meal)["transactions"]
    assert one["balance_yen"] is None


def test_kinds_amounts_and_shops_narrow_together(books: Books) -> None:
    books.charge(books.meal, 3_000)
    paid = books.accepted(Payment, amount_yen=700)
    books.accepted(Payment, amount_yen=200)
    books.accepted(Refund, transaction_id=paid.transaction_id, amount_yen=100)
    books.accepted(Hold, amount_yen=50, expires_at=soon())
    assert books.found() == [50, 100, 200, 700, 3_000]
    assert books.found(kind="payment") == [200, 700]
    assert books.found(kind=["refund", "charge"]) == [100, 3_000]
    assert books.found(shop=books.shop) == [50, 100, 200, 700]
    assert books.found(min_yen=100, max_yen=700) == [100, 200, 700]
    assert books.found(min_yen=200, kind=["payment", "refund"], shop=books.shop, money=books.meal) == [200, 700]


@pytest.mark.parametrize(
    "words",
    ["昼食", "a定食", "Ａ定食", "A定食 昼食", "昼食　a定食", "中央", "CENTRAL"],
)
def test_words_are_found_whatever_their_case_and_width(books: Books, words: str) -> None:
    shop_id = factories.shop(accepts=[books.meal])
    books.charge(books.meal, 1_000)
    books.accepted(Payment, amount_yen=450, shop_id=shop_id, description="昼食 Ａ定食")
    books.accepted(Payment, amount_yen=120, description="コーヒー", shop_id=books.shop_id)
    assert books.found(q=words) == [450]
    assert books.found(q=f"{words} コーヒー") == []


def test_a_receipt_is_found_by_its_number(books: Books) -> None:
    charged = books.charge(books.meal, 1_000)
    books.charge(books.meal, 2_000)
    number = next(one["receipt_no"] for one in books.page()["transactions"] if one["amount_yen"] == 1_000)
    assert books.found(q=number) == [1_000]
    assert books.found(q=f"{charged.position:08d}") == [1_000]


def test_a_client_finds_by_the_names_it_gave_and_not_by_anothers(books: Books) -> None:
    books.charge(books.meal, 1_000)
    own: dict[str, Any] = {"requester": books.client_id, "request_id": "Order-77", "metadata": {"table": "窓際７番"}}
    books.accepted(Payment, amount_yen=100, **own)
    books.accepted(Payment, amount_yen=200, requester="another", request_id="order-78", metadata={"table": "窓際7番"})
    assert books.found(q="ORDER-7") == [100]
    assert books.found(q="窓際7番") == [100]


def test_days_are_the_issuers_and_instants_exact(books: Books) -> None:
    first = books.charge(books.meal, 100)
    second = books.charge(books.meal, 200)
    today = second.created_at.astimezone(issuer_zone()).date()
    yesterday, tomorrow = today - timedelta(days=1), today + timedelta(days=1)
    assert books.found(from_=today, until=today)[:1] == [200]
    assert books.found(until=yesterday) == []
    assert books.found(from_=tomorrow) == []
    assert books.found(until=first.created_at.isoformat()) == [100]
    assert books.found(from_=second.created_at.isoformat()) == [200]
    assert books.found(from_=(first.created_at + timedelta(microseconds=1)).isoformat()) == [200]


def test_pages_follow_each_other_and_what_comes_meanwhile_is_in_none(books: Books) -> None:
    for yen in range(1, 8):
        books.charge(books.meal, yen)
    first = books.page(limit=3, kind="charge")
    books.charge(books.meal, 99)
    second = books.page(limit=3, kind="charge", cursor=first["next_cursor"])
    third = books.page(limit=3, kind="charge", cursor=second["next_cursor"])
    shown = [[one["amount_yen"] for one in page["transactions"]] for page in (first, second, third)]
    assert shown == [[7, 6, 5], [4, 3, 2], [1]]
    assert (third["next_cursor"], third["looked_back_to"]) == (None, None)
    assert first["looked_back_to"] == first["transactions"][-1]["created_at"]


def test_a_search_looks_at_so_many_and_says_how_far(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LOOKED_AT", 4)
    wanted = books.charge(books.base, 11)
    others = [books.charge(books.meal, 22) for _ in range(6)]
    page = books.page(money=books.base)
    assert page["transactions"] == []
    assert page["looked_back_to"] == others[2].created_at.isoformat()
    last = books.page(money=books.base, cursor=page["next_cursor"])
    assert [one["id"] for one in last["transactions"]] == [str(wanted.transaction_id)]
    assert (last["next_cursor"], last["looked_back_to"]) == (None, None)
    assert books.found(q="nothing has this") == []


def test_a_page_without_a_search_is_not_bounded_by_it(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LOOKED_AT", 50)
    for yen in (1, 2, 3):
        books.charge(books.meal, yen)
    assert books.found(limit=2) == [3, 2]


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("money", {"money": "nonesuch"}),
        ("shop", {"shop": "nonesuch"}),
        ("kind", {"kind": "theft"}),
        ("from", {"from": "2026-13-01"}),
        ("from", {"from": "yesterday"}),
        ("from", {"from": "2026-11-23T12:00:00 09:00"}),
        ("until", {"until": "2026-11-23T25:00:00Z"}),
        ("until", {"until": "0001-01-01"}),
        ("until", {"until": "9999-12-31"}),
        ("until", {"from": "2026-11-23", "until": "2026-11-22"}),
        ("max_yen", {"min_yen": 5, "max_yen": 4}),
        ("min_yen", {"min_yen": "-1"}),
        ("q", {"q": "x" * 101}),
        ("q", {"q": "a\x00b"}),
        ("cursor", {"cursor": "xyz"}),
    ],
)
def test_what_cannot_be_looked_for_is_named(books: Books, field: str, query: dict[str, Any]) -> None:
    answer = books.get("/v1/transactions", **query)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_fields")
    assert list(answer.get_json()["errors"]) == [field]


def test_a_shop_sees_its_own_takings_and_no_name(books: Books) -> None:
    books.charge(books.base, 1_000)
    books.charge(books.meal, 300)
    paid = books.accepted(Payment, amount_yen=600, description="昼食")
    books.accepted(Refund, transaction_id=paid.transaction_id, amount_yen=100)
    other_shop = factories.shop(accepts=[books.meal])
    books.charge(books.meal, 500)
    elsewhere = books.accepted(Payment, amount_yen=500, shop_id=other_shop)
    page = books.get_as_shop(f"/v1/shops/{books.shop}/transactions", books.shop_id, other_shop).get_json()
    refund, payment = page["transactions"]
    assert [(part["money"]["code"], part["signed_amount_yen"], part["balance_yen"]) for part in payment["parts"]] == [
        (books.meal, 300, 300),
        (books.base, 300, 300),
    ]
    assert [(part["signed_amount_yen"], part["balance_yen"]) for part in refund["parts"]] == [(-100, 200)]
    assert refund["reverses"] == payment["id"] == str(paid.transaction_id)
    assert payment["member"] == refund["member"]
    there = directory.shop_by_id(other_shop).code
    [its] = books.get_as_shop(f"/v1/shops/{there}/transactions", books.shop_id, other_shop).get_json()["transactions"]
    assert its["id"] == str(elsewhere.transaction_id)
    assert its["member"] != payment["member"]
    assert "花子" not in str(page) and str(books.member_id) not in str(page)


def test_a_shops_pages_follow_each_other(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    books.charge(books.meal, 5_000)
    for yen in range(1, 8):
        books.accepted(Payment, amount_yen=yen)
    path = f"/v1/shops/{books.shop}/transactions"
    seen, cursor = [], None
    while True:
        page = books.get_as_shop(path, books.shop_id, limit=3, **({"cursor": cursor} if cursor else {})).get_json()
        seen += [one["amount_yen"] for one in page["transactions"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    monkeypatch.setattr(search, "LOOKED_AT", 3)
    monkeypatch.setattr("app.wallet.shop.history.LOOKED_AT", 3)
    seen, cursor = [], None
    while True:
        query = {"min_yen": 2, "max_yen": 2, **({"cursor": cursor} if cursor else {})}
        page = books.get_as_shop(path, books.shop_id, **query).get_json()
        seen.append([one["amount_yen"] for one in page["transactions"]])
        if (cursor := page["next_cursor"]) is None:
            break
    assert [yen for page in seen for yen in page] == [2]
    assert len(seen) >= 3


def test_nobody_else_reads_a_shop(books: Books) -> None:
    path = f"/v1/shops/{books.shop}/transactions"
    other = factories.shop(accepts=[books.meal])
    assert books.get(path).get_json()["code"] == "insufficient_scope"
    assert books.get_as_shop(path, other).get_json()["code"] == "shop_unknown"
    assert books.get_as_shop("/v1/shops/nonesuch/balance", other).get_json()["code"] == "shop_unknown"


def test_a_move_is_in_the_history_of_both_monies(books: Books) -> None:
    books.charge(books.base, 1_000)
    books.accepted(Move, money=books.base, to_money=books.meal, amount_yen=400)
    for money, balance_yen in ((books.base, 600), (books.meal, 400)):
        [moved, *_] = books.page(money=money)["transactions"]
        assert (moved["kind"], moved["balance_yen"]) == ("move", balance_yen)


def test_times_of_now_are_no_bound(books: Books) -> None:
    made: Accepted = books.charge(books.meal, 1)
    assert books.found(until=(datetime.now(UTC) + timedelta(days=1)).isoformat()) == [1]
    assert books.found(from_=made.created_at.isoformat(), until=made.created_at.isoformat()) == [1]
