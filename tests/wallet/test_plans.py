"""What goes over a table that grows finds its rows by an index, however many rows others have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select

from app.db import autocommit, transaction
from app.oauth.models import OAuthGrant
from app.wallet import payout
from app.wallet.bulk import statements as bulk
from app.wallet.codes import service as codes
from app.wallet.housekeeping import due, notice
from app.wallet.proof import proofs, sealing
from app.wallet.webhooks import lanes, purge
from tests import factories
from tests.conftest import TestServer
from tests.oauth.test_plans import noted

GROW = (
    *("member", "wallet", "account", "transaction", "transfer", "request", "hold", "hold_part", "one_time_code"),
    *("webhook_delivery", "webhook_attempt", "webhook_lane", "bulk_job", "bulk_row", "expiry_notice"),
    *("proof_block", "proof_day", "settlement", "settlement_line"),
)

ANY = UUID(int=1)
DAY = date(2026, 11, 25)
DATES = dict.fromkeys(("today", "until", "latest", "day", "before"), DAY)
STATEMENTS: dict[str, str] = {
    "expired lots": due._EXPIRED["lot"],
    "expired wallets": due._EXPIRED["undated"],
    "holds that ran out": due._RUN_OUT,
    "old codes": due._OLD[0],
    "old notices": due._OLD[1],
    "members to tell": notice._MEMBERS.text,
    "lots to tell of": notice._EXPIRING.text,
    "the payout quota": payout._AS_OF.text,
    **{f"bulk {name.lower()}": getattr(bulk, name) for name in ("LEASE", "HOLD", "JUDGE", "EXAMINED", "LEFT", "NEXT")},
    **{f"bulk {name.lower()}": getattr(bulk, name) for name in ("NEW_WALLETS", "MARK", "FINISH")},
    "lanes to send of": lanes._LEASE,
    "all lanes of an endpoint": lanes._ALL_DUE.text,
    "old deliveries": purge._OLD,
    "deliveries of deleted endpoints": purge._OF_DELETED,
    "lanes of deleted endpoints": purge._DELETED_LANES,
    "deleted endpoints": purge._DELETED,
    "the last block": sealing._LAST_BLOCK,
    "blocks to sign": sealing._UNSIGNED,
    "the last day": sealing._LAST_DAY,
    "what waits to be sealed": sealing._WAITING,
    "where a day ends": sealing._LAST_BEFORE,
    "a transaction to prove": proofs._FIND,
    "its block": proofs._BLOCK,
    "its day": proofs._DAY_OF_BLOCK,
}
VALUES: dict[str, Any] = {
    **DATES,
    **dict.fromkeys(("issuer", "job", "endpoint_id"), ANY),
    **dict.fromkeys(("id", "member"), ANY),
    **dict.fromkeys(("after", "first", "last", "position", "number", "lease"), 5),
    **dict.fromkeys(("batch", "most", "kept", "room"), 100),
    "lease_for": timedelta(seconds=10),
    "state": "running",
    "members": [ANY],
    "busy": [ANY],
    "lines": [1],
    "anew": True,
    "outcomes": "[]",
}


@pytest.fixture(scope="module")
def untouched(postgres: TestServer, template: str) -> Iterator[str]:
    """A database no test writes into: for a table emptied and vacuumed the planner chooses as if it stayed so."""
    with postgres.database(template=template) as name:
        yield postgres.url(name)


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_no_table_is_read_through(untouched: str, statement: str) -> None:
    values = dict(VALUES)
    if statement == due._EXPIRED["lot"]:
        values["id"] = 5
    if statement == due._RUN_OUT:
        values["day"] = "-infinity"
    if statement in (purge._OLD, purge._OF_DELETED):
        values["kept"] = timedelta(days=30)
    if statement == lanes._LEASE:
        values["lease"] = timedelta(seconds=10)
    with psycopg.connect(untouched) as connection:
        connection.execute("SET LOCAL enable_seqscan = off")  # where there is an index to use, it is used now
        for setting in ("hashjoin", "mergejoin", "indexonlyscan"):
            connection.execute(f"SET LOCAL enable_{setting} = off")  # type: ignore[call-overload]
        explain = f"EXPLAIN (FORMAT JSON) {_pyformat(statement)}"
        [[[plan]]] = connection.execute(explain, values).fetchall()  # type: ignore[call-overload]
    through = list(_read_through(plan["Plan"], limited=False))
    assert not through, json.dumps(plan, indent=1)


def _read_through(node: dict[str, Any], *, limited: bool) -> Iterator[str]:
    """The tables that grow of which a plan reads every row: no index, or all of one and more than its first rows."""
    kind, table = node["Node Type"], node.get("Relation Name")
    by_key = any(name in node for name in ("Index Cond", "TID Cond", "Recheck Cond"))
    if table in GROW and kind != "ModifyTable" and not by_key and (kind == "Seq Scan" or not limited):
        yield table
    limited = kind == "Limit" or (limited and kind in ("LockRows", "Subquery Scan", "Result"))
    for inner in node.get("Plans", ()):
        yield from _read_through(inner, limited=limited)


def _pyformat(statement: str) -> str:
    if "%(" in statement:
        return statement
    return re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement.replace("%", "%%"))


def test_the_payout_quota_looks_at_no_lot(untouched: str) -> None:
    with psycopg.connect(untouched) as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        query = f"EXPLAIN {_pyformat(payout._AS_OF.text)}"
        plan = "\n".join(row[0] for row in connection.execute(query, VALUES))  # type: ignore[call-overload]
    assert set(re.findall(r"(?:using|Index Scan on) (uq_account\w*)", plan)) == {
        "uq_account_book",
        "uq_account_takings",
    }, plan


def test_a_members_code_looks_only_at_the_last_minutes_codes(app: Flask) -> None:
    with app.app_context():
        member_id, client = factories.member(), factories.oauth_client()
        factories.access_token(member_id=member_id, client_id=client.id, scopes=["payment"])
        with transaction() as session:
            [grant_id] = session.scalars(select(OAuthGrant.id).where(OAuthGrant.member_id == member_id))
        with noted() as statements, transaction():
            codes.show_member_code(
                client_id=client.id, member_id=member_id, grant_id=grant_id, purpose="payment", money=None
            )
        [(cancel, values)] = [(sql, values) for sql, values in statements if sql.startswith("UPDATE")]
        with autocommit().connect() as connection:
            connection.exec_driver_sql("SET enable_seqscan = off")
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {cancel}", values).scalars())
            connection.exec_driver_sql("RESET enable_seqscan")
    conditions = re.findall(r"ix_one_time_code_grant_id_created_at.*\n.*Index Cond: (.*)", plan)
    assert len(conditions) == 2, plan
    assert all("created_at >" in condition for condition in conditions), plan


def test_the_tables_that_grow_are_there(untouched: str) -> None:
    with psycopg.connect(untouched) as connection:
        known = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert set(GROW) <= known
