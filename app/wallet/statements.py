"""The poster's SQL: lock and read what a batch touches, write what was decided.

What every batch has goes in as arrays, one per column; what only some have as one JSON document (documents.py).

Every statement joins by key, and the poster's connection is told so.
"""

from __future__ import annotations

from app.db import PLANS_BY_KEY

CONNECTION_OPTIONS = (
    f"{PLANS_BY_KEY} -c lock_timeout=1s -c statement_timeout=10s -c idle_in_transaction_session_timeout=10s"
    " -c synchronous_commit=on -c TimeZone=UTC"
)

# --- the rules, read when they are needed and kept by their version ---

RULES_VERSION = "SELECT version FROM ledger_rules"

MONEY_CODES = "SELECT id, code FROM money WHERE id = ANY(%(ids)s)"

MONIES = """
SELECT id, code, backing, position, groups, expiry, expires_month_day, expiry_min_days, expiry_months,
       refund_grace_days, ceiling_yen, max_per_payment_yen, max_per_day_yen, max_per_month_yen, points_money_id,
       points_rate_bp, points_rounding
  FROM money
 WHERE issuer_id = %(issuer)s AND (code = ANY(%(codes)s) OR id = ANY(%(ids)s::int[]))
"""

BOOKS = "SELECT money_id, book, id FROM account WHERE book IS NOT NULL AND money_id = ANY(%(monies)s)"

MOVES = "SELECT from_money_id, to_money_id, min_yen, max_yen, step_yen FROM move_rule"

SHOPS = """
SELECT s.id, s.status, sm.money_id, a.id, sm.accepted, sm.falls_to, sm.points_rate_bp
  FROM shop s
  LEFT JOIN shop_money sm ON sm.shop_id = s.id
  LEFT JOIN account a ON a.shop_id = s.id AND a.money_id = sm.money_id
 WHERE s.id = ANY(%(shops)s)
"""

# --- lock, each kind in the order of its key; a later kind never waits while an earlier one is unlocked ---

LOCK_ORIGINALS = """
SELECT id, kind, member_id, money_id, shop_id, amount_yen
  FROM transaction
 WHERE id = ANY(%(originals)s::uuid[])
 ORDER BY id
   FOR NO KEY UPDATE
"""

ORIGINAL_TRANSFERS = """
SELECT t.transaction_id, t.debit_account_id, t.credit_account_id, t.money_id, t.amount_yen,
       debit.wallet_id IS NULL, credit.wallet_id IS NULL
  FROM transfer t
  JOIN account debit ON debit.id = t.debit_account_id
  JOIN account credit ON credit.id = t.credit_account_id
 WHERE t.transaction_id = ANY(%(originals)s::uuid[])
 ORDER BY t.transaction_id, t.line
"""

REFUNDED = """
SELECT reverses, sum(amount_yen)::bigint
  FROM transaction
 WHERE reverses = ANY(%(originals)s::uuid[])
 GROUP BY reverses
"""

LOCK_CONTROLS = """
SELECT id, kind, status, max_per_payment_yen, max_per_day_yen, max_per_month_yen, valid_until, monies,
       shops::text, spent_on, spent_day_yen, spent_month_yen
  FROM spend_control
 WHERE id = ANY(%(controls)s::uuid[])
 ORDER BY id
   FOR NO KEY UPDATE
"""

LOCK_HOLDS = """
SELECT h.id, h.member_id, t.money_id, h.shop_id, h.requester, h.controls, h.amount_yen, h.state,
       h.expires_at <= clock_timestamp(), (h.created_at AT TIME ZONE %(zone)s)::date
  FROM hold h
  JOIN transaction t ON t.id = h.id
 WHERE h.id = ANY(%(holds)s::uuid[])
 ORDER BY h.id
   FOR NO KEY UPDATE OF h
"""

HOLD_PARTS = """
SELECT p.hold_id, p.account_id, p.amount_yen, a.money_id
  FROM hold_part p
  JOIN account a ON a.id = p.account_id
 WHERE p.hold_id = ANY(%(holds)s::uuid[])
 ORDER BY p.hold_id, p.line
"""

