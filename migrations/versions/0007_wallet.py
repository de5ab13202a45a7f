"""The wallet: rules of monies and shops, lots that expire, holds, one-time codes, limits, quotas of paying out.

What the office sets is in `money`, `shop`, `shop_money` and `move_rule`; each change of them raises the version in
`ledger_rules`, by which posters know that the rules they keep are old. The rules of `app/wallet/law` stand here a
second time: `ledger_rules_hold` looks at every batch's transfers, `hold_moves_once` and `code_is_used_once` at holds
and codes.
"""

import os

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KINDS_BEFORE = "'charge', 'payment', 'move', 'refund', 'expiry', 'adjustment', 'hold', 'capture', 'release', 'close'"

CHECKS_BEFORE = {
    ("account", "floor"): "kind = 'book' OR posted_yen >= 0",
    ("transaction", "amount_positive"): "amount_yen > 0",
    ("transaction", "kind"): f"kind IN ({_KINDS_BEFORE})",
}
CHECKS = {
    ("account", "floor"): "kind <> 'lot' OR posted_yen >= pending_yen",
    ("account", "only_lots_are_held"): "pending_yen = 0 OR (kind = 'lot' AND pending_yen > 0)",
    ("account", "only_takings_go_below"): "floor_yen = 0 OR (kind = 'takings' AND floor_yen < 0)",
    ("money", "expiry"): "expiry IN ('never', 'fixed_date', 'after_charge')",
    ("money", "fixed_date"): "(expiry = 'fixed_date') = (expires_month_day IS NOT NULL)",
    ("money", "month_day_form"): "expires_month_day ~ '^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$'",
    ("money", "after_charge"): "(expiry = 'after_charge') = (expiry_months IS NOT NULL)",
    ("money", "expiry_months"): "expiry_months BETWEEN 1 AND 120",
    ("money", "expiry_min_days"): "expiry_min_days BETWEEN 0 AND 366",
    ("money", "refund_grace_days"): "refund_grace_days BETWEEN 1 AND 3660",
    ("money", "ceiling_positive"): "ceiling_yen > 0",
    ("money", "max_per_payment_positive"): "max_per_payment_yen > 0",
    ("money", "max_per_day_positive"): "max_per_day_yen > 0",
    ("money", "max_per_month_positive"): "max_per_month_yen > 0",
    ("money", "points_rate"): "points_rate_bp BETWEEN 0 AND 10000",
    ("money", "points_rounding"): "points_rounding IN ('down', 'nearest', 'up')",
    ("money", "only_paid_earns"): "points_money_id IS NULL OR backing = 'paid'",
    ("oauth_client", "not_the_system"): "id <> 'kumiai'",
    ("spend_control", "given_back_not_negative"): "given_back_yen >= 0",
    ("transaction", "amount_positive"): "amount_yen > 0 OR (kind = 'close' AND amount_yen = 0)",
    ("transaction", "ends_a_hold"): "(kind IN ('capture', 'release')) = (hold_id IS NOT NULL)",
    ("transaction", "kind"): f"kind IN ({_KINDS_BEFORE}, 'settlement')",
    ("wallet", "pending_is_there"): "pending_yen >= 0 AND pending_yen <= total_yen",
    ("wallet", "reserved_not_negative"): "reserved_yen >= 0",
    ("wallet", "closed_is_empty"): "status <> 'closed' OR total_yen = 0",
    ("wallet", "max_per_payment_positive"): "max_per_payment_yen > 0",
    ("wallet", "max_per_day_positive"): "max_per_day_yen > 0",
    ("wallet", "max_per_month_positive"): "max_per_month_yen > 0",
    ("wallet", "month_holds_day"): "spent_day_yen >= 0 AND spent_month_yen >= spent_day_yen",
}

_BOOKS = """
INSERT INTO account (issuer_id, money_id, kind, book)
SELECT money.issuer_id, money.id, 'book', book
  FROM money, unnest(ARRAY['issued_by_cash', 'issued_by_card', 'issued_by_konbini', 'granted', 'points_granted',
                           'corrected', 'expired', 'refunded_in_cash', 'forfeited', 'moved',
                           'settled_with_shops']) AS book
    ON CONFLICT DO NOTHING
"""

