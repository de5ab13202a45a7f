"""Statements and receipts: JSON, CSV and paper say the same, and it adds up."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from pypdf import PdfReader

from app.issuer import issuer_zone
from app.wallet.postings import Adjustment, Hold, Payment, Refund
from app.wallet.statement import monthly
from tests.wallet.history.conftest import Books
from tests.wallet.proof.books import age
from tests.wallet.world import in_days, soon

pytestmark = pytest.mark.ledger

FORMULA = "=HYPERLINK(1)"


@pytest.fixture
def month(books: Books) -> str:
    """A busy month, this one."""
    books.charge(books.base, 1_000)
    books.charge(books.meal, 300)
    books.accepted(Adjustment, money=books.points, amount_yen=80, book="granted", expires_on=in_days(40))
    paid = books.accepted(Payment, amount_yen=600, description=FORMULA)  # 80 points, 300 meal, 220 base
    books.accepted(Refund, transaction_id=paid.transaction_id, amount_yen=200)
    books.accepted(Hold, amount_yen=50, expires_at=soon())
    return f"{_today():%Y-%m}"


def _today() -> date:
    return datetime.now(issuer_zone()).date()


def test_opening_and_movements_make_the_closing_balance(books: Books, month: str) -> None:
    answer = books.get(f"/v1/statements/{month}").get_json()
    assert (answer["month"], answer["complete"]) == (month, False)
    told = {one["money"]["code"]: (one["opening_yen"], one["closing_yen"]) for one in answer["monies"]}
    assert told == {books.base: (0, 980), books.meal: (0, 0), books.points: (0, 2)}
    balances = {code: opening for code, (opening, _) in told.items()}
    for line in answer["transactions"]:
        for change in line["changes"]:
            code = change["money"]["code"]
            balances[code] += change["signed_amount_yen"]
            assert change["balance_yen"] == balances[code]
    assert balances == {code: closing for code, (_, closing) in told.items()}
    assert [line["kind"] for line in answer["transactions"]][-2:] == ["refund", "hold"]
    totals = {(one["money"]["code"], one["kind"]): one["signed_amount_yen"] for one in answer["totals"]}
    assert totals[books.base, "payment"] == -220
    assert sum(yen for (code, _), yen in totals.items() if code == books.base) == 980


def test_what_expires_is_told_with_its_day(books: Books) -> None:
    books.accepted(Adjustment, money=books.points, amount_yen=80, book="granted", expires_on=in_days(40))
    answer = books.get(f"/v1/statements/{_today():%Y-%m}").get_json()
    [points] = [one for one in answer["monies"] if one["money"]["code"] == books.points]
    assert points["expiring"] == [{"expires_on": in_days(40).isoformat(), "amount_yen": 80}]


def test_the_table_opens_and_closes_and_holds_no_formula(books: Books, month: str) -> None:
    answer = books.get(f"/v1/statements/{month}.csv")
    assert (answer.mimetype, answer.data[:3]) == ("text/csv", b"\xef\xbb\xbf")
    assert answer.data.count(b"\r\n") == answer.data.count(b"\n")
    rows = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"), newline="")))
    assert [row["kind"] for row in rows[:3]] == ["opening"] * 3
    assert {row["money"]: row["balance_yen"] for row in rows[-3:]} == {
        books.base: "980",
        books.meal: "0",
        books.points: "2",
    }
    paid = [row for row in rows if row["kind"] == "payment"]
    assert {row["description"] for row in paid} == {f"'{FORMULA}"}
    assert {row["amount_yen"] for row in paid if row["money"] == books.base} == {"-220"}


def test_without_the_scope_balance_no_form_of_it_tells_one(books: Books, month: str) -> None:
    scopes = ("history",)
    answer = books.get(f"/v1/statements/{month}", scopes=scopes).get_json()
    assert {one[key] for one in answer["monies"] for key in ("opening_yen", "closing_yen")} == {None}
    assert {one["expiring"] is None for one in answer["monies"]} == {True}
    assert {change["balance_yen"] for line in answer["transactions"] for change in line["changes"]} == {None}
    table = books.get(f"/v1/statements/{month}.csv", scopes=scopes).text
    assert "balance_yen" not in table
    assert "opening" not in table
    paper = _text(books.get(f"/v1/statements/{month}.pdf", scopes=scopes).data)
    assert "月末の残高" not in paper
    assert "¥980" not in paper
    assert "¥1,000" in paper
    assert "花子" not in paper


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ja", ["利用明細書", "組合 花子 様", "月末の残高", "¥980", "-¥220", "食堂", "種類別の合計", "試験生協"]),
        ("en", ["Statement", "At the end", "¥980", "-¥220", "Canteen", "Totals by kind", "Test Co-op"]),
    ],
)
def test_paper_is_in_the_language_asked_for(books: Books, month: str, language: str, words: list[str]) -> None:
    answer = books.get(f"/v1/statements/{month}.pdf", language=language)
    assert answer.mimetype == "application/pdf"
    paper = _text(answer.data)
    assert [word for word in words if word not in paper] == []


def test_a_month_nobody_had_is_empty_and_others_are_none(books: Books) -> None:
    assert books.get("/v1/statements/2020-02").get_json()["transactions"] == []
    assert "この月に取引はありません" in _text(books.get("/v1/statements/2020-02.pdf").data)
    for name in ("8000-01", "2020-13", "2020-1", "202001x", "1999-12", "２０２０-02"):
        assert books.get(f"/v1/statements/{name}").status_code == 404


def test_too_long_a_month_is_refused(books: Books, month: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monthly, "MAX_ROWS", 3)
    answer = books.get(f"/v1/statements/{month}")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "statement_too_long")


def test_what_was_there_before_the_month_opens_it(fresh_app: Flask) -> None:
    with fresh_app.app_context():
        books = Books(fresh_app.test_client())
        books.charge(books.meal, 1_000)
        age(fresh_app, by=timedelta(days=40))
        last = books.charge(books.meal, 500)
        age(fresh_app, by=timedelta(days=40))
        today = last.created_at - timedelta(days=40)
        month = today.astimezone(issuer_zone())
        answer = books.get(f"/v1/statements/{month:%Y-%m}").get_json()
        [meal] = [one for one in answer["monies"] if one["money"]["code"] == books.meal]
        assert (meal["opening_yen"], meal["closing_yen"], answer["complete"]) == (1_000, 1_500, True)
        assert [line["amount_yen"] for line in answer["transactions"]] == [500]
        now = books.get(f"/v1/statements/{_today():%Y-%m}").get_json()
        assert {one["opening_yen"] for one in now["monies"]} == {0, 1_500}
        assert now["transactions"] == []


def test_a_receipt_says_what_moved_and_what_came_back(books: Books) -> None:
    books.charge(books.base, 1_000)
    books.charge(books.meal, 300)
    paid = books.accepted(Payment, amount_yen=600, description="昼食 A定食")
    books.accepted(Refund, transaction_id=paid.transaction_id, amount_yen=150)
    answer = books.get(f"/v1/transactions/{paid.transaction_id}/receipt.pdf")
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    paper = _text(answer.data)
    number = f"{paid.position:08d}"
    expected = ["レシート", "¥600", "-¥300", "食堂", "昼食 A定食", "試験生協", f"{number[:4]}-{number[4:]}", "¥150"]
    assert [word for word in [*expected, "¥450", books.base, "¥3"] if word not in paper] == []
    assert "¥700" not in paper, "a receipt tells no balance"


def test_a_receipt_in_english(books: Books) -> None:
    charged = books.charge(books.base, 1_000)
    paper = _text(books.get(f"/v1/transactions/{charged.transaction_id}/receipt.pdf", language="en").data)
    assert [word for word in ("Receipt", "Test Co-op", "¥1,000", "Scan this") if word not in paper] == []


def test_a_receipts_code_leads_to_its_proof(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    charged = books.charge(books.base, 1_000)
    shown: list[str] = []
    monkeypatch.setattr("app.paper.sheet.squares", lambda content, **_: _note(shown, content))
    books.get(f"/v1/transactions/{charged.transaction_id}/receipt.pdf")
    [address] = shown
    page = books.http.get(address.partition("://")[2].partition("/")[2].join(["/", ""]))
    assert page.status_code == 200
    assert "¥1,000" in page.text


def _note(shown: list[str], content: str) -> Iterator[Any]:
    shown.append(content)
    return iter(())


def test_nobody_gets_anothers_receipt(books: Books) -> None:
    other = Books(books.http)
    charged = other.charge(other.base, 1_000)
    assert books.get(f"/v1/transactions/{charged.transaction_id}/receipt.pdf").status_code == 404
    assert other.get(f"/v1/transactions/{charged.transaction_id}/receipt.pdf", scopes=("balance",)).status_code == 403


def _text(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf), strict=True).pages)
