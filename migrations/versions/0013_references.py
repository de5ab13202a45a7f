"""What binds transfers and requests to their transactions and accounts is looked at once per batch, not once per row.

Foreign keys look at each row by itself: four of them were a quarter of what PostgreSQL did for a payment in a batch.
The trigger that holds every batch to the ledger's rules joins these rows anyway, so it says as well whether all of them
are there. That they stay is what `…_is_immutable` and `account_is_never_removed` are for.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_RULES = """
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

_RULES_BEFORE = """
CREATE OR REPLACE FUNCTION ledger_rules_hold() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken text;
BEGIN
    SELECT CASE
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
           END
      INTO broken
      FROM added
      JOIN transaction t ON t.id = added.transaction_id
      JOIN money ON money.id = added.money_id
      JOIN account debit ON debit.id = added.debit_account_id
      JOIN account credit ON credit.id = added.credit_account_id
      LEFT JOIN wallet w ON w.id = debit.wallet_id
      LEFT JOIN wallet target ON target.id = credit.wallet_id
      LEFT JOIN shop ON shop.id = credit.shop_id
      LEFT JOIN shop_money sm ON sm.shop_id = credit.shop_id AND sm.money_id = added.money_id
     ORDER BY 1 LIMIT 1;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'the ledger refuses %', broken USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""

_REQUESTS = """
CREATE FUNCTION requests_have_their_transactions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added LEFT JOIN transaction t ON t.id = added.transaction_id
         WHERE added.transaction_id IS NOT NULL AND t.id IS NULL
    ) THEN
        RAISE EXCEPTION 'a request whose transaction is not there' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER requests_have_their_transactions AFTER INSERT ON request
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION requests_have_their_transactions()
"""

_KEYS = (
    ("fk_transfer_debit", "transfer", "account", ["debit_account_id", "money_id"], ["id", "money_id"]),
    ("fk_transfer_credit", "transfer", "account", ["credit_account_id", "money_id"], ["id", "money_id"]),
    ("fk_transfer_transaction_id", "transfer", "transaction", ["transaction_id"], ["id"]),
    ("fk_request_transaction_id", "request", "transaction", ["transaction_id"], ["id"]),
)


def upgrade() -> None:
    op.execute(_RULES)
    op.execute(_REQUESTS)
    for name, table, *_ in _KEYS:
        op.drop_constraint(op.f(name), table, type_="foreignkey")


def downgrade() -> None:
    for name, table, to, columns, keys in _KEYS:
        op.create_foreign_key(op.f(name), table, to, columns, keys)
    op.execute("DROP TRIGGER requests_have_their_transactions ON request")
    op.execute("DROP FUNCTION requests_have_their_transactions()")
    op.execute(_RULES_BEFORE)