_ACCEPTED = "INSERT INTO shop_money (shop_id, money_id) SELECT shop_id, money_id FROM account WHERE shop_id IS NOT NULL"

_SPENT_SO_FAR = """
UPDATE wallet w
   SET spent_on = paid.day, spent_day_yen = paid.day_yen, spent_month_yen = paid.month_yen
  FROM (
        SELECT member_id, money_id, last.day,
               sum(amount_yen) FILTER (WHERE t.day = last.day) AS day_yen,
               sum(amount_yen) FILTER (WHERE t.day >= date_trunc('month', last.day::timestamp)) AS month_yen
          FROM (SELECT member_id, money_id, amount_yen, (created_at AT TIME ZONE :zone)::date AS day
                  FROM transaction WHERE kind = 'payment') AS t
          JOIN (SELECT member_id, money_id, max((created_at AT TIME ZONE :zone)::date) AS day
                  FROM transaction WHERE kind = 'payment' GROUP BY member_id, money_id) AS last
         USING (member_id, money_id)
         GROUP BY member_id, money_id, last.day
       ) AS paid
 WHERE (w.member_id, w.money_id) = (paid.member_id, paid.money_id)
"""

_GUARDS = """
CREATE FUNCTION ledger_rules_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_rules SET version = version + 1;
    RETURN NULL;
END $$;

CREATE FUNCTION moves_keep_their_backing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(DISTINCT backing) FROM money WHERE id IN (NEW.from_money_id, NEW.to_money_id)) <> 1 THEN
        RAISE EXCEPTION 'paid and free monies are never mixed' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION points_are_free() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT backing FROM money WHERE id = NEW.points_money_id) <> 'free' THEN
        RAISE EXCEPTION 'points are a free money' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION backing_never_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a money stays paid or free for ever' USING ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION ledger_rules_hold() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE FUNCTION hold_moves_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a hold is captured or released once, and nothing else of it changes'
        USING ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION code_is_used_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a one-time code is used once' USING ERRCODE = 'check_violation';
END $$;

CREATE OR REPLACE FUNCTION refunds_stay_within_the_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- first in line for the originals, so that another connection's refund is committed, and seen by what follows
    PERFORM FROM transaction WHERE id IN (SELECT reverses FROM added) ORDER BY id FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT reverses FROM added WHERE reverses IS NOT NULL) AS refunded
          JOIN transaction original ON original.id = refunded.reverses
         WHERE original.kind NOT IN ('payment', 'capture')
            OR original.amount_yen < (SELECT sum(r.amount_yen) FROM transaction r WHERE r.reverses = original.id)
    ) THEN
        RAISE EXCEPTION 'more is given back than was paid' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER ledger_rules_hold AFTER INSERT ON transfer
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_rules_hold();
CREATE TRIGGER moves_keep_their_backing BEFORE INSERT OR UPDATE ON move_rule
    FOR EACH ROW EXECUTE FUNCTION moves_keep_their_backing();
CREATE TRIGGER points_are_free BEFORE INSERT OR UPDATE OF points_money_id ON money
    FOR EACH ROW WHEN (NEW.points_money_id IS NOT NULL) EXECUTE FUNCTION points_are_free();
CREATE TRIGGER backing_never_changes BEFORE UPDATE OF backing ON money
    FOR EACH ROW WHEN (NEW.backing <> OLD.backing) EXECUTE FUNCTION backing_never_changes();
CREATE TRIGGER hold_moves_once BEFORE UPDATE ON hold
    FOR EACH ROW WHEN (
        OLD.state <> 'held'
        OR (NEW.id, NEW.member_id, NEW.shop_id, NEW.requester, NEW.controls, NEW.amount_yen, NEW.created_at,
            NEW.expires_at)
           IS DISTINCT FROM
           (OLD.id, OLD.member_id, OLD.shop_id, OLD.requester, OLD.controls, OLD.amount_yen, OLD.created_at,
            OLD.expires_at)
    ) EXECUTE FUNCTION hold_moves_once();
CREATE TRIGGER code_is_used_once BEFORE UPDATE OF used_by, cancelled_at ON one_time_code
    FOR EACH ROW WHEN (
        (OLD.used_by IS NOT NULL AND NEW.used_by IS DISTINCT FROM OLD.used_by)
        OR (OLD.cancelled_at IS NOT NULL AND NEW.cancelled_at IS DISTINCT FROM OLD.cancelled_at)
        OR (OLD.cancelled_at IS NOT NULL AND NEW.used_by IS NOT NULL)
    ) EXECUTE FUNCTION code_is_used_once();
"""

