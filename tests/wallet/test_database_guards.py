"""The second line: what PostgreSQL refuses, whatever program is connected."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from flask import Flask

from app.wallet import ledger
from app.wallet.postings import Accepted
from tests import factories
from tests.live import eventually
from tests.wallet.postings import payment, refund

pytestmark = pytest.mark.ledger


@pytest.fixture
def connection(fresh_app: Flask, fresh_database: str) -> Iterator[psycopg.Connection]:
    """Two monies; of one, ¥400 of ¥1,000 were paid and ¥100 more of them were given back."""
    with fresh_app.app_context():
        holder = factories.holder(balance_yen=1_000)
        assert isinstance(ledger.post(payment(holder, 400)), Accepted)
        given_back = ledger.post(payment(holder, 100))
        assert isinstance(given_back, Accepted)
        assert isinstance(ledger.post(refund(given_back.transaction_id)), Accepted)
        factories.money()
    with psycopg.connect(fresh_database) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("table", ["transaction", "transfer", "request"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET created_at = now()", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_ledger_is_immutable(connection: psycopg.Connection, table: str, statement: str) -> None:
    if table == "transfer":
        statement = statement.replace("created_at = now()", "amount_yen = 1")
    with pytest.raises(psycopg.errors.RestrictViolation, match="immutable"):
        connection.execute(statement.format(table).encode())


@pytest.mark.parametrize("of", ["a payment that was given back", "a charge"])
def test_no_more_is_given_back_than_was_paid(connection: psycopg.Connection, of: str) -> None:
    which = "kind = 'charge'" if of == "a charge" else "id = (SELECT reverses FROM transaction WHERE kind = 'refund')"
    with pytest.raises(psycopg.errors.CheckViolation, match="more is given back than was paid"):
        connection.execute(
            "INSERT INTO transaction (id, issuer_id, position, kind, requester, request_id, member_id, money_id,"
            " shop_id, amount_yen, reverses, created_at)"
            " SELECT gen_random_uuid(), issuer_id, 1000, 'refund', 'x', 'y', member_id, money_id, shop_id, 1, id,"
            f" now() FROM transaction WHERE {which}".encode()
        )


def test_two_connections_do_not_give_back_twice(connection: psycopg.Connection, fresh_database: str) -> None:
    """The other's refund is not committed yet; whoever comes second waits for it and then sees it."""
    give_back = (
        "INSERT INTO transaction (id, issuer_id, position, kind, requester, request_id, member_id, money_id, shop_id,"
        " amount_yen, reverses, created_at)"
        " SELECT gen_random_uuid(), issuer_id, %(position)s, 'refund', 'x', %(position)s::text, member_id, money_id,"
        " shop_id, 300, id, now() FROM transaction WHERE kind = 'payment' AND amount_yen = 400"
    )
    with psycopg.connect(fresh_database) as other, psycopg.connect(fresh_database, autocommit=True) as watching:
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connection.execute(give_back, {"position": 1000})
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(other.execute, give_back, {"position": 1001})
            blocked = "SELECT true FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
            eventually(lambda: watching.execute(blocked, [connection.info.backend_pid]).fetchone())
            connection.commit()
            with pytest.raises(psycopg.errors.CheckViolation, match="more is given back than was paid"):
                second.result(timeout=30)


def test_a_wallets_lot_is_of_the_wallets_money(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="fk_account_wallet_id_money_id"):
        connection.execute(
            "INSERT INTO account (issuer_id, money_id, kind, wallet_id, expires_on)"
            " SELECT w.issuer_id, m.id, 'lot', w.id, '2030-03-31' FROM wallet w JOIN money m ON m.id <> w.money_id"
        )


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


@pytest.mark.parametrize(
    ("transaction_id", "position", "debit", "credit"),
    [
        ("t.id", "t.position", "a.id", "b.id"),
        ("t.id", "t.position", "b.id", "a.id"),
        ("t.id", "t.position", "a.id", "-1"),
        ("t.id", "t.position", "-1", "a.id"),
        ("t.id", "t.position + 1", "a.id", "c.id"),
        ("gen_random_uuid()", "t.position", "a.id", "c.id"),
    ],
)
def test_a_transfer_is_of_a_transaction_and_of_accounts_of_its_money(
    connection: psycopg.Connection, transaction_id: str, position: str, debit: str, credit: str
) -> None:
    """No foreign key says so row by row; the trigger says it for the whole statement."""
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="not there, or of another money"):
        connection.execute(
            "INSERT INTO transfer (transaction_id, line, position, money_id, debit_account_id, credit_account_id,"
            " amount_yen, debit_after_yen, credit_after_yen)"
            f" SELECT {transaction_id}, 99, {position}, a.money_id, {debit}, {credit}, 1, 0, 1"
            "   FROM transaction t, account a, account b, account c"
            "  WHERE a.money_id <> b.money_id AND a.money_id = c.money_id AND a.id <> c.id"
            "    AND 'book' = ALL (ARRAY[a.kind, b.kind, c.kind]) ORDER BY t.position LIMIT 1"
        )


def test_a_request_has_its_transaction(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="whose transaction is not there"):
        connection.execute(
            "INSERT INTO request (requester, request_id, issuer_id, params_hash, transaction_id, answer)"
            " SELECT requester, 'another', issuer_id, params_hash, gen_random_uuid(), answer FROM request LIMIT 1"
        )


def test_a_transaction_has_one_request(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="whose transaction is not there"):
        connection.execute(
            "INSERT INTO request (requester, request_id, issuer_id, params_hash, transaction_id, answer)"
            " SELECT requester, 'a second name', issuer_id, params_hash, transaction_id, answer FROM request"
            "  WHERE transaction_id IS NOT NULL LIMIT 1"
        )


def test_a_name_is_used_once(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation, match="pk_request"):
        connection.execute(
            "INSERT INTO request (requester, request_id, issuer_id, params_hash, transaction_id, refusal, answer)"
            " SELECT requester, request_id, issuer_id, params_hash, NULL, 'x', answer FROM request LIMIT 1"
        )
