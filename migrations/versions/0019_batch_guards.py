"""What guards a batch looks at less: each credit side once, and no index for what a name finds as well.

A payment batch mostly has one credit side, the shop's takings, which was looked up for every row. A request and its
transaction carry the same name, so the primary key of the requests finds both ways, and keeps a second one away.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_RULES = """
CREATE OR REPLACE FUNCTION ledger_rules_hold() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken text;
    whole boolean;
BEGIN
    WITH moved AS MATERIALIZED (
        SELECT t.kind, t.money_id AS of_money_id, t.kind = 'charge' AND t.metadata ? 'agreed_before' AS agreed_before,
               (t.created_at AT TIME ZONE 'UTC')::date - 1 AS yesterday,
               added.money_id, added.debit_account_id, added.credit_account_id, added.amount_yen, added.debit_after_yen
          FROM added
          JOIN transaction t ON t.id = added.transaction_id AND t.position = added.position
    ), limits AS MATERIALIZED (
        SELECT id, max_per_payment_yen, max_per_day_yen, max_per_month_yen, ceiling_yen
          FROM money WHERE id IN (SELECT money_id FROM moved)
    ), taken AS (
        SELECT count(*) AS found, min(CASE
                 WHEN moved.kind IN ('payment', 'capture', 'move') AND w.status <> 'active' THEN 'a wallet that is not active'
                 WHEN moved.kind IN ('payment', 'move') AND debit.expires_on < moved.yesterday
                   THEN 'value that has expired'
                 WHEN moved.kind = 'payment' AND w.id IS NOT NULL
                      AND (moved.amount_yen > least(w.max_per_payment_yen, money.max_per_payment_yen)
                           OR w.spent_day_yen > least(w.max_per_day_yen, money.max_per_day_yen)
                           OR w.spent_month_yen > least(w.max_per_month_yen, money.max_per_month_yen))
                   THEN 'more than a limit of the wallet'
                 -- a settlement may go below: it is about what was, and what was given back since is owed
                 WHEN debit.kind = 'takings' AND moved.kind <> 'settlement' AND moved.debit_after_yen < debit.floor_yen
                   THEN 'takings below their floor'
               END) AS broken
          FROM moved
          JOIN account debit ON debit.id = moved.debit_account_id AND debit.money_id = moved.money_id
          JOIN limits money ON money.id = moved.money_id
          LEFT JOIN wallet w ON w.id = debit.wallet_id
    ), side AS (
        SELECT DISTINCT kind, of_money_id, agreed_before, money_id, credit_account_id FROM moved
    ), given AS (
        SELECT count(*) = count(credit.id) AS found, min(CASE
                 WHEN side.kind IN ('payment', 'capture') AND credit.shop_id IS NOT NULL AND shop.status <> 'open'
                   THEN 'a shop that is closed'
                 WHEN side.kind = 'payment' AND credit.shop_id IS NOT NULL AND sm.accepted IS NOT TRUE
                   THEN 'a money that the shop does not accept'
                 WHEN (side.kind IN ('move', 'adjustment') OR (side.kind = 'charge' AND NOT side.agreed_before))
                      AND target.total_yen + target.reserved_yen > money.ceiling_yen
                   THEN 'more than a wallet may hold'
                 WHEN side.kind = 'move' AND target.id IS NOT NULL AND target.money_id <> side.of_money_id
                      AND NOT EXISTS (SELECT FROM move_rule m
                                       WHERE m.from_money_id = side.of_money_id AND m.to_money_id = target.money_id)
                   THEN 'a move that no rule allows'
               END) AS broken
          FROM side
          JOIN money ON money.id = side.money_id
          LEFT JOIN account credit ON credit.id = side.credit_account_id AND credit.money_id = side.money_id
          LEFT JOIN wallet target ON target.id = credit.wallet_id
          LEFT JOIN shop ON shop.id = credit.shop_id
          LEFT JOIN shop_money sm ON sm.shop_id = credit.shop_id AND sm.money_id = side.money_id
    )
    SELECT coalesce(taken.broken, given.broken), taken.found = (SELECT count(*) FROM added) AND given.found
      INTO broken, whole
      FROM taken, given;
    IF NOT whole THEN
        RAISE EXCEPTION 'a transfer of a transaction or an account that is not there, or of another money'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'the ledger refuses %', broken USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""

