"""`kumiai ledger verify` finds each way in which the books could be wrong. The damage is done behind the triggers."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest
from flask import Flask

from app.db import transaction
from app.wallet import ledger, spend_control
from app.wallet.postings import Accepted
from app.wallet.verify import verify
from tests import factories
from tests.wallet.postings import payment, refund

pytestmark = pytest.mark.ledger

DAMAGE = {
    "an account's sum is not what its transfers add up to": (
        "UPDATE account SET posted_yen = posted_yen + 1 WHERE kind = 'lot'"
    ),
    "a transfer's balances do not follow from the one before": "UPDATE transfer SET debit_after_yen = 7",
    "money was made or lost: the accounts of a money do not add up to zero": (
        "UPDATE account SET posted_yen = posted_yen + 5 WHERE kind = 'takings'"
    ),
    "a balance is below zero": (
        "ALTER TABLE account DROP CONSTRAINT ck_account_floor; UPDATE account SET posted_yen = -1 WHERE kind = 'lot'"
    ),
    "a wallet's total is not the sum of its lots": "UPDATE wallet SET total_yen = total_yen + 1",
    "a transaction's amount is not what its transfers move": "UPDATE transaction SET amount_yen = amount_yen + 1",
    "a transaction names another member or shop than its accounts": (
        "UPDATE transaction SET shop_id = gen_random_uuid() WHERE kind = 'payment'"
    ),
    "positions have a gap, or the head is not at their end": "UPDATE issuer_head SET position = position + 1",
    "time runs backwards along the positions": (
        "UPDATE transaction SET created_at = created_at - interval '1 day' WHERE kind = 'refund'"
    ),
    "a transaction has no request, or another one's": "DELETE FROM request WHERE transaction_id IS NOT NULL",
    "a grant's sums of this day and month are not what was paid under it": (
        "UPDATE spend_control SET spent_day_yen = spent_day_yen - 1"
    ),
    "more was refunded than was paid": "UPDATE transaction SET amount_yen = 9999 WHERE kind = 'refund'",
}


@pytest.fixture
def books(fresh_app: Flask, fresh_database: str) -> str:
    """A small ledger with a charge, two payments and a refund."""
    with fresh_app.app_context():
        holder = factories.holder(balance_yen=1_000)
        paid = ledger.post(payment(holder, 300))
        assert isinstance(paid, Accepted)
        grant_id = uuid4()
        with transaction():
            spend_control.put_control(control_id=grant_id, kind="grant", max_per_day_yen=200)
        ledger.post(payment(holder, 200, controls=(grant_id,), grant_id=grant_id))
        ledger.post(refund(paid.transaction_id))
    return fresh_database


def test_true_books_are_clean(books: str) -> None:
    extent, differences = verify(books)
    assert (extent.transactions, extent.transfers) == (4, 4)
    assert differences == []


@pytest.mark.parametrize("check", DAMAGE)
def test_damage_is_found(books: str, check: str) -> None:
    with psycopg.connect(books) as connection:
        connection.execute("SET session_replication_role = replica")  # no triggers: somebody with the superuser's key
        connection.execute(DAMAGE[check].encode())
    _, differences = verify(books)
    assert check in {difference.check for difference in differences}
