"""Closing a shop: what a settlement says is what the ledger says, and what is closed stays closed."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import clock
from app.db import session, transaction
from app.errors import NotFound
from app.wallet import ledger
from app.wallet.models import Money, Shop
from app.wallet.postings import Accepted, Capture, Hold, Refused
from app.wallet.settlement import closing, service
from app.wallet.settlement.errors import NothingToSettle, PaidMoneyIsReimbursed, SettlementNotPosted
from app.wallet.settlement.rules import Terms
from app.wallet.verify import verify
from tests.wallet.postings import payment, refund
from tests.wallet.settlement.shopkeeper import Shopkeeper, settlements, shopkeeper, takings_yen

pytestmark = pytest.mark.ledger


@pytest.fixture(autouse=True)
def in_app(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def agree(keeper: Shopkeeper, terms: Terms, *, money: str | None = None) -> None:
    with transaction():
        shop = session().get_one(Shop, keeper.shop_id)
        row = session().query(Money).filter_by(code=money or keeper.monies[0]).one()
        service.set_terms(shop=shop, money=row, terms=terms)


def test_a_day_is_taken_given_back_and_settled(database_url: str) -> None:
    keeper = shopkeeper()
    keeper.pay(450)
    keeper.give_back(keeper.pay(300))
    agree(keeper, Terms(fee_rate_bp=150, fee_rounding="half_up"))
    settlement = keeper.close()
    (line,) = settlement.lines
    assert (line.payments, line.payments_yen, line.refunds, line.refunds_yen) == (2, 750, 1, 300)
    assert (line.settled_yen, line.fee_yen, line.payable_yen) == (450, 7, 443)
    assert (settlement.settled_yen, settlement.payable_yen, settlement.state) == (450, 443, "closed")
    assert settlement.number == 1
    assert settlement.transaction_id is not None
    assert takings_yen(database_url, keeper.shop_id) == {keeper.monies[0]: 0}


def test_the_ledger_holds_what_was_settled(database_url: str) -> None:
    keeper = shopkeeper(paid=2)
    keeper.pay(450)
    keeper.pay(1_000, money=keeper.monies[1])
    settlement = keeper.close()
    with psycopg.connect(database_url) as connection:
        kind, requester, request_id, amount_yen, position = (
            connection.execute(
                "SELECT kind, requester, request_id, amount_yen, position FROM transaction WHERE id = %s",
                [settlement.transaction_id],
            ).fetchone()
            or ()
        )
        books = connection.execute(
            "SELECT m.code, a.posted_yen FROM account a JOIN money m ON m.id = a.money_id"
            " WHERE a.book = 'settled_with_shops' AND m.code = ANY(%s)",
            [list(keeper.monies)],
        ).fetchall()
    assert (kind, requester, request_id, amount_yen) == (
        *("settlement", "kumiai", f"settlement:{settlement.id}"),
        1_450,
    )
    assert position > settlement.through_position
    assert dict(books) == {keeper.monies[0]: 450, keeper.monies[1]: 1_000}
    assert not verify(database_url)[1]


def test_each_begins_where_the_one_before_ended(database_url: str) -> None:
    keeper = shopkeeper()
    for amount_yen in (100, 200, 300):
        keeper.pay(amount_yen)
        keeper.close()
    found = settlements(keeper.shop_id)
    assert [one.number for one in found] == [1, 2, 3]
    assert [one.settled_yen for one in found] == [100, 200, 300]
    assert [one.after_position for one in found] == [0, *(one.through_position for one in found[:-1])]


def test_the_same_close_again_is_the_same_settlement() -> None:
    keeper = shopkeeper()
    keeper.pay(100)
    first = keeper.close()
    assert keeper.close() == first
    assert settlements(keeper.shop_id) == [first]


def test_closing_at_once_makes_one_settlement(app: Flask) -> None:
    keeper = shopkeeper()
    keeper.pay(100)
    start = threading.Barrier(4)

    def close() -> UUID:
        with app.app_context():
            start.wait()
            return closing.close(shop_id=keeper.shop_id)

    with ThreadPoolExecutor(4) as pool:
        ids = {future.result() for future in [pool.submit(close) for _ in range(4)]}
    (only,) = settlements(keeper.shop_id)
    assert ids == {only.id}
    assert (only.state, only.settled_yen) == ("closed", 100)


def test_what_the_shop_owes_is_carried_to_its_next_settlement(database_url: str) -> None:
    """The payment was settled; giving it back afterwards makes the shop owe it."""
    keeper = shopkeeper()
    paid = keeper.pay(500)
    keeper.close()
    keeper.pay(500)  # so that the takings cover what is given back
    assert isinstance(keeper.give_back(paid), Accepted)
    spent = keeper.pay(200)
    keeper.close()
    keeper.pay(200)
    assert isinstance(keeper.give_back(spent), Accepted)
    line = keeper.close_line()
    assert (line.payments_yen, line.refunds_yen, line.settled_yen, line.carried_out_yen) == (200, 200, 0, 0)
    assert settlements(keeper.shop_id)[-1].transaction_id is None  # there was nothing to post
    assert takings_yen(database_url, keeper.shop_id) == {keeper.monies[0]: 0}


def test_a_refund_between_the_row_and_the_ledger_leaves_the_takings_below_zero(database_url: str) -> None:
    """What is closed was so; the refund belongs to the next settlement, which carries the debt on."""
    keeper = shopkeeper()
    paid = keeper.pay(500)
    with transaction():
        cut = closing.positions.cut(issuer_id=keeper.holder(keeper.monies[0]).issuer_id, day=None)
        settlement_id = service.next_settlement(shop_id=keeper.shop_id, cut=cut).id
    assert isinstance(keeper.give_back(paid), Accepted)
    closing.finish(settlement_id)
    assert takings_yen(database_url, keeper.shop_id) == {keeper.monies[0]: -500}
    owing = keeper.close_line()
    assert (owing.refunds_yen, owing.settled_yen, owing.carried_out_yen) == (500, 0, -500)
    keeper.pay(1_200)
    line = keeper.close_line()
    assert (line.carried_in_yen, line.payments_yen, line.settled_yen, line.payable_yen) == (-500, 1_200, 700, 700)
    assert takings_yen(database_url, keeper.shop_id) == {keeper.monies[0]: 0}
    assert not verify(database_url)[1]


def test_a_debt_is_carried_on_in_a_money_that_did_not_move() -> None:
    keeper = shopkeeper(paid=2)
    first, second = keeper.monies
    paid = keeper.pay(500)
    with transaction():
        cut = closing.positions.cut(issuer_id=keeper.holder(first).issuer_id, day=None)
        settlement_id = service.next_settlement(shop_id=keeper.shop_id, cut=cut).id
    keeper.give_back(paid)
    closing.finish(settlement_id)
    for _ in range(2):
        keeper.pay(100, money=second)
        lines = {line.money.code: line for line in keeper.close().lines}
        assert lines[first].carried_out_yen == -500
        assert lines[second].payable_yen == 100


def test_points_leave_the_takings_but_are_paid_only_where_agreed(database_url: str) -> None:
    keeper = shopkeeper(paid=1, free=1)
    paid, free = keeper.monies
    agree(keeper, Terms(reimbursed=False), money=free)
    keeper.pay(400)
    keeper.pay(100, money=free)
    settlement = keeper.close()
    lines = {line.money.code: line for line in settlement.lines}
    assert (lines[free].backing, lines[free].settled_yen, lines[free].payable_yen) == ("free", 100, 0)
    assert (settlement.settled_yen, settlement.payable_yen) == (500, 400)
    assert takings_yen(database_url, keeper.shop_id) == {paid: 0, free: 0}
    agree(keeper, Terms(), money=free)
    keeper.pay(100, money=free)
    assert keeper.close().payable_yen == 100


def test_a_payment_out_of_two_monies_is_one_of_each(database_url: str) -> None:
    """Points go first, and the money asked for pays the rest."""
    keeper = shopkeeper(paid=1, free=1, balance_yen=300)
    paid, free = keeper.monies
    keeper.pay(450, money_only=False)
    settlement = keeper.close()
    lines = {line.money.code: line for line in settlement.lines}
    assert [(lines[code].payments, lines[code].settled_yen) for code in (paid, free)] == [(1, 150), (1, 300)]
    assert takings_yen(database_url, keeper.shop_id) == {paid: 0, free: 0}
    assert not verify(database_url)[1]


def test_what_a_shop_captured_counts_as_a_payment(database_url: str) -> None:
    keeper = shopkeeper()
    name: dict[str, Any] = {"requester": "test", "params_hash": b"hold"}
    held = ledger.post(
        Hold(
            **name,
            request_id=secrets.token_hex(8),
            member_id=keeper.member_id,
            money=keeper.monies[0],
            shop_id=keeper.shop_id,
            amount_yen=500,
            controls=(),
            expires_at=clock.now() + timedelta(hours=1),
        )
    )
    assert isinstance(held, Accepted), held
    key = secrets.token_hex(8)
    captured = ledger.post(Capture(**name, request_id=key, hold_id=held.transaction_id, amount_yen=420))
    assert isinstance(captured, Accepted), captured
    assert isinstance(ledger.post(replace(refund(captured.transaction_id), amount_yen=20)), Accepted)
    line = keeper.close_line()
    assert (line.payments, line.payments_yen, line.refunds_yen, line.settled_yen) == (1, 420, 20, 400)
    assert takings_yen(database_url, keeper.shop_id) == {keeper.monies[0]: 0}


def test_a_shop_that_is_closed_is_settled_all_the_same(database_url: str) -> None:
    keeper = shopkeeper()
    keeper.pay(500)
    with transaction():
        session().get_one(Shop, keeper.shop_id).status = "closed"
    assert keeper.close().settled_yen == 500
    assert takings_yen(database_url, keeper.shop_id) == {keeper.monies[0]: 0}


def test_paid_money_is_always_paid_out() -> None:
    keeper = shopkeeper()
    with pytest.raises(PaidMoneyIsReimbursed):
        agree(keeper, Terms(reimbursed=False))


def test_new_terms_do_not_change_what_is_closed() -> None:
    keeper = shopkeeper()
    keeper.pay(1_000)
    before = keeper.close()
    agree(keeper, Terms(fee_rate_bp=1_000))
    assert settlements(keeper.shop_id) == [before]
    keeper.pay(1_000)
    assert keeper.close_line().fee_yen == 100


def test_a_shop_without_takings_has_nothing_to_settle() -> None:
    keeper = shopkeeper()
    with pytest.raises(NothingToSettle):
        keeper.close()
    with pytest.raises(NotFound):
        closing.close(shop_id=uuid4())


def test_a_refund_of_what_was_settled_is_refused_while_the_takings_do_not_cover_it() -> None:
    keeper = shopkeeper()
    paid = keeper.pay(500)
    keeper.close()
    assert isinstance(keeper.give_back(paid), Refused)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.integers(1, 3_000), st.integers(0, 1)),
        st.tuples(st.just("refund"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("close"), st.just(0), st.just(0)),
        st.tuples(st.just("only the row"), st.just(0), st.just(0)),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_settled_and_open_together_are_always_the_takings(steps: list[tuple[str, int, int]], database_url: str) -> None:
    """Whatever happens in whatever order: settled + still in the takings = taken − given back, in each money."""
    keeper = shopkeeper(paid=2, balance_yen=100_000)
    agree(keeper, Terms(fee_rate_bp=333, fee_rounding="up"))
    taken = dict.fromkeys(keeper.monies, 0)
    payments: list[tuple[UUID, str, int]] = []
    for step, number, which in steps:
        if step == "pay":
            money = keeper.monies[which]
            payments.append((keeper.pay(number, money=money), money, number))
            taken[money] += number
        elif step == "refund" and payments:
            id_, money, amount_yen = payments.pop(number % len(payments))
            if isinstance(keeper.give_back(id_), Accepted):
                taken[money] -= amount_yen
        elif step == "close" and payments:
            closing.close(shop_id=keeper.shop_id)
        elif payments:  # the process dies after the row; the next close goes on
            with transaction():
                cut = closing.positions.cut(issuer_id=keeper.holder(keeper.monies[0]).issuer_id, day=None)
                service.next_settlement(shop_id=keeper.shop_id, cut=cut)
    found = settlements(keeper.shop_id)
    posted = [one for one in found if one.state == "closed"]
    settled = {
        money: sum(line.settled_yen for one in posted for line in one.lines if line.money.code == money)
        for money in keeper.monies
    }
    still = takings_yen(database_url, keeper.shop_id)
    assert {money: settled[money] + still[money] for money in keeper.monies} == taken
    assert [one.after_position for one in found] == [0, *(one.through_position for one in found[:-1])][: len(found)]


def test_one_that_the_ledger_refuses_does_not_hold_up_the_others(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its name was taken by something else (nothing but a mistake in the database could do that)."""
    keepers = shopkeeper(), shopkeeper()
    ids = []
    for keeper in keepers:
        keeper.pay(100)
        with transaction():
            cut = closing.positions.cut(issuer_id=keeper.holder(keeper.monies[0]).issuer_id, day=None)
            ids.append(service.next_settlement(shop_id=keeper.shop_id, cut=cut).id)
    posting = replace(payment(keepers[0].holder(keepers[0].monies[0]), 1), requester="kumiai")
    ledger.post(replace(posting, request_id=f"settlement:{ids[0]}"))
    done = closing.finish_all()
    assert isinstance(done[ids[0]], SettlementNotPosted)
    assert done[ids[0]].detail["problem"] == "request_id_conflict"  # type: ignore[union-attr]
    assert done[ids[1]] is None
    assert str(ids[0]) in caplog.text
    assert takings_yen(database_url, keepers[1].shop_id) == {keepers[1].monies[0]: 0}
    with pytest.raises(SettlementNotPosted):
        keepers[0].close()