_RULES_BEFORE = """
CREATE OR REPLACE FUNCTION ledger_rules_hold() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken text;
    whole bigint;
BEGIN
    SELECT min(CASE
             WHEN t.kind IN ('payment', 'capture', 'move') AND w.status <> 'active' THEN 'a wallet that is not active'
             WHEN t.kind IN ('payment', 'move') AND debit.expires_on < (t.created_at AT TIME ZONE 'UTC')::date - 1
               THEN 'value that has expired'
             WHEN t.kind = 'payment' AND w.id IS NOT NULL
                  AND (added.amount_yen > least(w.max_per_payment_yen, money.max_per_payment_yen)
                       OR w.spent_day_yen > least(w.max_per_day_yen, money.max_per_day_yen)
                       OR w.spent_month_yen > least(w.max_per_month_yen, money.max_per_month_yen))
               THEN 'more than a limit of the wallet'
             WHEN t.kind IN ('payment', 'capture') AND credit.shop_id IS NOT NULL AND shop.status <> 'open'
               THEN 'a shop that is closed'
             WHEN t.kind = 'payment' AND credit.shop_id IS NOT NULL AND sm.accepted IS NOT TRUE
               THEN 'a money that the shop does not accept'
             WHEN (t.kind IN ('move', 'adjustment') OR (t.kind = 'charge' AND NOT t.metadata ? 'agreed_before'))
                  AND target.total_yen + target.reserved_yen > money.ceiling_yen
               THEN 'more than a wallet may hold'
             WHEN t.kind = 'move' AND target.id IS NOT NULL AND target.money_id <> t.money_id
                  AND NOT EXISTS (SELECT FROM move_rule m
                                   WHERE m.from_money_id = t.money_id AND m.to_money_id = target.money_id)
               THEN 'a move that no rule allows'
             -- a settlement may go below: it is about what was, and what was given back since is owed
             WHEN debit.kind = 'takings' AND t.kind <> 'settlement' AND added.debit_after_yen < debit.floor_yen
               THEN 'takings below their floor'
           END), count(*)
      INTO broken, whole
      FROM added
      JOIN transaction t ON t.id = added.transaction_id AND t.position = added.position
      JOIN money ON money.id = added.money_id
      JOIN account debit ON debit.id = added.debit_account_id AND debit.money_id = added.money_id
      JOIN account credit ON credit.id = added.credit_account_id AND credit.money_id = added.money_id
      LEFT JOIN wallet w ON w.id = debit.wallet_id
      LEFT JOIN wallet target ON target.id = credit.wallet_id
      LEFT JOIN shop ON shop.id = credit.shop_id
      LEFT JOIN shop_money sm ON sm.shop_id = credit.shop_id AND sm.money_id = added.money_id;
    IF whole <> (SELECT count(*) FROM added) THEN
        RAISE EXCEPTION 'a transfer of a transaction or an account that is not there, or of another money'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'the ledger refuses %', broken USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""

_REQUESTS = """
CREATE OR REPLACE FUNCTION requests_have_their_transactions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added LEFT JOIN transaction t ON t.id = added.transaction_id{and_by_name}
         WHERE added.transaction_id IS NOT NULL AND t.id IS NULL
    ) THEN
        RAISE EXCEPTION 'a request whose transaction is not there' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$
"""

_BY_NAME = """
                          AND t.requester = added.requester AND t.request_id = added.request_id"""


def upgrade() -> None:
    op.execute(_RULES)
    op.execute(_REQUESTS.format(and_by_name=_BY_NAME))
    op.drop_index("uq_request_transaction", table_name="request")


def downgrade() -> None:
    op.create_index(
        "uq_request_transaction",
        "request",
        ["transaction_id"],
        unique=True,
        postgresql_where=sa.text("transaction_id IS NOT NULL"),
    )
    op.execute(_REQUESTS.format(and_by_name=""))
    op.execute(_RULES_BEFORE)
