"""What reading the past costs: rows, counted by PostgreSQL, in a ledger of 40,000 transactions. No clock is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event

from app.db import autocommit, dispose
from app.factory import create_app
from app.issuer import current_issuer
from app.settings import Settings
from app.wallet import as_of, ledger
from app.wallet.search import LOOKED_AT
from tests import factories
from tests.conftest import TestServer
from tests.wallet.history.conftest import back_office

pytestmark = pytest.mark.ledger

N = 40_000
RARE = 1_000
"""Of so many transactions, one is of a member who seldom pays. All are of 1 yen, at one shop, a second apart."""

_BEGIN = datetime(2026, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))

_FILL = """
CREATE TEMPORARY TABLE filled AS
SELECT n, CAST('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0') AS uuid) AS id, n %% %(rare)s = 0 AS is_rare,
       timestamptz '2026-01-01 00:00:00+09' + n * interval '1 second' AS at
  FROM generate_series(1, %(n)s) AS n;

INSERT INTO transaction (id, issuer_id, position, kind, requester, request_id, member_id, money_id, shop_id, amount_yen,
                         created_at)
SELECT id, %(issuer)s, n, 'payment', 'bulk', n, CASE WHEN is_rare THEN %(seldom)s ELSE %(often)s END,
       (SELECT id FROM money), %(shop)s, 1, at
  FROM filled;

INSERT INTO transfer (transaction_id, line, position, money_id, debit_account_id, credit_account_id, amount_yen,
                      debit_after_yen, credit_after_yen)
SELECT id, 1, n, (SELECT id FROM money), CASE WHEN is_rare THEN lots.seldom ELSE lots.often END, lots.takings, 1,
       CASE WHEN is_rare THEN -(n / %(rare)s) ELSE n / %(rare)s - n END, n
  FROM filled, (
       SELECT max(a.id) FILTER (WHERE member_id = %(seldom)s) AS seldom,
              max(a.id) FILTER (WHERE member_id = %(often)s) AS often,
              max(a.id) FILTER (WHERE a.shop_id IS NOT NULL) AS takings
         FROM account a LEFT JOIN wallet w ON w.id = a.wallet_id) AS lots;

INSERT INTO request (requester, request_id, issuer_id, params_hash, transaction_id, answer)
SELECT 'bulk', n, %(issuer)s, 'x', id, '{"balance_yen": 0}' FROM filled;