_SUMS_MAY_BE_GIVEN_BACK = """
DROP TRIGGER spent_sums_hold ON spend_control;
CREATE TRIGGER spent_sums_hold BEFORE UPDATE OF spent_on, spent_day_yen, spent_month_yen ON spend_control
    FOR EACH ROW WHEN (
        NEW.given_back_yen < OLD.given_back_yen
        OR (OLD.spent_on IS NOT NULL AND (NEW.spent_on IS NULL OR NEW.spent_on < OLD.spent_on))
        OR (NEW.spent_on = OLD.spent_on
            AND NEW.spent_day_yen + NEW.given_back_yen < OLD.spent_day_yen + OLD.given_back_yen)
        OR (date_trunc('month', NEW.spent_on::timestamp) = date_trunc('month', OLD.spent_on::timestamp)
            AND NEW.spent_month_yen + NEW.given_back_yen < OLD.spent_month_yen + OLD.given_back_yen)
        OR (NEW.spent_day_yen > NEW.max_per_day_yen AND NEW.given_back_yen = OLD.given_back_yen)
        OR (NEW.spent_month_yen > NEW.max_per_month_yen AND NEW.given_back_yen = OLD.given_back_yen)
    ) EXECUTE FUNCTION spent_sums_are_wrong();
"""
"""What a hold set aside and a shop did not take is given back; nothing else makes the sums smaller. Where a batch gives
back, the ceilings are `decide`'s alone: they may have been lowered below what was spent."""

_SUMS_NEVER_SHRINK = """
DROP TRIGGER spent_sums_hold ON spend_control;
CREATE TRIGGER spent_sums_hold BEFORE UPDATE OF spent_on, spent_day_yen, spent_month_yen ON spend_control
    FOR EACH ROW WHEN (
        (OLD.spent_on IS NOT NULL AND (NEW.spent_on IS NULL OR NEW.spent_on < OLD.spent_on))
        OR (NEW.spent_on = OLD.spent_on AND NEW.spent_day_yen < OLD.spent_day_yen)
        OR (date_trunc('month', NEW.spent_on::timestamp) = date_trunc('month', OLD.spent_on::timestamp)
            AND NEW.spent_month_yen < OLD.spent_month_yen)
        OR NEW.spent_day_yen > NEW.max_per_day_yen
        OR NEW.spent_month_yen > NEW.max_per_month_yen
    ) EXECUTE FUNCTION spent_sums_are_wrong();
"""

_CANNOT_GO_BACK = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM transaction WHERE kind IN ('hold', 'capture', 'release', 'close', 'settlement', 'move'))
       OR EXISTS (SELECT FROM account WHERE floor_yen < 0) THEN
        RAISE EXCEPTION 'the ledger holds what the version before cannot read: holds, moves, settlements, closings';
    END IF;
END $$
"""

_REFUNDS_BEFORE = """
CREATE OR REPLACE FUNCTION refunds_stay_within_the_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- first in line for the originals, so that another connection's refund is committed, and seen by what follows
    PERFORM FROM transaction WHERE id IN (SELECT reverses FROM added) ORDER BY id FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT reverses FROM added WHERE reverses IS NOT NULL) AS refunded
          JOIN transaction original ON original.id = refunded.reverses
         WHERE original.kind <> 'payment'
            OR original.amount_yen < (SELECT sum(r.amount_yen) FROM transaction r WHERE r.reverses = original.id)
    ) THEN
        RAISE EXCEPTION 'more is given back than was paid' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""