LOCK_CODES = """
SELECT id, CASE WHEN used_by IS NOT NULL THEN 'used' WHEN cancelled_at IS NOT NULL THEN 'cancelled'
                WHEN expires_at <= clock_timestamp() THEN 'expired' ELSE 'open' END
  FROM one_time_code
 WHERE id = ANY(%(codes)s::uuid[])
 ORDER BY id
   FOR NO KEY UPDATE
"""

LOCK_QUOTAS = """
SELECT begins_on, quota_yen - paid_out_yen
  FROM payout_period
 WHERE issuer_id = %(issuer)s AND begins_on = ANY(%(periods)s::date[])
 ORDER BY begins_on
   FOR NO KEY UPDATE
"""

LOCK_WALLETS = """
SELECT w.id, w.member_id, w.money_id, w.status, w.total_yen, w.pending_yen, w.reserved_yen, w.expires_on,
       w.max_per_payment_yen, w.max_per_day_yen, w.max_per_month_yen, w.spent_on, w.spent_day_yen, w.spent_month_yen
  FROM unnest(%(members)s::uuid[], %(monies)s::int[]) AS k(member_id, money_id)
  JOIN wallet w USING (member_id, money_id)
 ORDER BY w.id
   FOR NO KEY UPDATE OF w
"""

# All of a batch's takings and books are locked by one statement in one order, here or at the write, never in part.
LOCK_ACCOUNTS = """
SELECT id, money_id, posted_yen, floor_yen
  FROM account
 WHERE id = ANY(%(accounts)s::bigint[])
 ORDER BY id
   FOR NO KEY UPDATE
"""

# --- read, in new statements: what another poster committed while we waited for the locks is seen ---

LOTS = """
SELECT a.wallet_id, a.id, a.money_id, a.posted_yen, a.pending_yen, a.expires_on
  FROM unnest(%(members)s::uuid[], %(monies)s::int[]) AS k(member_id, money_id)
  JOIN wallet w USING (member_id, money_id)
  JOIN account a ON a.wallet_id = w.id
 ORDER BY a.wallet_id, a.expires_on NULLS LAST
"""

# The database's clock, since web processes do not agree on a midnight; and never before what has been written.
TODAY = """
SELECT (greatest(clock_timestamp(), created_at) AT TIME ZONE %(zone)s)::date, version
  FROM issuer_head CROSS JOIN ledger_rules
 WHERE issuer_id = %(issuer)s
"""

REQUESTS = """
SELECT r.requester, r.request_id, r.params_hash, r.refusal, r.answer,
       t.id, t.position, t.kind, t.amount_yen, t.money_id, t.member_id, t.shop_id, t.created_at
  FROM json_to_recordset(%(requests)s::json) AS k(requester text, request_id text)
  JOIN request r USING (requester, request_id)
  LEFT JOIN transaction t ON t.id = r.transaction_id
"""

NEW_LOTS = """
INSERT INTO account (issuer_id, money_id, kind, wallet_id, expires_on)
SELECT %(issuer)s, w.money_id, 'lot', w.id, k.expires_on
  FROM json_to_recordset(%(lots)s::json) AS k(wallet_id uuid, expires_on date)
  JOIN wallet w ON w.id = k.wallet_id
RETURNING wallet_id, id, money_id, expires_on
"""

# --- write: first the rows that this batch has locked for itself, which keep nobody waiting, and last the heads ---
#
# The day of a wallet's and a control's sums is the one by which the batch was judged. It must be that of the head's
# instant, which is the transactions' `created_at`: so the sums are exactly what the transactions of that day and month
# add up to. Where midnight passes between the decision and the head, the whole batch is refused and judged anew.
#
# The head is locked first of all in WRITE, and its instant taken then: an UPDATE that waits for somebody's FOR SHARE
# would write the instant from before it waited, and who held that lock would have been told that nothing was under way
# (as_of.py). From there to the commit everybody waits, so nothing is done there that can be done before.