UPDATE issuer_head SET position = %(n)s, created_at = (SELECT max(at) FROM filled);
"""


@dataclass(frozen=True)
class Long:
    """A long ledger, and ways to ask it by HTTP."""

    app: Flask
    money: str
    shop: str
    tokens: dict[str, str]

    def get(self, path: str, *, who: str, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        answer = self.app.test_client().get(path, query_string=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def rows_read(self, ask: Callable[[], Any]) -> int:
        """How many rows PostgreSQL looks at for what `ask` reads: its statements are explained once more."""
        asked: list[tuple[str, Any]] = []

        def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            asked.append((statement, parameters))

        with self.app.app_context():
            engine = autocommit()
            event.listen(engine, "before_cursor_execute", note)
            try:
                ask()
            finally:
                event.remove(engine, "before_cursor_execute", note)
        assert asked
        with psycopg.connect(_settings(self.app).database_url, autocommit=True) as connection:
            return sum(_rows(connection, *one) for one in asked)


def _settings(app: Flask) -> Settings:
    settings: Settings = app.extensions["kumiai.settings"]
    return settings


def _rows(connection: psycopg.Connection[Any], statement: str, parameters: Any) -> int:
    explain = b"EXPLAIN (ANALYZE, FORMAT JSON) " + statement.encode()
    [(plan,)] = connection.execute(explain, parameters).fetchall()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return sum(_scanned(plan[0]["Plan"]))


def _scanned(node: dict[str, Any]) -> Iterator[int]:
    """The rows that each scan of a plan gave, and those it looked at and left."""
    if "Relation Name" in node or node["Node Type"].startswith("Bitmap Index"):
        rows = sum(
            node.get(name, 0) for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
        )
        yield int(rows * node["Actual Loops"])
    for child in node.get("Plans", ()):
        yield from _scanned(child)


@pytest.fixture(scope="module")
def long(postgres: TestServer, template: str, make_settings: Callable[[str], Settings]) -> Iterator[Long]:
    with postgres.database(template=template) as name:
        app = create_app(make_settings(postgres.url(name)))
        with app.app_context():
            factories.issuer()
            money = factories.money(code="only")
            shop_id = factories.shop(accepts=[money])
            members = {who: factories.member() for who in ("often", "seldom")}
            for member_id in members.values():
                factories.wallet(member_id=member_id, money=money)
            client = factories.oauth_client()
            tokens = {
                who: factories.access_token(member_id=member_id, client_id=client.id, scopes=("history", "balance"))
                for who, member_id in members.items()
            }
            tokens["shop"] = back_office(shop_id)
            _fill(app, shop_id=shop_id, members=members)
        with psycopg.connect(postgres.url(name)) as connection:
            [(shop,)] = connection.execute("SELECT code FROM shop").fetchall()
        yield Long(app, money, shop, tokens)
        ledger.close()
        with app.app_context():
            dispose()


def _fill(app: Flask, *, shop_id: UUID, members: dict[str, UUID]) -> None:
    values = {"n": N, "rare": RARE, "issuer": current_issuer().id, "shop": shop_id, **members}
    with psycopg.connect(_settings(app).database_url) as connection, psycopg.ClientCursor(connection) as cursor:
        connection.execute("SET session_replication_role = replica")
        cursor.execute(_FILL.encode(), values)
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE")


@pytest.mark.parametrize("second", [0, 1, N // 2, N - 1, N])
def test_a_balance_of_the_past_is_some_rows(long: Long, second: int) -> None:
    at = (_BEGIN + timedelta(seconds=second)).isoformat()
    path = f"/v1/shops/{long.shop}/balance"
    assert long.get(path, who="shop", at=at)["total_yen"] == second
    assert long.rows_read(lambda: long.get(path, who="shop", at=at)) < 60
    assert long.rows_read(lambda: long.get("/v1/wallets", who="often", at=at)) < 60


def test_a_moneys_circulation_too(long: Long) -> None:
    def ask() -> None:
        with autocommit().connect() as connection:
            there = as_of.circulation(connection, issuer_id=current_issuer().id, money_id=1, position=N // 2)
            assert there.takings_yen == N // 2

    assert long.rows_read(ask) < 100


@pytest.mark.parametrize("back", [0, N // 2, N - 100])
def test_a_page_costs_the_same_wherever_it_is(long: Long, back: int) -> None:
    def page(who: str, path: str = "/v1/transactions", **query: Any) -> Any:
        until = (_BEGIN + timedelta(seconds=N - back)).isoformat()
        return long.get(path, who=who, limit=20, until=until, **query)

    assert len(page("often")["transactions"]) == 20
    assert long.rows_read(lambda: page("often")) < 200
    assert long.rows_read(lambda: page("seldom")) < 200
    assert long.rows_read(lambda: page("often", min_yen=2)) < 4 * LOOKED_AT + 200
    assert long.rows_read(lambda: page("often", q="nothing")) < 4 * LOOKED_AT + 200
    assert long.rows_read(lambda: page("often", money=long.money)) < 4 * LOOKED_AT + 200
    assert long.rows_read(lambda: page("shop", f"/v1/shops/{long.shop}/transactions", min_yen=2)) < 6 * LOOKED_AT + 200


def test_a_statement_reads_what_is_on_it(long: Long) -> None:
    months = {"2026-01": N // RARE, "2026-02": 0}
    for month, count in months.items():
        assert len(long.get(f"/v1/statements/{month}", who="seldom")["transactions"]) == count
        assert long.rows_read(lambda: long.get(f"/v1/statements/{month}", who="seldom")) < 4 * count + 100  # noqa: B023


def test_a_search_goes_on_through_all_of_it(long: Long) -> None:
    """Nothing is found, and each page says how much farther it has looked."""
    looked, cursor = [], None
    for _ in range(3):
        page = long.get("/v1/transactions", who="often", min_yen=2, **({"cursor": cursor} if cursor else {}))
        cursor = page["next_cursor"]
        looked.append(page["looked_back_to"])
        assert page["transactions"] == []
    assert looked == sorted(looked, reverse=True)
    assert len(set(looked)) == 3
    rare = long.get("/v1/transactions", who="seldom", min_yen=2)
    assert (rare["transactions"], rare["next_cursor"]) == ([], None)
