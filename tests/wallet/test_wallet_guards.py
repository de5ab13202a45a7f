"""The second line of the wallet's rules: what PostgreSQL refuses of transfers, holds, codes and settings."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from flask import Flask

from app.db import transaction
from app.issuer import current_issuer
from app.wallet import setup
from tests import factories

pytestmark = pytest.mark.ledger


@pytest.fixture
def connection(fresh_app: Flask, fresh_database: str) -> Iterator[psycopg.Connection]:
    """A member with ¥1,000 of base money and none of meal money, a shop that accepts both, and points."""
    with fresh_app.app_context():
        member_id = factories.member()
        issuer_id = current_issuer().id
        with transaction():
            monies = [
                setup.open_money(issuer_id=issuer_id, code=code, name_ja=code, name_en=code, backing=backing)
                for code, backing in (("base", "paid"), ("meal", "paid"), ("points", "free"))
            ]
            setup.open_shop(issuer_id=issuer_id, code="canteen", name_ja="食堂", name_en="Canteen", accepts=monies)
            for money in monies:
                setup.open_wallet(issuer_id=issuer_id, member_id=member_id, money=money)
        factories.charge(member_id=member_id, money="base", amount_yen=1_000)
    with psycopg.connect(fresh_database) as connection:
        yield connection
        connection.rollback()


_TRANSACTION = """
INSERT INTO transaction (id, issuer_id, position, kind, requester, request_id, member_id, money_id, shop_id,
                         amount_yen, metadata, created_at)
SELECT '00000000-0000-0000-0000-000000000001', issuer_id, 1000, %(kind)s, 'x', 'y', member_id, money_id, NULL,
       100, %(metadata)s, now()
  FROM transaction WHERE kind = 'charge'
"""
_TRANSFER = """
INSERT INTO transfer (transaction_id, line, position, money_id, debit_account_id, credit_account_id, amount_yen,
                      debit_after_yen, credit_after_yen)
SELECT '00000000-0000-0000-0000-000000000001', 1, 1000, debit.money_id, debit.id, credit.id, 100, 0, 0
  FROM account debit JOIN account credit USING (money_id) JOIN money ON money.id = debit.money_id
 WHERE money.code = %(money)s
   AND (debit.kind = %(debit)s OR debit.book = %(debit)s) AND (credit.kind = %(credit)s OR credit.book = %(credit)s)
