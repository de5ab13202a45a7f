"""The second line: what PostgreSQL refuses of settlements, whatever program is connected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import psycopg
import pytest

from app.db import dispose, session, transaction
from app.factory import create_app
from app.issuer import current_issuer
from app.settings import Settings
from app.wallet import ledger
from app.wallet.models import Shop
from app.wallet.settlement import bank, positions, service, transfers
from tests import factories
from tests.conftest import TestServer
from tests.wallet.settlement import accounts
from tests.wallet.settlement.shopkeeper import Shopkeeper, shopkeeper

pytestmark = pytest.mark.ledger

TABLES = ("settlement_line", "settlement_transfer", "shop_bank_account", "transfer_requester")


@pytest.fixture(scope="module")
def database(
    postgres: TestServer, template: str, make_settings: Callable[[str], Settings]
) -> Iterator[tuple[str, Shopkeeper]]:
    """A shop with a closed settlement that is in a transfer file, one that is not closed yet, and a payment after it.

    One database for all: no test here changes anything for good.
    """
    with postgres.database(template=template) as name:
        app = create_app(make_settings(postgres.url(name)))
        with app.app_context():
            yield postgres.url(name), _settled()
            ledger.close()
            dispose()


def _settled() -> Shopkeeper:
    factories.issuer()
    keeper = shopkeeper()
    keeper.pay(500)
    keeper.close()
    with transaction():
        shop = session().get_one(Shop, keeper.shop_id)
        bank.set_shop_account(shop, accounts.PLACE, holder="ブックス", sealing_key=accounts.KEY)
        accounts.set_requester()
    with transaction():
        transfers.transfer_file(issuer_id=current_issuer().id, on=accounts.next_weekday(), sealing_key=accounts.KEY)
    keeper.pay(70)
    with transaction():
        service.next_settlement(shop_id=keeper.shop_id, cut=positions.cut(issuer_id=current_issuer().id, day=None))
    keeper.pay(1)
    return keeper


@pytest.fixture
def connection(database: tuple[str, Shopkeeper]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database[0]) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET issuer_id = issuer_id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_is_written_stays(connection: psycopg.Connection, table: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="immutable"):
        connection.execute(statement.format(table).encode())


@pytest.mark.parametrize("table", ["settlement", "transfer_file"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_settlements_and_files_are_never_removed(connection: psycopg.Connection, table: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="immutable"):
        connection.execute(statement.format(table).encode())


@pytest.mark.parametrize(
    "change",
    [
        "payable_yen = payable_yen - 1",
        "through_position = through_position - 1",
        "through_day = through_day + 1",
        "state = 'closing', transaction_id = NULL, closed_at = NULL",
        "closed_at = now()",
        "transaction_id = (SELECT id FROM transaction WHERE kind = 'payment' LIMIT 1)",
    ],
)
def test_a_closed_settlement_never_changes(connection: psycopg.Connection, change: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="immutable"):
        connection.execute(f"UPDATE settlement SET {change} WHERE state = 'closed'".encode())


@pytest.mark.parametrize("change", ["payable_yen = 1", "number = 7", "state = 'closing'"])
def test_an_open_one_can_only_be_closed(connection: psycopg.Connection, change: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="immutable"):
        connection.execute(f"UPDATE settlement SET {change} WHERE state = 'closing'".encode())


def test_closing_without_the_ledgers_transaction_is_refused(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="closed_when_posted"):
        connection.execute("UPDATE settlement SET state = 'closed', closed_at = now() WHERE state = 'closing'")


def test_a_transaction_settles_one_settlement(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation, match="uq_settlement_transaction"):
        connection.execute(
            "UPDATE settlement SET state = 'closed', closed_at = now(),"
            " transaction_id = (SELECT transaction_id FROM settlement WHERE state = 'closed') WHERE state = 'closing'"
        )


COPY = """
INSERT INTO settlement (id, issuer_id, shop_id, number, after_number, after_position, through_position, first_day,
                        through_day, settled_yen, payable_yen)
SELECT gen_random_uuid(), issuer_id, shop_id, {number}, {after_number}, {after_position}, {through_position},
       first_day, through_day, settled_yen, payable_yen
  FROM settlement WHERE number = 2
"""
NEXT = {
    "number": "3",
    "after_number": "2",
    "after_position": "through_position",
    "through_position": "(SELECT position FROM issuer_head)",
}


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"number": "2", "after_number": "1", "after_position": "after_position"}, "uq_settlement_shop_id_number"),
        ({"after_position": "through_position - 1"}, "fk_settlement_before"),
        ({"after_number": "1"}, "follows_the_one_before"),
        ({"number": "1", "after_number": "NULL", "after_position": "1"}, "follows_the_one_before"),
        ({"number": "5", "after_number": "4"}, "fk_settlement_before"),
        ({"through_position": "through_position"}, "covers_something"),
        ({"through_position": "(SELECT position + 1 FROM issuer_head)"}, "only what has happened"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_periods_follow_each_other_without_a_gap(
    connection: psycopg.Connection, wrong: dict[str, str], constraint: str
) -> None:
    with pytest.raises(psycopg.errors.IntegrityError, match=constraint):
        connection.execute(COPY.format(**{**NEXT, **wrong}).encode())


def test_the_next_period_as_it_should_be_is_accepted(connection: psycopg.Connection) -> None:
    assert connection.execute(COPY.format(**NEXT).encode()).rowcount == 1


LINE = """
INSERT INTO settlement_line (settlement_id, money_id, issuer_id, backing, payments, payments_yen, refunds,
                             refunds_yen, others_yen, carried_in_yen, carried_out_yen, settled_yen, reimbursed,
                             fee_rate_bp, fee_rounding, fee_yen, payable_yen)
