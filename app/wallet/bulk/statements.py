"""The SQL of bulk jobs. Each joins by key, and each is right when two run it at once or the same one twice."""

from __future__ import annotations

LEASE = """
UPDATE bulk_job SET due_at = clock_timestamp() + :lease_for, lease = lease + 1
 WHERE id = (
       SELECT id FROM bulk_job WHERE state IN ('examining', 'running') AND due_at <= clock_timestamp()
        ORDER BY due_at FOR UPDATE SKIP LOCKED LIMIT 1)
RETURNING id, lease, state, client_id, file_name
"""

# A worker that outlived its lease, and one whose job was stopped, get no row.
HOLD = """
UPDATE bulk_job SET due_at = clock_timestamp() + :lease_for
 WHERE id = :job AND lease = :lease AND state = :state
RETURNING id
"""

GIVE_BACK = "UPDATE bulk_job SET due_at = clock_timestamp() WHERE id = :job AND lease = :lease"

ANALYZE = "ANALYZE bulk_row"

# Sums per wallet go down the file, line by line, as the ledger will.
JUDGE = """
WITH named AS (
    SELECT r.line, r.kind, r.amount_yen, r.expires_on, r.reference, coalesce(by_email.id, by_id.id) AS member_id,
           money.id AS money_id, money.ceiling_yen
      FROM bulk_row r
      LEFT JOIN member by_email
             ON by_email.issuer_id = r.issuer_id AND by_email.email = r.member AND by_email.status <> 'closed'
      LEFT JOIN member by_id
             ON by_id.id = CASE WHEN r.member LIKE '%@%' THEN NULL ELSE r.member::uuid END
            AND by_id.issuer_id = r.issuer_id AND by_id.status <> 'closed'
      LEFT JOIN money ON money.issuer_id = r.issuer_id AND money.code = r.money
     WHERE r.job_id = :job AND r.state = 'waiting'
), held AS (
    SELECT named.*, w.id AS wallet_id, w.status, coalesce(w.total_yen + w.reserved_yen, 0)
           + sum(CASE named.kind WHEN 'take_back' THEN -named.amount_yen ELSE named.amount_yen END)
             OVER (PARTITION BY named.member_id, named.money_id ORDER BY named.line) AS then_yen,
           min(named.line) OVER (PARTITION BY named.reference) AS first_line
      FROM named
      LEFT JOIN wallet w ON w.member_id = named.member_id AND w.money_id = named.money_id
), judged AS (
    SELECT line, member_id, array_remove(ARRAY[
           CASE WHEN member_id IS NULL THEN jsonb_build_object('field', 'member', 'code', 'member_unknown') END,
           CASE WHEN money_id IS NULL THEN jsonb_build_object('field', 'money', 'code', 'money_unknown') END,
           CASE WHEN status = 'closed' THEN jsonb_build_object('field', 'member', 'code', 'wallet_closed') END,
           CASE WHEN kind = 'take_back' AND member_id IS NOT NULL AND money_id IS NOT NULL AND wallet_id IS NULL
                THEN jsonb_build_object('field', 'member', 'code', 'wallet_unknown') END,
           CASE WHEN kind = 'take_back' AND expires_on IS NOT NULL
                THEN jsonb_build_object('field', 'expires_on', 'code', 'date_not_here') END,
           CASE WHEN expires_on < :today THEN jsonb_build_object('field', 'expires_on', 'code', 'date_is_over') END,
           CASE WHEN expires_on > :latest THEN jsonb_build_object('field', 'expires_on', 'code', 'date_too_far') END,
           CASE WHEN kind <> 'take_back' AND then_yen > ceiling_yen
                THEN jsonb_build_object('field', 'amount_yen', 'code', 'above_ceiling', 'max_yen', ceiling_yen) END,
           CASE WHEN first_line < line
                THEN jsonb_build_object(
                     'field', 'reference', 'code', 'reference_repeated', 'first_line', first_line) END
           ], NULL) AS problems
      FROM held
)
UPDATE bulk_row r
   SET member_id = judged.member_id,
       state = CASE WHEN judged.problems = '{}' THEN 'waiting' ELSE 'bad' END,
       problems = CASE WHEN judged.problems = '{}' THEN NULL ELSE to_jsonb(judged.problems) END
  FROM judged
 WHERE r.job_id = :job AND r.line = judged.line
"""

