"""`kumiai settlement …` and `kumiai shop …`, as the office types them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from pypdf import PdfReader

from app.db import transaction
from app.issuer import current_issuer, issuer_today
from app.settings import Settings
from app.wallet import directory, ledger
from app.wallet.settlement import positions, service
from tests import factories
from tests.oauth.office import Kumiai, kumiai_for
from tests.wallet.postings import payment
from tests.wallet.settlement.accounts import next_weekday
from tests.wallet.settlement.shopkeeper import Shopkeeper, settlements, shopkeeper
from tests.wallet.settlement.zengin_reader import read

ACCOUNT = (
    *("--bank-code", "0001", "--bank-name", "みずほ", "--branch-code", "001", "--branch-name", "トウキョウ"),
    *("--number", "1234567"),
)


@pytest.fixture
def kumiai(fresh_app: Flask, fresh_database: str, make_settings: Callable[[str], Settings]) -> Kumiai:
    return kumiai_for(make_settings(fresh_database))


@pytest.fixture
def keeper(fresh_app: Flask) -> Shopkeeper:
    with fresh_app.app_context():
        return shopkeeper(paid=1, free=1)


@pytest.fixture
def code(fresh_app: Flask, keeper: Shopkeeper) -> str:
    with fresh_app.app_context():
        return directory.shop_by_id(keeper.shop_id).code


def test_from_the_till_to_the_bank(
    kumiai: Kumiai, fresh_app: Flask, keeper: Shopkeeper, code: str, tmp_path: Path
) -> None:
    paid, free = keeper.monies
    said = kumiai("shop", "terms", code, paid, "--fee-percent", "1.25", "--rounding", "half_up").output
    assert "fee 1.25 % (rounded half up), reimbursed" in said
    kumiai("shop", "terms", code, free, "--not-reimbursed")
    assert "****567" in kumiai("shop", "bank-account", code, *ACCOUNT, "--holder", "ブックス").output
    shown = kumiai("shop", "show", code).output
    assert f"{paid}" in shown
    assert "not reimbursed" in shown
    assert "1234567" not in shown
    with fresh_app.app_context():
        keeper.pay(1_000)
        keeper.pay(70, money=free)
    closed = kumiai("settlement", "close", code)
    assert f"{code}-0001 ({_today(fresh_app)}): settled ¥1,070, payable ¥987" in closed.output
    assert kumiai("settlement", "close", code).output == closed.output
    listed = kumiai("settlement", "list").output.splitlines()
    assert len(listed) == 2
    assert listed[1].split()[-2:] == ["closed", "-"]
    assert paid in kumiai("settlement", "show", code, "1").output
    requester = ("settlement", "requester", *ACCOUNT, "--code", "12345", "--name", "セイキョウ")
    assert "ｾｲｷﾖｳ" in kumiai(*requester).output
    day = _weekday(fresh_app)
    file = tmp_path / "furikomi.txt"
    made = kumiai("settlement", "transfer-file", day, "--out", str(file))
    assert "1 payees, ¥987 in all" in made.output
    (record,) = read(file.read_bytes(), line_ends=True).records
    assert (record.amount_yen, record.name, record.number) == (987, "ﾌﾞﾂｸｽ", "1234567")
    again = kumiai("settlement", "transfer-file", day, "--out", "-")
    assert "Do not send it to the bank twice" in again.output
    assert day in kumiai("settlement", "list", "--shop", code).output
    moved = kumiai("settlement", "transfer-file", _weekday(fresh_app, after=2), "--instead-of", day, "--out", str(file))
    assert moved.exit_code == 0, moved.output


def test_the_statement_is_written_where_it_is_wanted(
    kumiai: Kumiai, fresh_app: Flask, keeper: Shopkeeper, code: str, tmp_path: Path
) -> None:
    with fresh_app.app_context():
        keeper.pay(1_000)
        keeper.close()
    for kind in ("pdf", "csv"):
        out = tmp_path / f"a.{kind}"
        assert kumiai("settlement", kind, code, "1", "--out", str(out)).exit_code == 0
        assert out.stat().st_size > 100
        assert out.stat().st_mode & 0o077 == 0
    said = PdfReader(io.BytesIO((tmp_path / "a.pdf").read_bytes())).pages[0].extract_text()
    assert "Settlement statement" in said
    assert kumiai("settlement", "pdf", code, "2", "--out", str(tmp_path / "b.pdf")).exit_code == 1
    assert not (tmp_path / "b.pdf").exists()


def test_all_shops_are_closed_and_those_without_takings_named(
    kumiai: Kumiai, fresh_app: Flask, keeper: Shopkeeper, code: str
) -> None:
    with fresh_app.app_context():
        keeper.pay(10)
        idle = directory.shop_by_id(shopkeeper().shop_id).code
    said = kumiai("settlement", "close", "--all", "--through", _today(fresh_app))
    assert said.exit_code == 0, said.output
    assert f"{code}-0001" in said.output
    assert f"{idle}: nothing to settle" in said.output


def test_before_the_first_money_there_is_nothing_to_settle_and_nothing_to_pay_out(
    kumiai: Kumiai, fresh_app: Flask
) -> None:
    kumiai("shop", "add", "canteen", "--name-ja", "食堂", "--name-en", "Canteen")
    with fresh_app.app_context():
        factories.member(email="hanako@example.ac.jp")
    for day in ((), ("--through", "2026-01-01")):
        night = kumiai("settlement", "close", "--all", *day)
        assert (night.exit_code, "canteen" in night.output) == (0, True), night.output
    closing = kumiai("wallet", "close", "hanako@example.ac.jp", "--reason", "small_amount", "--dry-run")
    assert (closing.exit_code, "no wallet" in closing.output) == (0, True), closing.output


def test_a_shop_that_cannot_be_closed_holds_up_none_of_the_others(
    kumiai: Kumiai, fresh_app: Flask, keeper: Shopkeeper, code: str
) -> None:
    with fresh_app.app_context():
        others = [shopkeeper(), shopkeeper()]
        for one in (keeper, *others):
            one.pay(100)
        with transaction():
            cut = positions.cut(issuer_id=current_issuer().id, day=None)
            stuck = service.next_settlement(shop_id=keeper.shop_id, cut=cut).id
        taken = replace(payment(keeper.holder(keeper.monies[0]), 1), requester="kumiai")
        ledger.post(replace(taken, request_id=f"settlement:{stuck}"))  # nothing but a mistake could do that
    night = kumiai("settlement", "close", "--all")
    assert night.exit_code == 1
    assert f"{code}: " in night.output
    assert night.output.count("settled ¥100") == 2, night.output


def test_what_died_is_finished(kumiai: Kumiai, fresh_app: Flask, keeper: Shopkeeper) -> None:
    with fresh_app.app_context():
        keeper.pay(10)
        cut = positions.cut(issuer_id=current_issuer().id, day=None)
        with transaction():
            service.next_settlement(shop_id=keeper.shop_id, cut=cut)
    assert "posted and closed: 1" in kumiai("settlement", "finish").output
    assert "posted and closed: 0" in kumiai("settlement", "finish").output
    with fresh_app.app_context():
        assert settlements(keeper.shop_id)[0].state == "closed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("settlement", "close", "{code}"), "has nothing to settle so far"),
        (("settlement", "close", "nowhere"), "There is no shop nowhere"),
        (("settlement", "close", "{code}", "--all"), "or say --all"),
        (("settlement", "close"), "or say --all"),
        (("settlement", "close", "{code}", "--through", "{tomorrow}"), "has not come yet"),
        (("settlement", "close", "{code}", "--through", "2026-02-30"), "does not match the format"),
        (("settlement", "transfer-file", "2020-01-06"), "Banks cannot transfer on 2020-01-06"),
        (("settlement", "show", "{code}", "1"), ""),
        (("shop", "terms", "{code}", "{paid}", "--not-reimbursed"), "cannot be left out"),
        (("shop", "terms", "{code}", "none"), "There is no money none"),
        (("shop", "terms", "{code}", "{paid}", "--fee-percent", "1.234"), "at most two decimals"),
        (("shop", "terms", "{code}", "{paid}", "--fee-percent", "100.01"), "at most two decimals"),
        (("shop", "terms", "{code}", "{paid}", "--fee-percent", "nan"), "at most two decimals"),
        (
            ("shop", "bank-account", "{code}", *ACCOUNT, "--holder", "生協"),
            "holder holds what a bank's file",
        ),
        (("shop", "bank-account", "{code}", *ACCOUNT, "--number", "1", "--holder", "ア" * 31), "holder is too long"),
        (("shop", "bank-account", "{code}", *ACCOUNT, "--number", "12345678", "--holder", "ア"), "number is not right"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    kumiai: Kumiai, fresh_app: Flask, keeper: Shopkeeper, code: str, arguments: tuple[str, ...], said: str
) -> None:
    with fresh_app.app_context():
        tomorrow = issuer_today() + timedelta(days=1)
    words = {"code": code, "paid": keeper.monies[0], "tomorrow": tomorrow}
    answer = kumiai(*(argument.format(**words) for argument in arguments))
    assert answer.exit_code in (1, 2)
    assert said in answer.output
    assert "Traceback" not in answer.output


def test_another_sealing_key_is_said(
    kumiai: Kumiai,
    fresh_app: Flask,
    fresh_database: str,
    make_settings: Callable[[str], Settings],
    keeper: Shopkeeper,
    code: str,
    tmp_path: Path,
) -> None:
    with fresh_app.app_context():
        keeper.pay(10)
        keeper.close()
    kumiai("shop", "bank-account", code, *ACCOUNT, "--holder", "ア")
    kumiai("settlement", "requester", *ACCOUNT, "--code", "1", "--name", "ア")
    file = ("settlement", "transfer-file", _weekday(fresh_app), "--out", str(tmp_path / "x"))
    wrong = kumiai_for(replace(make_settings(fresh_database), sealing_key=b"x" * 32))(*file)
    assert wrong.exit_code == 1
    assert "KUMIAI_SEALING_KEY" in wrong.output
    assert not (tmp_path / "x").exists()
    assert kumiai(*file).exit_code == 0


def _today(app: Flask) -> str:
    with app.app_context():
        return issuer_today().isoformat()


def _weekday(app: Flask, *, after: int = 1) -> str:
    with app.app_context():
        return next_weekday(after=after).isoformat()
