"""`kumiai ledger verify`: recompute everything from the transfers and compare.

Each check is one query that returns the first rows where the books disagree with themselves; a clean ledger
returns none. Then every sealed transaction is compared with what was sealed of it (app/wallet/proof/audit.py). All
run in one read-only snapshot, so they may run while payments are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg

from app.settings import Settings
from app.wallet.proof import audit
from app.wallet.settlement.checks import SETTLEMENT_CHECKS


def _sums_of_its_day(*, what: str, said: str, counted: str) -> str:
    """Compares the sums of day and month that rows of `said` keep with what `counted` (id, amount_yen, created_at)
    adds up to."""
    return f"""
        WITH day AS (
            SELECT (greatest(clock_timestamp(), max(created_at)) AT TIME ZONE %(zone)s)::date AS this FROM issuer_head
        ), month AS (
            SELECT date_trunc('month', this::timestamp)::date AS begin FROM day
        ), counted AS ({counted}
        ), paid AS (
            SELECT id, sum(amount_yen) AS month_yen,
                   coalesce(sum(amount_yen) FILTER (WHERE created_at >= this::timestamp AT TIME ZONE %(zone)s), 0)
                       AS day_yen
              FROM counted, day, month
             WHERE created_at >= begin::timestamp AT TIME ZONE %(zone)s
             GROUP BY id
        ), said AS (
            SELECT id, CASE WHEN spent_on = this THEN spent_day_yen ELSE 0 END AS day_yen,
                   CASE WHEN spent_on >= begin THEN spent_month_yen ELSE 0 END AS month_yen
              FROM {said}, day, month
        )
        SELECT '{what} ' || s.id || ': ' || s.day_yen || ' and ' || s.month_yen || ', payments say '
               || coalesce(p.day_yen, 0) || ' and ' || coalesce(p.month_yen, 0)
          FROM said s LEFT JOIN paid p ON p.id = s.id
         WHERE (s.day_yen, s.month_yen) <> (coalesce(p.day_yen, 0), coalesce(p.month_yen, 0))
         ORDER BY s.id LIMIT 1"""  # noqa: S608  # of texts that stand below


_CHECKS = {
    **SETTLEMENT_CHECKS,
    "an account's sum is not what its transfers add up to": """
        WITH moved AS (
            SELECT account_id, sum(yen) AS yen, count(*) AS transfers FROM (
                SELECT debit_account_id AS account_id, -amount_yen AS yen FROM transfer
                UNION ALL
                SELECT credit_account_id, amount_yen FROM transfer
            ) AS side GROUP BY account_id
        )
        SELECT 'account ' || a.id || ': posted ' || a.posted_yen || ', transfers say ' || coalesce(m.yen, 0)
               || ' in ' || coalesce(m.transfers, 0) || ' (version ' || a.version || ')'
          FROM account a LEFT JOIN moved m ON m.account_id = a.id
         WHERE a.posted_yen <> coalesce(m.yen, 0) OR a.version <> coalesce(m.transfers, 0)
         ORDER BY a.id LIMIT 1""",
    "a transfer's balances do not follow from the one before": """
        WITH side AS (
            SELECT debit_account_id AS account_id, position, line, -amount_yen AS yen, debit_after_yen AS after
              FROM transfer
            UNION ALL
            SELECT credit_account_id, position, line, amount_yen, credit_after_yen FROM transfer
        ), running AS (
            SELECT *, sum(yen) OVER (PARTITION BY account_id ORDER BY position, line) AS expected FROM side
        )
        SELECT 'account ' || account_id || ' at position ' || position || ': ' || after || ', not ' || expected
          FROM running WHERE after <> expected ORDER BY position, line LIMIT 1""",
    "money was made or lost: the accounts of a money do not add up to zero": """
        SELECT 'money ' || money_id || ': ' || sum(posted_yen)
          FROM account GROUP BY money_id HAVING sum(posted_yen) <> 0 LIMIT 1""",
    "a balance is below zero": """
        SELECT 'account ' || id || ': ' || posted_yen
          FROM account WHERE kind = 'lot' AND posted_yen < 0 ORDER BY id LIMIT 1""",
    "a wallet's total is not the sum of its lots": """
        SELECT 'wallet ' || w.id || ': ' || w.total_yen || ', lots ' || coalesce(sum(a.posted_yen), 0)
          FROM wallet w LEFT JOIN account a ON a.wallet_id = w.id
         GROUP BY w.id HAVING w.total_yen <> coalesce(sum(a.posted_yen), 0) LIMIT 1""",
    "held value is not what open holds set aside": """
        WITH held AS (
            SELECT p.account_id, sum(p.amount_yen) AS yen
              FROM hold h JOIN hold_part p ON p.hold_id = h.id WHERE h.state = 'held' GROUP BY p.account_id
        )
        SELECT 'account ' || a.id || ': ' || a.pending_yen || ', holds say ' || coalesce(held.yen, 0)
          FROM account a LEFT JOIN held ON held.account_id = a.id
         WHERE a.pending_yen <> coalesce(held.yen, 0) ORDER BY a.id LIMIT 1""",
    "a wallet's held value is not that of its lots": """
        SELECT 'wallet ' || w.id || ': ' || w.pending_yen || ', lots ' || coalesce(sum(a.pending_yen), 0)
          FROM wallet w LEFT JOIN account a ON a.wallet_id = w.id
         GROUP BY w.id HAVING w.pending_yen <> coalesce(sum(a.pending_yen), 0) LIMIT 1""",
    "a hold's parts do not add up to it": """
        SELECT 'hold ' || h.id || ': ' || h.amount_yen || ', parts ' || coalesce(sum(p.amount_yen), 0)
          FROM hold h LEFT JOIN hold_part p ON p.hold_id = h.id
         GROUP BY h.id HAVING h.amount_yen <> coalesce(sum(p.amount_yen), 0) LIMIT 1""",
    "a transaction's amount is not what its transfers move": """
        WITH side AS (
            SELECT f.transaction_id, f.position, f.amount_yen, debit.kind AS debit, credit.kind AS credit
              FROM transfer f
              JOIN account debit ON debit.id = f.debit_account_id
              JOIN account credit ON credit.id = f.credit_account_id
        ), moved AS (
            SELECT t.id, t.kind, t.amount_yen,
                   coalesce(sum(s.amount_yen), 0) AS yen,
                   coalesce(sum(s.amount_yen) FILTER (WHERE s.credit = 'takings'), 0) AS paid_yen,
                   coalesce(sum(s.amount_yen) FILTER (WHERE s.debit = 'takings'), 0) AS given_back_yen,
                   coalesce(sum(s.amount_yen) FILTER (WHERE s.debit = 'lot'), 0) AS out_yen,
                   coalesce(sum(s.amount_yen) FILTER (WHERE s.credit = 'lot'), 0) AS in_yen
              FROM transaction t LEFT JOIN side s ON s.transaction_id = t.id AND s.position = t.position
             GROUP BY t.id
        )
        SELECT 'transaction ' || id || ' (' || kind || '): ' || amount_yen || ', transfers ' || yen
          FROM moved
         WHERE CASE kind
                 WHEN 'payment' THEN amount_yen <> paid_yen
                 WHEN 'capture' THEN amount_yen <> paid_yen
                 WHEN 'refund' THEN amount_yen <> given_back_yen
                 WHEN 'settlement' THEN amount_yen <> given_back_yen
                 WHEN 'move' THEN (amount_yen, amount_yen) <> (out_yen, in_yen)
                 WHEN 'hold' THEN yen <> 0
                 WHEN 'release' THEN yen <> 0
                 ELSE amount_yen <> yen
               END LIMIT 1""",
    "a transaction names another member or shop than its accounts": """
        SELECT 'transaction ' || t.id
          FROM transaction t
          JOIN transfer f ON f.transaction_id = t.id
          JOIN account a ON a.id IN (f.debit_account_id, f.credit_account_id)
          LEFT JOIN wallet w ON w.id = a.wallet_id
         WHERE a.issuer_id <> t.issuer_id
            OR (a.shop_id IS NOT NULL AND a.shop_id IS DISTINCT FROM t.shop_id)
            OR (w.id IS NOT NULL AND w.member_id IS DISTINCT FROM t.member_id) LIMIT 1""",
    "positions have a gap, or the head is not at their end": """
        SELECT 'issuer ' || h.issuer_id || ': head ' || h.position || ', last ' || coalesce(max(t.position), 0)
               || ', transactions ' || count(t.id)
          FROM issuer_head h LEFT JOIN transaction t ON t.issuer_id = h.issuer_id
         GROUP BY h.issuer_id
        HAVING h.position <> count(t.id) OR h.position <> coalesce(max(t.position), 0) LIMIT 1""",
    "time runs backwards along the positions": """
        SELECT 'position ' || position FROM (
            SELECT position, created_at, lag(created_at) OVER (PARTITION BY issuer_id ORDER BY position) AS before
              FROM transaction) AS t
         WHERE created_at < before ORDER BY position LIMIT 1""",
    "a transaction has no request, or another one's": """
        SELECT 'transaction ' || coalesce(t.id, r.transaction_id)
          FROM transaction t FULL JOIN request r USING (requester, request_id)
         WHERE r.transaction_id IS DISTINCT FROM t.id LIMIT 1""",
    "more was refunded than was paid": """
        SELECT 'transaction ' || o.id || ': paid ' || o.amount_yen || ', refunded ' || sum(r.amount_yen)
          FROM transaction r JOIN transaction o ON o.id = r.reverses
         GROUP BY o.id HAVING sum(r.amount_yen) > o.amount_yen LIMIT 1""",
    "a wallet's sums of this day and month are not what was paid out of it": _sums_of_its_day(
        what="wallet",
        said="wallet",
        counted="""
            SELECT debit.wallet_id AS id, f.amount_yen, t.created_at
              FROM transaction t
              JOIN transfer f ON f.transaction_id = t.id
              JOIN account debit ON debit.id = f.debit_account_id
             WHERE t.kind = 'payment' AND debit.wallet_id IS NOT NULL
            UNION ALL
            SELECT a.wallet_id, p.amount_yen, h.created_at
              FROM hold h JOIN hold_part p ON p.hold_id = h.id JOIN account a ON a.id = p.account_id
             WHERE h.state = 'held'
            UNION ALL
            SELECT debit.wallet_id, f.amount_yen, h.created_at
              FROM hold h
              JOIN transfer f ON f.transaction_id = h.ended_by
              JOIN account debit ON debit.id = f.debit_account_id
             WHERE h.state = 'captured' AND debit.wallet_id IS NOT NULL""",
    ),
    "a grant's sums of this day and month are not what was paid under it": _sums_of_its_day(
        what="grant",
        said="(SELECT * FROM spend_control WHERE kind = 'grant') AS control",
        counted="""
            SELECT grant_id AS id, amount_yen, created_at
              FROM transaction WHERE kind = 'payment' AND grant_id IS NOT NULL
            UNION ALL
            SELECT t.grant_id, CASE h.state WHEN 'held' THEN h.amount_yen ELSE h.captured_yen END, t.created_at
              FROM hold h JOIN transaction t ON t.id = h.id WHERE t.grant_id IS NOT NULL""",
    ),
}

NOTHING: Mapping[str, str] = {}
_COUNTS = "SELECT (SELECT count(*) FROM transaction), (SELECT count(*) FROM transfer), (SELECT count(*) FROM account)"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where a check found the books wrong."""

    check: str
    where: str


@dataclass(frozen=True, slots=True)
class Extent:
    """How much was verified."""

    transactions: int
    transfers: int
    accounts: int


def verify(
    database_url: str, *, time_zone: str = Settings.time_zone, further: Mapping[str, str] = NOTHING
) -> tuple[Extent, list[Difference]]:
    """Check the whole ledger in one snapshot. Returns its extent and the first difference of each failed check.

    Days and months begin in `time_zone`, the issuer's. `further` are checks of those who build on the ledger.
    """
    with psycopg.connect(database_url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        counts = connection.execute(_COUNTS).fetchone()
        assert counts is not None
        return Extent(*counts), list(_differences(connection, {**_CHECKS, **further}, time_zone))


def _differences(connection: psycopg.Connection, checks: Mapping[str, str], time_zone: str) -> Iterator[Difference]:
    for check, query in checks.items():
        row = connection.execute(query, {"zone": time_zone}).fetchone()
        if row is not None:
            yield Difference(check=check, where=row[0])
    for check, where in audit.differences(connection):
        yield Difference(check=check, where=where)
