"""The poster's SQL: lock and read what a batch touches, write what was decided.

Rows go in as one JSON document per table: measured at 100 rows it costs the client less than arrays or
executemany, and an array of NULLs needs no cast.

Every statement joins by key, and the poster's connection is told so.
"""

from __future__ import annotations

from app.db import PLANS_BY_KEY

CONNECTION_OPTIONS = (
    f"{PLANS_BY_KEY} -c lock_timeout=1s -c statement_timeout=10s -c idle_in_transaction_session_timeout=10s"
    " -c synchronous_commit=on -c TimeZone=UTC"
)

MONIES = "SELECT id, code FROM money WHERE issuer_id = %(issuer)s"

# --- lock, each kind in the order of its key; a later kind never waits while an earlier one is unlocked ---

LOCK_ORIGINALS = """
SELECT id, kind, member_id, money_id, shop_id, amount_yen
  FROM transaction
 WHERE id = ANY(%(originals)s::uuid[])
 ORDER BY id
   FOR NO KEY UPDATE
"""

ORIGINAL_TRANSFERS = """
SELECT transaction_id, debit_account_id, credit_account_id, amount_yen
  FROM transfer
 WHERE transaction_id = ANY(%(originals)s::uuid[])
 ORDER BY transaction_id, line
"""

REFUNDED = """
SELECT reverses, sum(amount_yen)::bigint
  FROM transaction
 WHERE reverses = ANY(%(originals)s::uuid[])
 GROUP BY reverses
"""

LOCK_CONTROLS = """
SELECT id, kind, status, max_per_payment_yen, max_per_day_yen, max_per_month_yen, valid_until, monies, shops,
       spent_on, spent_day_yen, spent_month_yen
  FROM spend_control
 WHERE id = ANY(%(controls)s::uuid[])
 ORDER BY id
   FOR NO KEY UPDATE
"""

LOCK_WALLETS = """
SELECT w.id, w.member_id, w.money_id, w.status, w.total_yen
  FROM json_to_recordset(%(wallets)s::json) AS k(member_id uuid, money_id int)
  JOIN wallet w USING (member_id, money_id)
 ORDER BY w.id
   FOR NO KEY UPDATE OF w
"""

# All of a batch's takings and books are locked by one statement in one order, here or at the write, never in part.
LOCK_ACCOUNTS = """
SELECT a.id, a.money_id, a.posted_yen, a.shop_id, a.book
  FROM account a
 WHERE a.id = ANY(ARRAY(
        SELECT t.id
          FROM json_to_recordset(%(takings)s::json) AS k(shop_id uuid, money_id int)
          JOIN account t USING (shop_id, money_id)
        UNION ALL
        SELECT b.id
          FROM json_to_recordset(%(books)s::json) AS k(book text, money_id int)
          JOIN account b ON b.issuer_id = %(issuer)s AND b.book = k.book AND b.money_id = k.money_id
       ))
 ORDER BY a.id
   FOR NO KEY UPDATE
"""

# --- read, in new statements: what another poster committed while we waited for the locks is seen ---

ACCOUNTS = """
SELECT t.id, t.money_id, NULL::bigint, t.shop_id, NULL::text
  FROM json_to_recordset(%(takings)s::json) AS k(shop_id uuid, money_id int)
  JOIN account t USING (shop_id, money_id)
UNION ALL
SELECT b.id, b.money_id, NULL::bigint, NULL::uuid, b.book
  FROM json_to_recordset(%(books)s::json) AS k(book text, money_id int)
  JOIN account b ON b.issuer_id = %(issuer)s AND b.book = k.book AND b.money_id = k.money_id
"""

LOTS = """
SELECT a.wallet_id, a.id, a.money_id, a.posted_yen
  FROM json_to_recordset(%(wallets)s::json) AS k(member_id uuid, money_id int)
  JOIN wallet w USING (member_id, money_id)
  JOIN account a ON a.wallet_id = w.id
 ORDER BY a.wallet_id, a.expires_on NULLS LAST
"""

# The database's clock, since web processes do not agree on a midnight; and never before what has been written.
TODAY = """
SELECT (greatest(clock_timestamp(), created_at) AT TIME ZONE %(zone)s)::date
  FROM issuer_head
 WHERE issuer_id = %(issuer)s
"""

SHOPS = "SELECT id, status FROM shop WHERE id = ANY(%(shops)s::uuid[])"

REQUESTS = """
SELECT r.requester, r.request_id, r.params_hash, r.refusal, r.answer,
       t.id, t.position, t.kind, t.amount_yen, t.money_id, t.member_id, t.shop_id, t.created_at
  FROM json_to_recordset(%(requests)s::json) AS k(requester text, request_id text)
  JOIN request r USING (requester, request_id)
  LEFT JOIN transaction t ON t.id = r.transaction_id
"""

