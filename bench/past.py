"""A ledger with a past: five million payments, written straight into its tables as the poster would have written them.

One member has a history of a million transactions, one of a thousand; everybody else has four hundred. They lie
among each other, as they would have come.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from app.settings import Settings
from bench import population
from bench.place import Place

TRANSFERS = 5_000_000
LONG, SHORT = 1_000_000, 1_000
"""The lengths of the two histories that are compared."""

_TABLES = ("transaction", "transfer", "request")

# Who pays at which place. A member's lot, the book of the shop's takings and the issuer's head say where to begin.
_PAST = f"""
CREATE UNLOGGED TABLE past AS
SELECT n, format('01900000-0000-7000-8000-%%s', lpad(to_hex(n), 12, '0'))::uuid AS id, md5(n::text) AS request_id,
       who.member_id, who.wallet_id, who.account_id,
       row_number() OVER (PARTITION BY who.account_id ORDER BY n) AS nth
  FROM generate_series(1, {TRANSFERS}) AS n
  JOIN (SELECT w.member_id, w.id AS wallet_id, a.id AS account_id, row_number() OVER (ORDER BY a.id) - 1 AS place
          FROM wallet w JOIN account a ON a.wallet_id = w.id) AS who
    ON who.place = CASE WHEN n %% {TRANSFERS // LONG} = 0 THEN 0
                        WHEN n %% {TRANSFERS // SHORT} = 1 THEN 1
                        ELSE 2 + n %% {population.MEMBERS - 2} END
"""

_TRANSACTIONS = """
INSERT INTO transaction (id, issuer_id, position, kind, requester, request_id, member_id, money_id, shop_id,
                         amount_yen, created_at)
SELECT past.id, head.issuer_id, head.position + n, 'payment', 'past', past.request_id, past.member_id, money.id,
       shop.id, 1, head.created_at
  FROM past, issuer_head head, money, shop
 ORDER BY n
"""

_TRANSFERS = """
INSERT INTO transfer (transaction_id, line, position, money_id, debit_account_id, credit_account_id, amount_yen,
                      debit_after_yen, credit_after_yen)
SELECT past.id, 1, head.position + n, takings.money_id, past.account_id, takings.id, 1,
       lot.posted_yen - nth, takings.posted_yen + n
  FROM past JOIN account lot ON lot.id = past.account_id, issuer_head head, account takings
 WHERE takings.kind = 'takings'
 ORDER BY n
"""

_REQUESTS = """
INSERT INTO request (requester, request_id, issuer_id, member_id, params_hash, transaction_id, answer, created_at)
SELECT 'past', past.request_id, head.issuer_id, past.member_id, '-', past.id,
       jsonb_build_object('balance_yen', lot.posted_yen - nth), head.created_at
  FROM past JOIN account lot ON lot.id = past.account_id, issuer_head head
 ORDER BY n
"""

_SUMS = (
    """
    UPDATE account a SET posted_yen = a.posted_yen + moved.yen, version = a.version + abs(moved.yen)
      FROM (SELECT account_id, -count(*) AS yen FROM past GROUP BY account_id
            UNION ALL SELECT id, (SELECT count(*) FROM past) FROM account WHERE kind = 'takings') AS moved
     WHERE a.id = moved.account_id
    """,
    f"""
    UPDATE wallet w
       SET total_yen = w.total_yen - moved.yen, spent_day_yen = moved.yen, spent_month_yen = moved.yen,
           spent_on = (head.created_at AT TIME ZONE '{Settings.time_zone}')::date
      FROM (SELECT wallet_id, count(*) AS yen FROM past GROUP BY wallet_id) AS moved, issuer_head head
     WHERE w.id = moved.wallet_id
    """,
    "UPDATE issuer_head SET position = position + (SELECT count(*) FROM past)",
)


def database(place: Place) -> Settings:
    """The members with that past, in a database of their own; made at the first call."""
    settings = place.copy("past")
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM transaction WHERE requester = 'past' LIMIT 1").fetchone():
            print(f"preparing: a past of {TRANSFERS:,} payments …", flush=True)
            _write(connection)
    return settings


def _write(connection: psycopg.Connection) -> None:
    """Keys and guards apart, which would look at each row: the sums hold by construction, and `verify` looks at all."""
    connection.execute("SET session_replication_role = replica")
    connection.execute("SET work_mem = '256MB'")
    connection.execute("SET maintenance_work_mem = '256MB'")
    connection.execute(_PAST.replace("%%", "%").encode())
    connection.execute("ANALYZE past")
    later = _take_indexes_away(connection)
    with connection.transaction():
        for statement in (_TRANSACTIONS, _TRANSFERS, _REQUESTS, *_SUMS):
            connection.execute(statement.encode())
    for statement in later:
        connection.execute(statement.encode())
    connection.execute("DROP TABLE past")
    connection.execute("VACUUM ANALYZE")


def _take_indexes_away(connection: psycopg.Connection) -> list[str]:
    """Drop the indexes that no constraint needs. Returns what makes them again: sorting once is the faster way."""
    found = connection.execute(
        "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i"
        " WHERE i.indrelid::regclass::text = ANY(%s)"
        " AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)",
        [list(_TABLES)],
    ).fetchall()
    for name, _ in found:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [definition for _, definition in found]