CHANGE = """
WITH day AS (
    SELECT %(day)s::date AS this, date_trunc('month', %(day)s::timestamp)::date AS month_begin
), changed_wallet AS (
    UPDATE wallet w
       SET total_yen = w.total_yen + r.change_yen,
           pending_yen = w.pending_yen + r.pending_yen,
           reserved_yen = w.reserved_yen + r.reserved_yen,
           expires_on = coalesce(r.expires_on, w.expires_on),
           status = coalesce(r.status, w.status),
           spent_on = CASE WHEN r.day_yen IS NULL THEN w.spent_on ELSE day.this END,
           spent_day_yen = CASE WHEN r.day_yen IS NULL THEN w.spent_day_yen ELSE greatest(0,
               r.day_yen + CASE WHEN w.spent_on = day.this THEN w.spent_day_yen ELSE 0 END) END,
           spent_month_yen = CASE WHEN r.day_yen IS NULL THEN w.spent_month_yen ELSE greatest(0,
               r.month_yen + CASE WHEN w.spent_on >= day.month_begin THEN w.spent_month_yen ELSE 0 END) END
      FROM unnest(%(wallet_id)s::uuid[], %(wallet_change)s::bigint[], %(wallet_pending)s::bigint[],
                  %(wallet_reserved)s::bigint[], %(wallet_day)s::bigint[], %(wallet_month)s::bigint[],
                  %(wallet_expires)s::date[], %(wallet_status)s::text[]
           ) AS r(id, change_yen, pending_yen, reserved_yen, day_yen, month_yen, expires_on, status) CROSS JOIN day
     WHERE w.id = r.id
)
UPDATE spend_control c
   SET spent_on = day.this,
       spent_day_yen = greatest(0,
           r.day_yen + CASE WHEN c.spent_on = day.this THEN c.spent_day_yen ELSE 0 END),
       spent_month_yen = greatest(0,
           r.month_yen + CASE WHEN c.spent_on >= day.month_begin THEN c.spent_month_yen ELSE 0 END),
       given_back_yen = c.given_back_yen + r.given_back_yen
  FROM unnest(%(control_id)s::uuid[], %(control_day)s::bigint[], %(control_month)s::bigint[],
              %(control_given_back)s::bigint[]) AS r(id, day_yen, month_yen, given_back_yen) CROSS JOIN day
 WHERE c.id = r.id
"""

LOCK_ACCOUNTS_TO_WRITE = "SELECT id FROM account WHERE id = ANY(%(late)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"

WRITE = """
WITH said AS MATERIALIZED (
    SELECT *
      FROM unnest(%(id)s::uuid[], %(kind)s::text[], %(requester)s::text[], %(request_id)s::text[],
                  %(params_hash)s::text[], %(asked_of)s::uuid[], %(balance)s::bigint[], %(answered)s::jsonb[],
                  %(member)s::uuid[], %(money)s::int[], %(shop)s::uuid[], %(amount)s::bigint[], %(grant)s::uuid[],
                  %(terminal)s::uuid[], %(card)s::uuid[], %(description)s::text[], %(metadata)s::jsonb[],
                  %(reverses)s::uuid[], %(hold)s::uuid[], %(taken_at)s::timestamptz[]
           ) WITH ORDINALITY AS r(id, kind, requester, request_id, params_hash, asked_of, balance_yen, answered,
                                  member_id, money_id, shop_id, amount_yen, grant_id, terminal_id, card_id, description,
                                  metadata, reverses, hold_id, taken_at, n)
), head AS (
    UPDATE issuer_head h
       SET position = h.position + %(count)s, created_at = greatest(clock_timestamp(), h.created_at)
      FROM (SELECT issuer_id FROM issuer_head WHERE issuer_id = %(issuer)s FOR NO KEY UPDATE) AS held
     WHERE h.issuer_id = held.issuer_id
    RETURNING h.issuer_id, h.position - %(count)s AS before, h.created_at
), changed_account AS (
    UPDATE account a
       SET posted_yen = a.posted_yen + r.change_yen, pending_yen = a.pending_yen + r.pending_yen,
           version = a.version + r.transfers
      FROM unnest(%(account_id)s::bigint[], %(account_change)s::bigint[], %(account_pending)s::bigint[],
                  %(account_transfers)s::bigint[], %(account_late)s::boolean[]
           ) AS r(id, change_yen, pending_yen, transfers, late)
     WHERE a.id = r.id
    RETURNING a.id, a.posted_yen - r.change_yen AS before_yen, r.late
), late AS MATERIALIZED (
    SELECT id, before_yen FROM changed_account WHERE late
), new_transaction AS (
    INSERT INTO transaction (id, issuer_id, position, kind, requester, request_id, member_id, money_id, shop_id,
                             amount_yen, grant_id, terminal_id, card_id, description, metadata, reverses, hold_id,
                             taken_at, created_at)
    SELECT r.id, head.issuer_id, head.before + r.n, r.kind, r.requester, r.request_id, r.member_id, r.money_id,
           r.shop_id, r.amount_yen, r.grant_id, r.terminal_id, r.card_id, coalesce(r.description, ''),
           coalesce(r.metadata, '{}'), r.reverses, r.hold_id, r.taken_at, head.created_at
      FROM said r, head
), new_transfer AS (
    INSERT INTO transfer (transaction_id, line, position, money_id, debit_account_id, credit_account_id, amount_yen,
                          debit_after_yen, credit_after_yen)
    SELECT r.transaction_id, r.line, head.before + r.n, r.money_id, r.debit_account_id, r.credit_account_id,
           r.amount_yen, r.debit_after_yen + coalesce(debit.before_yen, 0),
           r.credit_after_yen + coalesce(credit.before_yen, 0)
      FROM unnest(%(transfer_n)s::int[], %(transfer_of)s::uuid[], %(transfer_line)s::smallint[],
                  %(transfer_money)s::int[], %(transfer_debit)s::bigint[], %(transfer_credit)s::bigint[],
                  %(transfer_amount)s::bigint[], %(transfer_debit_after)s::bigint[],
                  %(transfer_credit_after)s::bigint[]
           ) AS r(n, transaction_id, line, money_id, debit_account_id, credit_account_id, amount_yen,
                  debit_after_yen, credit_after_yen)
      CROSS JOIN head
      LEFT JOIN late debit ON debit.id = r.debit_account_id
      LEFT JOIN late credit ON credit.id = r.credit_account_id
), new_request AS (
    INSERT INTO request (requester, request_id, issuer_id, member_id, params_hash, transaction_id, answer)
    SELECT requester, request_id, %(issuer)s, asked_of, decode(params_hash, 'hex'), id,
           CASE WHEN answered IS NULL THEN jsonb_build_object('balance_yen', balance_yen)
                ELSE jsonb_build_object('balance_yen', balance_yen) || answered END
      FROM said
)
SELECT before, created_at
  FROM head
 WHERE is_of_day(created_at, %(zone)s, %(day)s)
"""

