"""The ledger through its front: what moves, what is refused, what a repeated request gets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from app.db import transaction
from app.wallet import ledger, spend_control
from app.wallet.postings import Accepted, Outcome, Refused
from app.wallet.verify import verify
from tests import factories
from tests.wallet.postings import payment, refund

pytestmark = pytest.mark.ledger


@pytest.fixture(autouse=True)
def context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def test_a_payment_moves_value_from_the_wallet_to_the_shop() -> None:
    holder = factories.holder(balance_yen=1_000)
    outcome = ledger.post(payment(holder, 380))
    assert isinstance(outcome, Accepted)
    assert (outcome.amount_yen, outcome.balance_yen, outcome.hit) == (380, 620, False)


def test_positions_follow_one_another_and_time_never_runs_back() -> None:
    holder = factories.holder(balance_yen=1_000)
    first, second = (ledger.post(payment(holder, 1)) for _ in range(2))
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert second.position == first.position + 1
    assert second.created_at >= first.created_at


def test_the_same_request_again_moves_nothing_and_answers_the_same() -> None:
    holder = factories.holder(balance_yen=1_000)
    first = ledger.post(payment(holder, 100, key="once"))
    ledger.post(payment(holder, 50))
    again = ledger.post(payment(holder, 100, key="once"))
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert again.hit
    assert (again.transaction_id, again.balance_yen, again.position) == (
        first.transaction_id,
        first.balance_yen,
        first.position,
    )


def test_the_same_name_for_another_request_is_refused_and_stays_refused() -> None:
    holder = factories.holder(balance_yen=1_000)
    key = uuid4().hex
    ledger.post(payment(holder, 100, key=key))
    for _ in range(2):
        outcome = ledger.post(payment(holder, 200, key=key))
        assert isinstance(outcome, Refused)
        assert outcome.code == "request_id_conflict"


def test_a_refusal_is_an_answer_too_and_is_given_again_even_when_there_is_money_now() -> None:
    holder = factories.holder(balance_yen=100)
    key = uuid4().hex
    first = ledger.post(payment(holder, 380, key=key))
    assert isinstance(first, Refused)
    assert (first.code, dict(first.detail)) == ("insufficient_balance", {"balance_yen": 100, "short_by_yen": 280})
    factories.charge(member_id=holder.member_id, money=holder.money, amount_yen=1_000)
    again = ledger.post(payment(holder, 380, key=key))
    assert isinstance(again, Refused)
    assert (again.code, dict(again.detail), again.hit) == (first.code, dict(first.detail), True)


def test_the_same_request_from_twenty_threads_moves_once(app: Flask) -> None:
    holder = factories.holder(balance_yen=1_000)
    key = uuid4().hex
    outcomes: list[Outcome] = []

    def pay() -> None:
        with app.app_context():
            outcomes.append(ledger.post(payment(holder, 100, key=key)))

    threads = [threading.Thread(target=pay) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    assert len(accepted) == 20
    assert len({outcome.transaction_id for outcome in accepted}) == 1
    assert sum(not outcome.hit for outcome in accepted) == 1
    last = ledger.post(payment(holder, 1))
    assert isinstance(last, Accepted)
    assert last.balance_yen == 899


@pytest.mark.parametrize("amount_yen", [0, -1, 10_000_000])
def test_an_amount_out_of_range_is_refused(amount_yen: int) -> None:
    holder = factories.holder(balance_yen=100)
    assert _code(ledger.post(payment(holder, amount_yen))) == "invalid_amount"


def test_what_does_not_exist_is_refused_by_name() -> None:
    holder = factories.holder(balance_yen=100)
    other_money = factories.money()
    assert _code(ledger.post(payment(holder, 1, shop_id=uuid4()))) == "shop_unknown"
    assert _code(ledger.post(payment(holder, 1, money=other_money))) == "money_not_accepted"
    assert _code(ledger.post(payment(holder, 1, money="no_such"))) == "money_not_accepted"
    assert _code(ledger.post(payment(holder, 1, member_id=uuid4()))) == "wallet_unknown"
    assert _code(ledger.post(payment(holder, 1, controls=(uuid4(),)))) == "mandate_exceeded"
    assert _code(ledger.post(refund(uuid4()))) == "not_refundable"


@pytest.mark.parametrize(
    ("status", "balance_yen", "code"), [("suspended", 100, "wallet_suspended"), ("closed", 0, "wallet_closed")]
)
def test_a_wallet_that_is_not_active_pays_nothing(status: str, balance_yen: int, code: str) -> None:
    holder = factories.holder(balance_yen=balance_yen)
    with transaction() as session:
        session.execute(
            text("UPDATE wallet SET status = :status WHERE member_id = :member"),
            {"status": status, "member": holder.member_id},
        )
    assert _code(ledger.post(payment(holder, 1))) == code


def test_a_closed_shop_takes_nothing() -> None:
    holder = factories.holder(balance_yen=100)
    with transaction() as session:
        session.execute(text("UPDATE shop SET status = 'closed' WHERE id = :id"), {"id": holder.shop_id})
    assert _code(ledger.post(payment(holder, 1))) == "shop_closed"


def test_a_mandate_holds_the_ceiling_the_shop_and_the_money() -> None:
    holder = factories.holder(balance_yen=5_000)
    other_shop = factories.shop(accepts=[holder.money])
    grant_id = uuid4()
    with transaction():
        spend_control.put_control(
            control_id=grant_id, kind="grant", max_per_payment_yen=1_000, shops=[holder.shop_id], monies=[holder.money]
        )
    assert isinstance(ledger.post(payment(holder, 1_000, controls=(grant_id,), grant_id=grant_id)), Accepted)
    over = ledger.post(payment(holder, 1_001, controls=(grant_id,), grant_id=grant_id))
    assert isinstance(over, Refused)
    assert (over.code, dict(over.detail)) == ("mandate_exceeded", {"limit": "max_per_payment_yen", "max_yen": 1_000})
    assert (
        _code(ledger.post(payment(holder, 1, shop_id=other_shop, controls=(grant_id,), grant_id=grant_id)))
        == "mandate_exceeded"
    )
    with transaction():
        spend_control.set_status(grant_id, "revoked")
    assert _code(ledger.post(payment(holder, 1, controls=(grant_id,), grant_id=grant_id))) == "mandate_exceeded"


@pytest.mark.parametrize(
    ("kind", "status", "code"), [("card", "lost", "card_lost"), ("terminal", "revoked", "terminal_revoked")]
)
def test_a_stopped_card_or_terminal_spends_nothing(kind: str, status: str, code: str) -> None:
    holder = factories.holder(balance_yen=100)
    control_id = uuid4()
    with transaction():
        spend_control.put_control(control_id=control_id, kind=kind)
    assert isinstance(ledger.post(payment(holder, 1, controls=(control_id,))), Accepted)
    with transaction():
        spend_control.set_status(control_id, status)
    assert _code(ledger.post(payment(holder, 1, controls=(control_id,)))) == code


def test_a_refund_gives_the_whole_payment_back_once() -> None:
    holder = factories.holder(balance_yen=1_000)
    paid = ledger.post(payment(holder, 400))
    assert isinstance(paid, Accepted)
    key = uuid4().hex
    back = ledger.post(refund(paid.transaction_id, key=key))
    assert isinstance(back, Accepted)
    assert (back.kind, back.amount_yen, back.balance_yen) == ("refund", 400, 1_000)
    again = ledger.post(refund(paid.transaction_id, key=key))
    assert isinstance(again, Accepted)
    assert again.hit
    assert _code(ledger.post(refund(paid.transaction_id))) == "already_refunded"
    assert _code(ledger.post(refund(back.transaction_id))) == "not_refundable"


def test_posting_inside_a_transaction_is_a_programming_error() -> None:
    holder = factories.holder(balance_yen=100)
    with pytest.raises(AssertionError, match="end the transaction"), transaction() as session:
        session.execute(text("SELECT 1"))
        ledger.post(payment(holder, 1))


def test_one_posting_that_the_database_refuses_fails_alone(app: Flask) -> None:
    """A NUL cannot be stored; the schemas keep it out. Should one come through, its neighbours are paid."""
    holder = factories.holder(balance_yen=1_000)
    results: dict[int, Outcome | Exception] = {}

    def pay(index: int) -> None:
        with app.app_context():
            try:
                results[index] = ledger.post(payment(holder, 1, description="\0" if index == 3 else ""))
            except Exception as error:
                results[index] = error

    threads = [threading.Thread(target=pay, args=[index]) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert isinstance(results.pop(3), psycopg.Error)
    assert all(isinstance(outcome, Accepted) for outcome in results.values())


def test_the_ledger_is_clean_after_all_this(database_url: str) -> None:
    ledger.post(payment(factories.holder(balance_yen=1), 1))
    extent, differences = verify(database_url)
    assert extent.transactions >= 2
    assert differences == []


def _code(outcome: Outcome) -> str:
    assert isinstance(outcome, Refused), outcome
    return outcome.code
