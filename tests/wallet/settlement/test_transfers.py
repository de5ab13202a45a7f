"""Paying the shops: what is in a file, and that nothing is ever in two."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta

import psycopg
import pytest
from flask import Flask

from app.db import session, transaction
from app.errors import DomainError, NotFound
from app.issuer import current_issuer, issuer_today
from app.seal import SealBroken
from app.wallet import directory
from app.wallet.models import Money, Shop
from app.wallet.settlement import bank, service, transfers
from app.wallet.settlement.bank import BankPlace
from app.wallet.settlement.errors import (
    NoBankingDay,
    NothingToTransfer,
    NoTransferRequester,
    TransferDayTaken,
)
from app.wallet.settlement.rules import Terms
from app.wallet.settlement.transfers import Made
from tests.wallet.settlement.accounts import KEY, PLACE, next_weekday, set_requester
from tests.wallet.settlement.shopkeeper import Shopkeeper, shopkeeper
from tests.wallet.settlement.zengin_reader import Read, read


@pytest.fixture(autouse=True)
def in_app(fresh_app: Flask) -> Iterator[None]:
    with fresh_app.app_context():
        yield


def with_account(keeper: Shopkeeper, *, place: BankPlace = PLACE, holder: str = "カ）ブックス") -> Shopkeeper:
    with transaction():
        shop = session().get_one(Shop, keeper.shop_id)
        bank.set_shop_account(shop, place, holder=holder, sealing_key=KEY)
    return keeper


def requester(*, line_ends: bool = True) -> None:
    with transaction():
        set_requester(line_ends=line_ends)


def make(on: date | None = None, *, key: bytes = KEY) -> Made:
    with transaction():
        return transfers.transfer_file(issuer_id=current_issuer().id, on=on or next_weekday(), sealing_key=key)


def found(made: Made) -> Read:
    return read(made.content, line_ends=True)


def test_each_shop_is_paid_once_whatever_it_was_settled_in() -> None:
    requester()
    keeper = with_account(shopkeeper())
    for amount_yen in (100, 200, 300):
        keeper.pay(amount_yen)
        keeper.close()
    other = with_account(shopkeeper(), place=replace(PLACE, number="42", account_type="savings"), holder="ショドウブ")
    other.pay(1_000)
    other.close()
    made = make()
    paid = {record.name: record for record in found(made).records}
    assert (paid["ｶ)ﾌﾞﾂｸｽ"].amount_yen, paid["ｶ)ﾌﾞﾂｸｽ"].edi) == (600, "1-3")
    assert (paid["ｼﾖﾄﾞｳﾌﾞ"].amount_yen, paid["ｼﾖﾄﾞｳﾌﾞ"].edi, paid["ｼﾖﾄﾞｳﾌﾞ"].number) == (1_000, "1", "0000042")
    assert paid["ｼﾖﾄﾞｳﾌﾞ"].account_type == "4"
    assert (found(made).code, found(made).name) == ("0000012345", "ﾄｳﾄﾀﾞｲｶﾞｸｾｲｷﾖｳ")
    assert (made.records, made.total_yen, made.again, made.without_account) == (2, 1_600, False, ())
    with pytest.raises(NothingToTransfer):
        make(next_weekday(after=2))


def test_the_same_day_gives_the_same_bytes_and_what_came_since_waits() -> None:
    requester()
    keeper = with_account(shopkeeper())
    keeper.pay(100)
    keeper.close()
    first = make()
    keeper.pay(50)
    keeper.close()
    with_account(keeper, place=replace(PLACE, number="7654321"))
    requester(line_ends=False)
    again = make()
    assert (again.content, again.again) == (first.content, True)
    later = make(next_weekday(after=2))
    (record,) = read(later.content, line_ends=False).records
    assert (record.amount_yen, record.number, record.edi) == (50, "7654321", "2")


def test_two_at_once_get_one_file(fresh_app: Flask) -> None:
    requester()
    keeper = with_account(shopkeeper())
    keeper.pay(100)
    keeper.close()
    start = threading.Barrier(3)

    def in_thread() -> Made:
        with fresh_app.app_context():
            start.wait()
            return make()

    with ThreadPoolExecutor(3) as pool:
        made = [future.result() for future in [pool.submit(in_thread) for _ in range(3)]]
    assert len({one.content for one in made}) == 1
    assert sorted(one.again for one in made) == [False, True, True]


def test_a_shop_without_an_account_is_named_and_waits() -> None:
    requester()
    own, other = shopkeeper(), with_account(shopkeeper())
    for keeper in (own, other):
        keeper.pay(100)
        keeper.close()
    made = make()
    assert made.records == 1
    assert made.without_account == (directory.shop_by_id(own.shop_id).code,)
    with_account(own)
    assert make(next_weekday(after=2)).total_yen == 100


def test_what_is_not_paid_out_is_in_no_file() -> None:
    requester()
    keeper = with_account(shopkeeper(paid=0, free=1))
    with transaction():
        money = session().query(Money).filter_by(code=keeper.monies[0]).one()
        service.set_terms(shop=session().get_one(Shop, keeper.shop_id), money=money, terms=Terms(reimbursed=False))
    keeper.pay(100)
    keeper.close()
    with pytest.raises(NothingToTransfer):
        make()


def test_without_the_issuers_account_there_is_no_file() -> None:
    keeper = with_account(shopkeeper())
    keeper.pay(100)
    keeper.close()
    with pytest.raises(NoTransferRequester):
        make()
    requester()
    assert make().total_yen == 100


@pytest.mark.parametrize("days", [-1, 400])
def test_a_day_on_which_banks_cannot_is_refused(days: int) -> None:
    requester()
    keeper = with_account(shopkeeper())
    keeper.pay(100)
    keeper.close()
    with pytest.raises(NoBankingDay):
        make(issuer_today() + timedelta(days=days))
    assert make().total_yen == 100


def test_a_file_that_the_bank_refused_moves_to_another_day() -> None:
    requester()
    keeper = with_account(shopkeeper())
    keeper.pay(100)
    keeper.close()
    first = make()
    monday = next_weekday(after=2)
    with transaction():
        transfers.move(issuer_id=current_issuer().id, of=next_weekday(), to=monday)
    moved = make(monday)
    assert moved.again
    assert found(moved).mmdd == f"{monday:%m%d}"
    assert found(moved).records == found(first).records
    with pytest.raises(NothingToTransfer):
        make()


def test_a_file_moves_only_to_a_free_banking_day() -> None:
    requester()
    keeper = with_account(shopkeeper())
    for after in (1, 2):
        keeper.pay(100)
        keeper.close()
        make(next_weekday(after=after))
    wrong: dict[date, type[DomainError]] = {
        next_weekday(after=2): TransferDayTaken,
        issuer_today() - timedelta(days=1): NoBankingDay,
    }
    for to, error in wrong.items():
        with pytest.raises(error), transaction():
            transfers.move(issuer_id=current_issuer().id, of=next_weekday(), to=to)
    with pytest.raises(NotFound), transaction():
        transfers.move(issuer_id=current_issuer().id, of=next_weekday(after=3), to=next_weekday(after=4))


def test_numbers_are_sealed_to_their_owner(fresh_database: str) -> None:
    """Neither the database alone nor a row put in another's place tells or changes where money goes."""
    requester()
    keeper, other = with_account(shopkeeper()), shopkeeper()
    with psycopg.connect(fresh_database) as connection:
        rows = connection.execute("SELECT shop_bank_account::text, last_digits FROM shop_bank_account").fetchall()
        assert all("1234567" not in row and digits == "567" for row, digits in rows)
        connection.execute(
            "INSERT INTO shop_bank_account SELECT gen_random_uuid(), issuer_id, %s, bank_code, bank_name, branch_code,"
            " branch_name, account_type, holder, sealed_number, last_digits, now() FROM shop_bank_account",
            [other.shop_id],
        )
    other.pay(100)
    other.close()
    with pytest.raises(SealBroken):
        make()
    keeper.pay(100)
    keeper.close()
    with pytest.raises(SealBroken):
        make(key=b"x" * 32)
    with transaction():
        row = bank.shop_account(keeper.shop_id)
        assert row is not None
        assert bank.shown(row)["number"] == "****567"