WRITE_REFUSALS = """
INSERT INTO request (requester, request_id, issuer_id, member_id, params_hash, refusal, answer)
SELECT r.requester, r.request_id, %(issuer)s, r.member_id, decode(r.params_hash, 'hex'), r.refusal, r.answer
  FROM json_to_recordset(%(requests)s::json) AS r(
       requester text, request_id text, member_id uuid, params_hash text, refusal text, answer jsonb)
"""

# --- write, after the transactions, what only some batches have ---

WRITE_HOLDS = """
WITH new_hold AS (
    INSERT INTO hold (id, issuer_id, member_id, shop_id, requester, controls, amount_yen, created_at, expires_at)
    SELECT t.id, t.issuer_id, t.member_id, t.shop_id, t.requester, r.controls, t.amount_yen, t.created_at, r.expires_at
      FROM json_to_recordset(%(holds)s::json) AS r(id uuid, controls uuid[], expires_at timestamptz)
      JOIN transaction t ON t.id = r.id
)
INSERT INTO hold_part (hold_id, line, account_id, amount_yen)
SELECT r.hold_id, r.line, r.account_id, r.amount_yen
  FROM json_to_recordset(%(parts)s::json) AS r(hold_id uuid, line smallint, account_id bigint, amount_yen bigint)
"""

END_HOLDS = """
UPDATE hold h
   SET state = r.state, captured_yen = r.captured_yen, ended_by = r.ended_by
  FROM json_to_recordset(%(ended)s::json) AS r(id uuid, state text, captured_yen bigint, ended_by uuid)
 WHERE h.id = r.id
"""

USE_CODES = """
UPDATE one_time_code c
   SET used_by = r.used_by
  FROM json_to_recordset(%(codes)s::json) AS r(id uuid, used_by uuid)
 WHERE c.id = r.id
"""

PAY_OUT = """
UPDATE payout_period p
   SET paid_out_yen = p.paid_out_yen + r.yen
  FROM json_to_recordset(%(paid_out)s::json) AS r(begins_on date, yen bigint)
 WHERE p.issuer_id = %(issuer)s AND p.begins_on = r.begins_on
"""