EXAMINED = """
WITH good AS (
    SELECT money, kind, count(*) AS lines, sum(amount_yen)::bigint AS sum_yen
      FROM bulk_row WHERE job_id = :job AND state = 'waiting' GROUP BY money, kind
), all_good AS (
    SELECT coalesce(sum(lines), 0) AS lines, coalesce(sum(sum_yen), 0) AS sum_yen,
           coalesce(jsonb_agg(jsonb_build_object('money', money, 'kind', kind, 'lines', lines, 'sum_yen', sum_yen)
                              ORDER BY money, kind), '[]') AS sums
      FROM good
)
UPDATE bulk_job job
   SET state = CASE WHEN all_good.lines = 0 THEN 'rejected' ELSE 'examined' END,
       problem = CASE WHEN all_good.lines = 0 THEN jsonb_build_object('code', 'no_good_lines', 'line', NULL) END,
       bad_lines = job.lines - all_good.lines, sum_yen = all_good.sum_yen, sums = all_good.sums,
       examined_at = clock_timestamp()
  FROM all_good
 WHERE job.id = :job
"""

LEFT = """
SELECT count(*) AS lines, coalesce(sum(amount_yen), 0)::bigint AS sum_yen
  FROM bulk_row WHERE job_id = :job AND state = 'waiting'
"""

# The slice first: joined before the limit, it would be all that is left of the file.
NEXT = """
WITH slice AS MATERIALIZED (
    SELECT * FROM bulk_row
     WHERE job_id = :job AND line > :after AND state = 'waiting'
     ORDER BY line
     LIMIT :most
)
SELECT r.line, r.member_id, r.money, r.amount_yen, r.kind, r.expires_on, r.description, r.reference, money.backing,
       member.status = 'closed' AS member_is_closed
  FROM slice r
  JOIN money ON money.issuer_id = r.issuer_id AND money.code = r.money
  JOIN member ON member.id = r.member_id
 ORDER BY r.line
"""

# A member who is being closed at this moment is waited for: nobody who is closed gets a wallet.
NEW_WALLETS = """
WITH missing AS MATERIALIZED (
    SELECT DISTINCT r.issuer_id, r.member_id, money.id AS money_id
      FROM bulk_row r
      JOIN money ON money.issuer_id = r.issuer_id AND money.code = r.money
     WHERE r.job_id = :job AND r.line = ANY(:lines) AND r.kind <> 'take_back'
       AND NOT EXISTS (SELECT FROM wallet w WHERE w.member_id = r.member_id AND w.money_id = money.id)
), living AS MATERIALIZED (
    SELECT id FROM member
     WHERE id IN (SELECT member_id FROM missing) AND status <> 'closed'
     ORDER BY id FOR SHARE
)
INSERT INTO wallet (id, issuer_id, member_id, money_id)
SELECT gen_random_uuid(), issuer_id, member_id, money_id
  FROM missing JOIN living ON living.id = member_id
 ORDER BY member_id, money_id
    ON CONFLICT DO NOTHING
RETURNING id
"""

NEW_LOTS = """
INSERT INTO account (issuer_id, money_id, kind, wallet_id)
SELECT issuer_id, money_id, 'lot', id FROM wallet WHERE id = ANY(:wallets)
    ON CONFLICT DO NOTHING
"""

# A row is marked once, whoever does it, and counted by who did.
MARK = """
WITH marked AS (
    UPDATE bulk_row r
       SET state = k.state, transaction_id = k.transaction_id, balance_yen = k.balance_yen, refusal = k.refusal,
           refusal_detail = k.refusal_detail
      FROM json_to_recordset(:outcomes) AS k(
           line int, state text, transaction_id uuid, balance_yen bigint, refusal text, refusal_detail jsonb)
     WHERE r.job_id = :job AND r.line = k.line AND r.state = 'waiting'
    RETURNING r.state, r.amount_yen
)
UPDATE bulk_job job
   SET accepted_lines = job.accepted_lines + new.accepted, refused_lines = job.refused_lines + new.refused,
       moved_yen = job.moved_yen + new.moved_yen
  FROM (SELECT count(*) FILTER (WHERE state = 'accepted') AS accepted,
               count(*) FILTER (WHERE state = 'refused') AS refused,
               coalesce(sum(amount_yen) FILTER (WHERE state = 'accepted'), 0) AS moved_yen
          FROM marked) AS new
 WHERE job.id = :job
"""

FINISH = """
UPDATE bulk_job SET state = 'done', finished_at = clock_timestamp()
 WHERE id = :job AND lease = :lease AND state = 'running'
   AND NOT EXISTS (SELECT FROM bulk_row WHERE job_id = :job AND state = 'waiting')
RETURNING id
"""