_RULES = ("money", "shop", "shop_money", "move_rule")
_IMMUTABLE = ("hold_part", "stop_event")
_GUARD_FUNCTIONS = (
    "ledger_rules_changed",
    "moves_keep_their_backing",
    "points_are_free",
    "backing_never_changes",
    "ledger_rules_hold",
    "hold_moves_once",
    "code_is_used_once",
)


def upgrade() -> None:
    op.create_table(
        "ledger_rules",
        sa.Column("the_only_one", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("the_only_one", name=op.f("ck_ledger_rules_the_only_one")),
        sa.PrimaryKeyConstraint("the_only_one", name=op.f("pk_ledger_rules")),
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("shop_id", sa.Uuid(), nullable=False),
        sa.Column("requester", sa.Text(), nullable=False, comment="client_id of who asked; only it captures"),
        sa.Column("controls", sa.ARRAY(sa.Uuid()), nullable=False, comment="the spend controls it counts under"),
        sa.Column("amount_yen", sa.BigInteger(), nullable=False),
        sa.Column("captured_yen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), server_default="held", nullable=False),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(state = 'captured') = (captured_yen > 0)", name=op.f("ck_hold_captured_something")),
        sa.CheckConstraint("(state = 'held') = (ended_by IS NULL)", name=op.f("ck_hold_ended_by_a_transaction")),
        sa.CheckConstraint("state IN ('held', 'captured', 'released', 'expired')", name=op.f("ck_hold_state")),
        sa.CheckConstraint("amount_yen > 0", name=op.f("ck_hold_amount_positive")),
        sa.CheckConstraint("captured_yen BETWEEN 0 AND amount_yen", name=op.f("ck_hold_captured_within")),
        sa.ForeignKeyConstraint(["ended_by"], ["transaction.id"], name=op.f("fk_hold_ended_by")),
        sa.ForeignKeyConstraint(["id"], ["transaction.id"], name=op.f("fk_hold_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
    )
    op.create_index("ix_hold_member", "hold", ["member_id", "created_at"], unique=False)
    op.create_index("ix_hold_open", "hold", ["expires_at"], unique=False, postgresql_where=sa.text("state = 'held'"))
    op.create_table(
        "payout_period",
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("begins_on", sa.Date(), nullable=False, comment="1 April or 1 October"),
        sa.Column("quota_yen", sa.BigInteger(), nullable=False),
        sa.Column("paid_out_yen", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("paid_out_yen BETWEEN 0 AND quota_yen", name=op.f("ck_payout_period_within_quota")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_payout_period_issuer_id")),
        sa.PrimaryKeyConstraint("issuer_id", "begins_on", name=op.f("pk_payout_period")),
    )
    op.create_table(
        "move_rule",
        sa.Column("from_money_id", sa.Integer(), nullable=False),
        sa.Column("to_money_id", sa.Integer(), nullable=False),
        sa.Column("min_yen", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("max_yen", sa.BigInteger(), server_default="1000000", nullable=False),
        sa.Column("step_yen", sa.BigInteger(), server_default="1", nullable=False),
        sa.CheckConstraint("from_money_id <> to_money_id", name=op.f("ck_move_rule_two_monies")),
        sa.CheckConstraint("step_yen > 0 AND min_yen > 0 AND max_yen >= min_yen", name=op.f("ck_move_rule_amounts")),
        sa.ForeignKeyConstraint(["from_money_id"], ["money.id"], name=op.f("fk_move_rule_from_money_id")),
        sa.ForeignKeyConstraint(["to_money_id"], ["money.id"], name=op.f("fk_move_rule_to_money_id")),
        sa.PrimaryKeyConstraint("from_money_id", "to_money_id", name=op.f("pk_move_rule")),
    )
    op.create_table(
        "one_time_code",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False, comment="HMAC-SHA-256 under the server's key"),
        sa.Column(
            "client_id", sa.Text(), nullable=False, comment="who asked for it: the shop's till, or the member's app"
        ),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("grant_id", sa.Uuid(), nullable=True, comment="the permission it was asked under; its ceilings hold"),
        sa.Column("shop_id", sa.Uuid(), nullable=True),
        sa.Column("money", sa.Text(), nullable=True, comment="code of the money to pay with; null: the payer's choice"),
        sa.Column("amount_yen", sa.BigInteger(), nullable=True),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_by", sa.Uuid(), nullable=True),
        sa.Column("last_refusal", sa.Text(), nullable=True, comment="why the last scan did not pay: an error's code"),
        sa.Column("last_refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(side = 'member') = (member_id IS NOT NULL)", name=op.f("ck_one_time_code_member_is_known")
        ),
        sa.CheckConstraint(
            "(side = 'shop') = (shop_id IS NOT NULL AND amount_yen IS NOT NULL)",
            name=op.f("ck_one_time_code_shop_names_amount"),
        ),
        sa.CheckConstraint("purpose IN ('payment', 'charge')", name=op.f("ck_one_time_code_purpose")),
        sa.CheckConstraint("side IN ('shop', 'member')", name=op.f("ck_one_time_code_side")),
        sa.CheckConstraint("amount_yen > 0", name=op.f("ck_one_time_code_amount_positive")),
        sa.CheckConstraint("used_by IS NULL OR cancelled_at IS NULL", name=op.f("ck_one_time_code_used_or_cancelled")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_one_time_code_issuer_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_one_time_code_member_id")),
        sa.ForeignKeyConstraint(["shop_id"], ["shop.id"], name=op.f("fk_one_time_code_shop_id")),
        sa.ForeignKeyConstraint(["used_by"], ["transaction.id"], name=op.f("fk_one_time_code_used_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_code")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_one_time_code_code_hash")),
    )
    op.create_index(
        op.f("ix_one_time_code_client_id_created_at"), "one_time_code", ["client_id", "created_at"], unique=False
    )
    op.create_index(
        op.f("ix_one_time_code_grant_id_created_at"),
        "one_time_code",
        ["grant_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("grant_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_one_time_code_expires_at"), "one_time_code", ["expires_at"], unique=False)
    op.create_table(
        "shop_money",
        sa.Column("shop_id", sa.Uuid(), nullable=False),
        sa.Column("money_id", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Boolean(), server_default="true", nullable=False),
        sa.Column(
            "falls_to",
            sa.ARRAY(sa.Text()),
            server_default="{}",
            nullable=False,
            comment="codes of the monies that pay what this one cannot, in order",
        ),
        sa.Column("points_rate_bp", sa.Integer(), nullable=True, comment="instead of the money's own"),
        sa.CheckConstraint("points_rate_bp BETWEEN 0 AND 10000", name=op.f("ck_shop_money_points_rate")),
        sa.ForeignKeyConstraint(["money_id"], ["money.id"], name=op.f("fk_shop_money_money_id")),
        sa.ForeignKeyConstraint(["shop_id"], ["shop.id"], name=op.f("fk_shop_money_shop_id")),
        sa.PrimaryKeyConstraint("shop_id", "money_id", name=op.f("pk_shop_money")),
    )
    op.create_table(
        "stop_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="`member`, a client_id, or who in the office"),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("action = 'suspended' OR reason <> ''", name=op.f("ck_stop_event_resumed_with_reason")),
        sa.CheckConstraint("action IN ('suspended', 'resumed', 'closed')", name=op.f("ck_stop_event_action")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_stop_event_issuer_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_stop_event_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stop_event")),
    )
    op.create_index(op.f("ix_stop_event_member_id_created_at"), "stop_event", ["member_id", "created_at"], unique=False)
    op.create_table(
        "hold_part",
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_yen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_yen > 0", name=op.f("ck_hold_part_amount_positive")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_hold_part_account_id")),
        sa.ForeignKeyConstraint(["hold_id"], ["hold.id"], name=op.f("fk_hold_part_hold_id")),
        sa.PrimaryKeyConstraint("hold_id", "line", name=op.f("pk_hold_part")),
    )
    op.create_index(op.f("ix_hold_part_account_id"), "hold_part", ["account_id"], unique=False)
    op.add_column(
        "account",
        sa.Column(
            "floor_yen",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="how far refunds may take a shop's takings below zero",
        ),
    )
    op.create_index(
        "ix_account_expires_on",
        "account",
        ["expires_on"],
        unique=False,
        postgresql_where=sa.text("expires_on IS NOT NULL"),
    )
    op.add_column(
        "money", sa.Column("groups", sa.ARRAY(sa.Text()), nullable=True, comment="product groups it may buy; null: any")
    )
    op.add_column("money", sa.Column("expiry", sa.Text(), server_default="never", nullable=False))
    op.add_column(
        "money",
        sa.Column(
            "expires_month_day", sa.Text(), nullable=True, comment="fixed_date: MM-DD, the last day value is good"
        ),
    )
    op.add_column(
        "money",
        sa.Column(
            "expiry_min_days",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="fixed_date: nearer than this, the next year's date counts",
        ),
    )
    op.add_column(
        "money",
        sa.Column("expiry_months", sa.SmallInteger(), nullable=True, comment="after_charge: from the last charge"),
    )
    op.add_column(
        "money",
        sa.Column(
            "refund_grace_days",
            sa.SmallInteger(),
            server_default="30",
            nullable=False,
            comment="how long what is refunded into an expired lot is good",
        ),
    )
    op.add_column(
        "money", sa.Column("ceiling_yen", sa.BigInteger(), nullable=True, comment="the most one wallet may hold")
    )
    op.add_column(
        "money",
        sa.Column("max_per_payment_yen", sa.BigInteger(), nullable=True, comment="of one wallet; null: no limit"),
    )
    op.add_column("money", sa.Column("max_per_day_yen", sa.BigInteger(), nullable=True))
    op.add_column("money", sa.Column("max_per_month_yen", sa.BigInteger(), nullable=True))
    op.add_column("money", sa.Column("points_money_id", sa.Integer(), nullable=True, comment="the free money it earns"))
    op.add_column(
        "money",
        sa.Column(
            "points_rate_bp",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="points for what is paid, in hundredths of a percent",
        ),
    )
    op.add_column("money", sa.Column("points_rounding", sa.Text(), server_default="down", nullable=False))
    op.create_foreign_key(op.f("fk_money_points_money_id"), "money", "money", ["points_money_id"], ["id"])
    op.add_column(
        "spend_control",
        sa.Column(
            "given_back_yen",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="all that ended holds gave back of its sums, ever",
        ),
    )
    op.add_column("transaction", sa.Column("hold_id", sa.Uuid(), nullable=True, comment="the hold it captures or ends"))
    op.create_foreign_key(op.f("fk_transaction_hold_id"), "transaction", "transaction", ["hold_id"], ["id"])
    op.add_column(
        "wallet", sa.Column("pending_yen", sa.BigInteger(), server_default="0", nullable=False, comment="of it, held")
    )
    op.add_column(
        "wallet",
        sa.Column(
            "reserved_yen",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="headroom kept for charges that are on their way",
        ),
    )
    op.add_column(
        "wallet",
        sa.Column(
            "expires_on",
            sa.Date(),
            nullable=True,
            comment="of the undated lot, of months after the last charge",
        ),
    )
    op.add_column(
        "wallet",
        sa.Column(
            "max_per_payment_yen", sa.BigInteger(), nullable=True, comment="below the money's own; null: that one"
        ),
    )
    op.add_column("wallet", sa.Column("max_per_day_yen", sa.BigInteger(), nullable=True))
    op.add_column("wallet", sa.Column("max_per_month_yen", sa.BigInteger(), nullable=True))
    op.add_column(
        "wallet",
        sa.Column("spent_on", sa.Date(), nullable=True, comment="the day its sums are of, in the issuer's time zone"),
    )
    op.add_column("wallet", sa.Column("spent_day_yen", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("wallet", sa.Column("spent_month_yen", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index(
        "ix_wallet_expires_on",
        "wallet",
        ["expires_on"],
        unique=False,
        postgresql_where=sa.text("expires_on IS NOT NULL"),
    )
    for table, name in CHECKS_BEFORE:
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    for (table, name), rule in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    op.execute("INSERT INTO ledger_rules DEFAULT VALUES")
    op.execute(_BOOKS)
    op.execute(_ACCEPTED)
    zone = os.environ.get("KUMIAI_TIME_ZONE", "Asia/Tokyo")
    op.get_bind().execute(sa.text(_SPENT_SO_FAR), {"zone": zone})
    op.execute(_GUARDS)
    op.execute(_SUMS_MAY_BE_GIVEN_BACK)
    for table in _RULES:
        op.execute(
            f"CREATE TRIGGER ledger_rules_changed AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_rules_changed()"
        )
    for table in _IMMUTABLE:
        op.execute(
            f"CREATE TRIGGER {table}_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable()"
        )


def downgrade() -> None:
    op.execute(_CANNOT_GO_BACK)
    for table in _RULES:
        op.execute(f"DROP TRIGGER ledger_rules_changed ON {table}")
    for trigger, table in (
        ("ledger_rules_hold", "transfer"),
        ("points_are_free", "money"),
        ("backing_never_changes", "money"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON {table}")
    op.execute(_SUMS_NEVER_SHRINK)
    op.execute(_REFUNDS_BEFORE)
    for table, name in CHECKS:
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    for (table, name), rule in CHECKS_BEFORE.items():
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    op.drop_index("ix_wallet_expires_on", table_name="wallet", postgresql_where=sa.text("expires_on IS NOT NULL"))
    op.drop_column("wallet", "spent_month_yen")
    op.drop_column("wallet", "spent_day_yen")
    op.drop_column("wallet", "spent_on")
    op.drop_column("wallet", "max_per_month_yen")
    op.drop_column("wallet", "max_per_day_yen")
    op.drop_column("wallet", "max_per_payment_yen")
    op.drop_column("wallet", "expires_on")
    op.drop_column("wallet", "reserved_yen")
    op.drop_column("wallet", "pending_yen")
    op.drop_constraint(op.f("fk_transaction_hold_id"), "transaction", type_="foreignkey")
    op.drop_column("transaction", "hold_id")
    op.drop_column("spend_control", "given_back_yen")
    op.drop_constraint(op.f("fk_money_points_money_id"), "money", type_="foreignkey")
    op.drop_column("money", "points_rounding")
    op.drop_column("money", "points_rate_bp")
    op.drop_column("money", "points_money_id")
    op.drop_column("money", "max_per_month_yen")
    op.drop_column("money", "max_per_day_yen")
    op.drop_column("money", "max_per_payment_yen")
    op.drop_column("money", "ceiling_yen")
    op.drop_column("money", "refund_grace_days")
    op.drop_column("money", "expiry_months")
    op.drop_column("money", "expiry_min_days")
    op.drop_column("money", "expires_month_day")
    op.drop_column("money", "expiry")
    op.drop_column("money", "groups")
    op.drop_index("ix_account_expires_on", table_name="account", postgresql_where=sa.text("expires_on IS NOT NULL"))
    op.drop_column("account", "floor_yen")
    op.drop_index(op.f("ix_hold_part_account_id"), table_name="hold_part")
    op.drop_table("hold_part")
    op.drop_index(op.f("ix_stop_event_member_id_created_at"), table_name="stop_event")
    op.drop_table("stop_event")
    op.drop_table("shop_money")
    op.drop_index(
        op.f("ix_one_time_code_grant_id_created_at"),
        table_name="one_time_code",
        postgresql_where=sa.text("grant_id IS NOT NULL"),
    )
    op.drop_index(op.f("ix_one_time_code_expires_at"), table_name="one_time_code")
    op.drop_index(op.f("ix_one_time_code_client_id_created_at"), table_name="one_time_code")
    op.drop_table("one_time_code")
    op.drop_table("move_rule")
    op.drop_table("payout_period")
    op.drop_index("ix_hold_open", table_name="hold", postgresql_where=sa.text("state = 'held'"))
    op.drop_index("ix_hold_member", table_name="hold")
    op.drop_table("hold")
    op.drop_table("ledger_rules")
    for function in _GUARD_FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}()")
