"""The second line: what PostgreSQL refuses, whatever program is connected."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from flask import Flask

from app.wallet import ledger
from app.wallet.postings import Accepted
from tests import factories
from tests.wallet.postings import payment

pytestmark = pytest.mark.ledger


@pytest.fixture
def connection(app: Flask, database_url: str) -> Iterator[psycopg.Connection]:
    with app.app_context():
        holder = factories.holder(balance_yen=1_000)
        assert isinstance(ledger.post(payment(holder, 400)), Accepted)
    with psycopg.connect(database_url) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("table", ["transaction", "transfer"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET amount_yen = 1", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_ledger_is_immutable(connection: psycopg.Connection, table: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="immutable"):
        connection.execute(statement.format(table).encode())


def test_no_sum_changes_by_itself(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="does not add up to zero"):
        connection.execute("UPDATE account SET posted_yen = posted_yen + 1 WHERE kind = 'lot' AND posted_yen > 0")


def test_value_does_not_cross_from_one_money_to_another(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="does not add up to zero"):
        connection.execute(
            "UPDATE account SET posted_yen = posted_yen + CASE money_id WHEN least THEN 1 ELSE -1 END"
            " FROM (SELECT min(money_id) AS least, max(money_id) AS most FROM account WHERE kind = 'book') AS m"
            " WHERE kind = 'book' AND money_id IN (least, most) AND least <> most"
        )


def test_no_wallet_or_shop_goes_below_zero(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="ck_account_floor"):
        connection.execute("UPDATE account SET posted_yen = -1 WHERE kind IN ('lot', 'takings')")


def test_an_account_begins_at_zero_and_is_never_removed(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="begins at zero"):
        connection.execute(
            "INSERT INTO account (issuer_id, money_id, kind, book, posted_yen)"
            " SELECT issuer_id, id, 'book', 'made_up', 1 FROM money LIMIT 1"
        )
    connection.rollback()
    with pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute("DELETE FROM account")


def test_a_transfer_stays_within_one_money(connection: psycopg.Connection) -> None:
    """The accounts' own money is part of the foreign key, on both sides."""
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="fk_transfer_credit"):
        connection.execute(
            "INSERT INTO transfer (transaction_id, line, position, money_id, debit_account_id, credit_account_id,"
            " amount_yen, debit_after_yen, credit_after_yen)"
            " SELECT t.id, 99, t.position, a.money_id, a.id, b.id, 1, 0, 1"
            "   FROM transaction t, account a, account b"
            "  WHERE a.money_id <> b.money_id ORDER BY t.position LIMIT 1"
        )
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_name_is_used_once(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation, match="pk_request"):
        connection.execute(
            "INSERT INTO request (requester, request_id, issuer_id, params_hash, transaction_id, refusal, answer)"
            " SELECT requester, request_id, issuer_id, params_hash, NULL, 'x', answer FROM request LIMIT 1"
        )