SELECT s.id, (SELECT money_id FROM settlement_line LIMIT 1), s.issuer_id, {backing}, 1, 1000, {refunds}, {refunds_yen},
       0, {carried_in_yen}, {carried_out_yen}, {settled_yen}, {reimbursed}, {fee_rate_bp}, {fee_rounding}, {fee_yen},
       {payable_yen}
  FROM settlement s WHERE number = {number}
"""
GOOD = {
    "backing": "'paid'",
    "refunds": "0",
    "refunds_yen": "0",
    "carried_in_yen": "0",
    "carried_out_yen": "0",
    "settled_yen": "1000",
    "reimbursed": "true",
    "fee_rate_bp": "333",
    "fee_rounding": "'half_up'",
    "fee_yen": "33",
    "payable_yen": "967",
    "number": "3",
}


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"settled_yen": "999", "payable_yen": "966"}, "adds_up"),
        ({"fee_yen": "34", "payable_yen": "966"}, "fee"),
        ({"payable_yen": "968"}, "payable"),
        ({"fee_rate_bp": "10001", "fee_yen": "1000", "payable_yen": "0"}, "fee_rate"),
        ({"fee_rounding": "'nearest'"}, "fee_rounding"),
        ({"reimbursed": "false", "fee_yen": "0", "payable_yen": "0"}, "paid_money_is_paid_out"),
        ({"carried_in_yen": "1", "carried_out_yen": "1"}, "only_debts_are_carried"),
        ({"refunds": "1", "refunds_yen": "0"}, "counts"),
        ({"number": "1"}, "takes no more lines"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_line_must_add_up(connection: psycopg.Connection, wrong: dict[str, str], constraint: str) -> None:
    connection.execute(COPY.format(**NEXT).encode())
    with pytest.raises(psycopg.errors.IntegrityError, match=constraint):
        connection.execute(LINE.format(**{**GOOD, **wrong}).encode())


def test_a_settlement_is_the_sum_of_its_lines(connection: psycopg.Connection) -> None:
    """The copy says ¥70, its line ¥1,000."""
    connection.execute(COPY.format(**NEXT).encode())
    connection.execute(LINE.format(**GOOD).encode())
    with pytest.raises(psycopg.errors.CheckViolation, match="sum of its lines"):
        connection.execute(
            "UPDATE settlement SET state = 'closed', closed_at = now(),"
            " transaction_id = (SELECT id FROM transaction WHERE kind = 'payment' LIMIT 1) WHERE number = 3"
        )


def test_a_settlement_is_paid_once(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation, match="pk_settlement_transfer"):
        connection.execute("INSERT INTO settlement_transfer SELECT * FROM settlement_transfer")


def test_a_file_may_get_another_day_and_nothing_else(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE transfer_file SET transfer_on = %s", [date(2030, 1, 7)])
    with pytest.raises(psycopg.errors.RestrictViolation, match="but for its day"):
        connection.execute("UPDATE transfer_file SET total_yen = total_yen + 1")


def test_only_a_settlement_takes_takings_below_their_floor(connection: psycopg.Connection) -> None:
    """The same transfer of ¥600 out of takings of ¥71, as a refund and as a settlement."""
    for kind, reverses in (("refund", "id"), ("settlement", "NULL")):
        connection.execute("SAVEPOINT before")
        new = connection.execute(
            "INSERT INTO transaction (id, issuer_id, position, kind, requester, request_id, member_id, money_id,"
            " shop_id, amount_yen, reverses, created_at)"
            f" SELECT gen_random_uuid(), issuer_id, 1000, '{kind}', 'x', 'y', member_id, money_id, shop_id, 1,"
            f" {reverses}, now() FROM transaction WHERE kind = 'payment' LIMIT 1 RETURNING id".encode()
        ).fetchone()
        transfer = (
            "INSERT INTO transfer (transaction_id, line, position, money_id, debit_account_id, credit_account_id,"
            " amount_yen, debit_after_yen, credit_after_yen)"
            " SELECT %s, 1, 1000, t.money_id, t.id, b.id, 600, t.posted_yen - 600, b.posted_yen + 600"
            " FROM account t JOIN account b ON b.book = 'settled_with_shops' AND b.money_id = t.money_id"
            " WHERE t.kind = 'takings'"
        )
        if kind == "refund":
            with pytest.raises(psycopg.errors.CheckViolation, match="takings below their floor"):
                connection.execute(transfer, new)
        else:
            assert connection.execute(transfer, new).rowcount == 1
        connection.execute("ROLLBACK TO before")