# --- write: what is locked only now, then one statement in which every table has its own part ---
#
# The day of a control's sums is that of the head's instant, which is the transactions' `created_at`: so they are
# exactly what the transactions of that day and month add up to. Where midnight passes between the decision and here,
# the batch was judged by the day that ends, which leaves less.

LOCK_ACCOUNTS_TO_WRITE = "SELECT id FROM account WHERE id = ANY(%(late)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"

WRITE = """
WITH head AS (
    UPDATE issuer_head
       SET position = position + %(count)s, created_at = greatest(clock_timestamp(), created_at)
     WHERE issuer_id = %(issuer)s
    RETURNING issuer_id, position - %(count)s AS before, created_at
), changed_account AS (
    UPDATE account a
       SET posted_yen = a.posted_yen + r.change_yen, version = a.version + r.transfers
      FROM json_to_recordset(%(accounts)s::json) AS r(id bigint, change_yen bigint, transfers bigint, late boolean)
     WHERE a.id = r.id
    RETURNING a.id, a.posted_yen - r.change_yen AS before_yen, r.late
), late AS MATERIALIZED (
    SELECT id, before_yen FROM changed_account WHERE late
), new_transaction AS (
    INSERT INTO transaction (id, issuer_id, position, kind, requester, request_id, member_id, money_id, shop_id,
                             amount_yen, grant_id, terminal_id, card_id, description, metadata, reverses, taken_at,
                             created_at)
    SELECT r.id, head.issuer_id, head.before + r.n, r.kind, r.requester, r.request_id, r.member_id, r.money_id,
           r.shop_id, r.amount_yen, r.grant_id, r.terminal_id, r.card_id, coalesce(r.description, ''),
           coalesce(r.metadata, '{}'), r.reverses, r.taken_at, head.created_at
      FROM json_to_recordset(%(transactions)s::json) AS r(
           n int, id uuid, kind text, requester text, request_id text, member_id uuid, money_id int, shop_id uuid,
           amount_yen bigint, grant_id uuid, terminal_id uuid, card_id uuid, description text, metadata jsonb,
           reverses uuid, taken_at timestamptz), head
), new_transfer AS (
    INSERT INTO transfer (transaction_id, line, position, money_id, debit_account_id, credit_account_id, amount_yen,
                          debit_after_yen, credit_after_yen)
    SELECT r.transaction_id, r.line, head.before + r.n, r.money_id, r.debit_account_id, r.credit_account_id,
           r.amount_yen, r.debit_after_yen + coalesce(debit.before_yen, 0),
           r.credit_after_yen + coalesce(credit.before_yen, 0)
      FROM json_to_recordset(%(transfers)s::json) AS r(
           n int, transaction_id uuid, line smallint, money_id int, debit_account_id bigint,
           credit_account_id bigint, amount_yen bigint, debit_after_yen bigint, credit_after_yen bigint)
      CROSS JOIN head
      LEFT JOIN late debit ON debit.id = r.debit_account_id
      LEFT JOIN late credit ON credit.id = r.credit_account_id
), changed_wallet AS (
    UPDATE wallet w
       SET total_yen = r.total_yen
      FROM json_to_recordset(%(totals)s::json) AS r(id uuid, total_yen bigint)
     WHERE w.id = r.id
), day AS (
    SELECT d AS this, date_trunc('month', d::timestamp)::date AS month_begin
      FROM (SELECT (created_at AT TIME ZONE %(zone)s)::date AS d FROM head) AS head
), changed_control AS (
    UPDATE spend_control c
       SET spent_on = day.this,
           spent_day_yen = r.added_yen + CASE WHEN c.spent_on = day.this THEN c.spent_day_yen ELSE 0 END,
           spent_month_yen = r.added_yen + CASE WHEN c.spent_on >= day.month_begin THEN c.spent_month_yen ELSE 0 END
      FROM json_to_recordset(%(spent)s::json) AS r(id uuid, added_yen bigint) CROSS JOIN day
     WHERE c.id = r.id
), new_request AS (
    INSERT INTO request (requester, request_id, issuer_id, member_id, params_hash, transaction_id, refusal, answer)
    SELECT r.requester, r.request_id, %(issuer)s, r.member_id, decode(r.params_hash, 'hex'), r.transaction_id,
           r.refusal, r.answer
      FROM json_to_recordset(%(requests)s::json) AS r(
           requester text, request_id text, member_id uuid, params_hash text, transaction_id uuid, refusal text,
           answer jsonb)
)
SELECT before, created_at FROM head
"""

WRITE_REFUSALS = """
INSERT INTO request (requester, request_id, issuer_id, member_id, params_hash, refusal, answer)
SELECT r.requester, r.request_id, %(issuer)s, r.member_id, decode(r.params_hash, 'hex'), r.refusal, r.answer
  FROM json_to_recordset(%(requests)s::json) AS r(
       requester text, request_id text, member_id uuid, params_hash text, refusal text, answer jsonb)
"""