"""


def _write(
    connection: psycopg.Connection,
    kind: str,
    *,
    debit: str = "lot",
    credit: str = "takings",
    money: str = "base",
    metadata: str = "{}",
) -> None:
    connection.execute(_TRANSACTION, {"kind": kind, "metadata": metadata})
    connection.execute(_TRANSFER, {"money": money, "debit": debit, "credit": credit})


def test_what_the_rules_allow_passes(connection: psycopg.Connection) -> None:
    _write(connection, "payment")


@pytest.mark.parametrize(
    ("before", "broken"),
    [
        ("UPDATE wallet SET status = 'suspended'", "a wallet that is not active"),
        ("UPDATE shop SET status = 'closed'", "a shop that is closed"),
        ("UPDATE shop_money SET accepted = false", "a money that the shop does not accept"),
        ("DELETE FROM shop_money", "a money that the shop does not accept"),
        ("UPDATE account SET expires_on = current_date - 3 WHERE kind = 'lot'", "value that has expired"),
        ("UPDATE money SET max_per_payment_yen = 99", "more than a limit of the wallet"),
        ("UPDATE wallet SET max_per_payment_yen = 99", "more than a limit of the wallet"),
        ("UPDATE wallet SET max_per_day_yen = 9, spent_day_yen = 10, spent_month_yen = 10", "more than a limit"),
        ("UPDATE wallet SET max_per_month_yen = 9, spent_month_yen = 10", "more than a limit of the wallet"),
    ],
)
def test_a_payment_that_breaks_a_rule_is_refused(connection: psycopg.Connection, before: str, broken: str) -> None:
    connection.execute(before.encode())
    with pytest.raises(psycopg.errors.CheckViolation, match=broken):
        _write(connection, "payment")


@pytest.mark.parametrize("kind", ["move", "adjustment", "charge"])
def test_a_wallet_holds_no_more_than_its_ceiling(connection: psycopg.Connection, kind: str) -> None:
    connection.execute("UPDATE money SET ceiling_yen = 999")
    with pytest.raises(psycopg.errors.CheckViolation, match="more than a wallet may hold"):
        _write(connection, kind, debit="granted", credit="lot")


def test_expired_value_does_not_come_back_to_life(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE wallet SET expires_on = current_date - 9")
    connection.execute("UPDATE issuer_head SET created_at = created_at + interval '1 second'")
    with pytest.raises(psycopg.errors.CheckViolation, match="comes back to life"):
        connection.execute("UPDATE wallet SET expires_on = current_date + 9")
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as at a commit


def test_a_wallet_that_awaits_charges_is_not_closed(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="ck_wallet_closed_is_empty"):
        connection.execute("UPDATE wallet SET status = 'closed', reserved_yen = 1 WHERE total_yen = 0")


def test_reserved_headroom_counts_towards_the_ceiling(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE money SET ceiling_yen = 1000")
    connection.execute("UPDATE wallet SET reserved_yen = 1")
    with pytest.raises(psycopg.errors.CheckViolation, match="more than a wallet may hold"):
        _write(connection, "charge", debit="issued_by_card", credit="lot")


def test_what_was_agreed_before_is_credited_above_the_ceiling(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE money SET ceiling_yen = 1")
    _write(connection, "charge", debit="issued_by_konbini", credit="lot", metadata='{"agreed_before": true}')


def test_no_value_moves_without_a_rule_for_the_pair(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="a move that no rule allows"):
        _write(connection, "move", debit="moved", credit="lot", money="meal")
    connection.rollback()
    connection.execute(
        "INSERT INTO move_rule (from_money_id, to_money_id)"
        " SELECT a.id, b.id FROM money a, money b WHERE a.code = 'base' AND b.code = 'meal'"
    )
    _write(connection, "move", debit="moved", credit="lot", money="meal")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "INSERT INTO move_rule (from_money_id, to_money_id)"
            " SELECT a.id, b.id FROM money a, money b WHERE a.code = 'base' AND b.code = 'points'",
            "never mixed",
        ),
        (
            "UPDATE money SET points_money_id = (SELECT id FROM money WHERE code = 'meal') WHERE code = 'base'",
            "points are a free money",
        ),
        ("UPDATE money SET backing = 'free' WHERE code = 'base'", "stays paid or free for ever"),
        ("UPDATE money SET expiry = 'fixed_date'", "ck_money_fixed_date"),
        ("UPDATE wallet SET pending_yen = total_yen + 1", "ck_wallet_pending_is_there"),
        ("UPDATE wallet SET status = 'closed' WHERE total_yen > 0", "ck_wallet_closed_is_empty"),
        ("UPDATE account SET pending_yen = posted_yen + 1 WHERE kind = 'lot'", "ck_account_floor"),
        ("UPDATE account SET pending_yen = 1 WHERE kind = 'takings'", "ck_account"),
        ("UPDATE account SET floor_yen = -1 WHERE kind = 'lot'", "ck_account_only_takings_go_below"),
        (
            "INSERT INTO payout_period (issuer_id, begins_on, quota_yen, paid_out_yen)"
            " SELECT id, '2026-10-01', 1, 2 FROM issuer",
            "ck_payout_period_within_quota",
        ),
    ],
)
def test_settings_that_break_a_rule_are_refused(connection: psycopg.Connection, statement: str, said: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=said):
        connection.execute(statement.encode())


_HOLD = """
INSERT INTO hold (id, issuer_id, member_id, shop_id, requester, controls, amount_yen, created_at, expires_at)
SELECT t.id, t.issuer_id, t.member_id, s.id, 'x', '{}', 100, now(), now() FROM transaction t, shop s
"""


@pytest.mark.parametrize(
    "change",
    ["state = 'released', ended_by = id", "amount_yen = 99", "expires_at = now() + interval '1 day'"],
)
def test_a_hold_ends_once_and_nothing_else_of_it_changes(connection: psycopg.Connection, change: str) -> None:
    connection.execute(_HOLD)
    connection.execute("UPDATE hold SET state = 'captured', captured_yen = 60, ended_by = id")
    with pytest.raises(psycopg.errors.CheckViolation, match="once, and nothing else"):
        connection.execute(f"UPDATE hold SET {change}".encode())


_CODE = """
INSERT INTO one_time_code (id, issuer_id, side, purpose, code_hash, client_id, shop_id, amount_yen, expires_at)
SELECT gen_random_uuid(), issuer_id, 'shop', 'payment', 'x', 'till', id, 100, now() FROM shop
"""


_USE = "used_by = (SELECT id FROM transaction)"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_USE, "used_by = NULL"),
        (_USE, "cancelled_at = now()"),
        ("cancelled_at = now()", "cancelled_at = NULL"),
        ("cancelled_at = now()", _USE),
    ],
)
def test_a_code_is_used_once_and_never_after_it_was_cancelled(
    connection: psycopg.Connection, first: str, second: str
) -> None:
    connection.execute(_CODE)
    connection.execute(f"UPDATE one_time_code SET {first}".encode())
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(f"UPDATE one_time_code SET {second}".encode())


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE money SET name_ja = 'x'",
        "UPDATE shop SET name_ja = 'x'",
        "UPDATE shop_money SET accepted = true",
        "DELETE FROM move_rule",
    ],
)
def test_what_the_office_sets_raises_the_version(connection: psycopg.Connection, change: str) -> None:
    version = "SELECT version FROM ledger_rules"
    before = connection.execute(version).fetchone()
    connection.execute(change.encode())
    after = connection.execute(version).fetchone()
    assert before is not None
    assert after == (before[0] + 1,)
