"""Charging: the issuer's rules, orders, what arrived for them, the gateway's events.

Triggers hold the rules a second time: what may be ordered, which way an order's state may go, and that money which was
credited or given back stays so.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0014"
branch_labels = None
depends_on = None

_GUARDS = """
CREATE FUNCTION charge_order_follows_the_rules() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    rule charge_rule;
BEGIN
    SELECT * INTO rule FROM charge_rule WHERE issuer_id = NEW.issuer_id;
    IF NEW.amount_yen % coalesce(rule.step_yen, 1000) <> 0
       OR NEW.amount_yen < coalesce(rule.min_yen, 1000)
       OR NEW.amount_yen > (CASE NEW.method WHEN 'card' THEN coalesce(rule.card_max_yen, 100000)
                                            ELSE coalesce(rule.konbini_max_yen, 200000) END) THEN
        RAISE EXCEPTION 'an amount that may not be charged' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION charge_order_goes_its_way() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.payer_id, NEW.member_id, NEW.money_id, NEW.amount_yen, NEW.fee_yen, NEW.method, NEW.client_id, NEW.request_id)
       IS DISTINCT FROM
       (OLD.payer_id, OLD.member_id, OLD.money_id, OLD.amount_yen, OLD.fee_yen, OLD.method, OLD.client_id, OLD.request_id)
       OR (OLD.gateway_ref IS NOT NULL AND NEW.gateway_ref IS DISTINCT FROM OLD.gateway_ref) THEN
        RAISE EXCEPTION 'what was ordered stays as it was' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state <> OLD.state AND NOT (
        (OLD.state = 'created' AND NEW.state IN ('pending', 'failed', 'cancelled'))
        OR (OLD.state IN ('created', 'pending') AND NEW.state IN ('paid', 'failed', 'cancelled', 'expired'))
        OR (OLD.state IN ('failed', 'cancelled', 'expired') AND NEW.state = 'late_paid')
        OR (OLD.state IN ('created', 'pending') AND NEW.state = 'late_paid')
        OR (OLD.state IN ('paid', 'late_paid') AND NEW.state = 'duplicate_paid')
    ) THEN
        RAISE EXCEPTION 'an order does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION charge_received_is_settled_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'money that was credited or given back stays so' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER charge_order_follows_the_rules BEFORE INSERT ON charge_order
    FOR EACH ROW EXECUTE FUNCTION charge_order_follows_the_rules();
CREATE TRIGGER charge_order_goes_its_way BEFORE UPDATE ON charge_order
    FOR EACH ROW EXECUTE FUNCTION charge_order_goes_its_way();
CREATE TRIGGER charge_received_is_settled_once BEFORE UPDATE ON charge_received FOR EACH ROW
    WHEN (OLD.state IN ('credited', 'returned')
          OR (NEW.gateway, NEW.id, NEW.order_id, NEW.number, NEW.amount_yen)
             IS DISTINCT FROM (OLD.gateway, OLD.id, OLD.order_id, OLD.number, OLD.amount_yen))
    EXECUTE FUNCTION charge_received_is_settled_once();
CREATE TRIGGER charge_received_is_never_removed BEFORE DELETE OR TRUNCATE ON charge_received
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable()
"""

_FUNCTIONS = ("charge_order_follows_the_rules", "charge_order_goes_its_way", "charge_received_is_settled_once")


def upgrade() -> None:
    op.add_column(
        "member",
        sa.Column(
            "birthday", sa.Date(), nullable=True, comment="where the issuer asks for it before a card is charged"
        ),
    )

    op.create_table(
        "charge_event",
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column(
            "received_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_charge_event_issuer_id")),
        sa.PrimaryKeyConstraint("gateway", "id", name=op.f("pk_charge_event")),
    )
    op.create_index(
        "ix_charge_event_open",
        "charge_event",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_table(
        "charge_rule",
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("step_yen", sa.BigInteger(), server_default="1000", nullable=False),
        sa.Column("min_yen", sa.BigInteger(), server_default="1000", nullable=False),
        sa.Column("card_max_yen", sa.BigInteger(), server_default="100000", nullable=False),
        sa.Column("konbini_max_yen", sa.BigInteger(), server_default="200000", nullable=False),
        sa.Column("card_max_per_day_yen", sa.BigInteger(), server_default="100000", nullable=True),
        sa.Column("card_max_per_month_yen", sa.BigInteger(), server_default="300000", nullable=True),
        sa.Column(
            "new_card_max_per_day_yen",
            sa.BigInteger(),
            server_default="10000",
            nullable=True,
            comment="of a card in its first days; null: no such limit",
        ),
        sa.Column("new_card_days", sa.Integer(), server_default="30", nullable=False),
        sa.Column("card_fee_yen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("konbini_fee_yen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("konbini_days", sa.Integer(), server_default="7", nullable=False, comment="until a slip's last day"),
        sa.Column(
            "identity",
            sa.Text(),
            server_default="none",
            nullable=False,
            comment="asked before a card: none, birthday (MMDD), code (a new sign-in)",
        ),
        sa.CheckConstraint("identity IN ('none', 'birthday', 'code')", name=op.f("ck_charge_rule_identity")),
        sa.CheckConstraint(
            "card_fee_yen BETWEEN 0 AND 10000 AND konbini_fee_yen BETWEEN 0 AND 10000", name=op.f("ck_charge_rule_fees")
        ),
        sa.CheckConstraint("card_max_per_day_yen > 0", name=op.f("ck_charge_rule_card_day_positive")),
        sa.CheckConstraint("card_max_per_month_yen > 0", name=op.f("ck_charge_rule_card_month_positive")),
        sa.CheckConstraint(
            "card_max_yen >= min_yen AND konbini_max_yen >= min_yen", name=op.f("ck_charge_rule_max_not_below_min")
        ),
        sa.CheckConstraint("konbini_days BETWEEN 1 AND 30", name=op.f("ck_charge_rule_konbini_days")),
        sa.CheckConstraint("konbini_max_yen + konbini_fee_yen <= 299999", name=op.f("ck_charge_rule_konbini_ceiling")),
        sa.CheckConstraint(
            "new_card_max_per_day_yen > 0 AND new_card_days BETWEEN 0 AND 365", name=op.f("ck_charge_rule_new_card")
        ),
        sa.CheckConstraint("step_yen > 0 AND min_yen > 0", name=op.f("ck_charge_rule_steps_positive")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_charge_rule_issuer_id")),
        sa.PrimaryKeyConstraint("issuer_id", name=op.f("pk_charge_rule")),
    )
    op.create_table(
        "charge_order",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("payer_id", sa.Uuid(), nullable=False, comment="who ordered it"),
        sa.Column("member_id", sa.Uuid(), nullable=False, comment="whose wallet it is for"),
        sa.Column("money_id", sa.Integer(), nullable=False),
        sa.Column("amount_yen", sa.BigInteger(), nullable=False, comment="what enters the wallet"),
        sa.Column("fee_yen", sa.BigInteger(), server_default="0", nullable=False, comment="paid on top"),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="created", nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("params_hash", sa.LargeBinary(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("gateway_ref", sa.Text(), nullable=True),
        sa.Column("chain", sa.Text(), nullable=True),
        sa.Column(
            "contact_sealed", sa.LargeBinary(), nullable=True, comment="name, kana, e-mail, phone; gone when it is over"
        ),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("return_url", sa.Text(), nullable=True),
        sa.Column("page_url", sa.Text(), nullable=True, comment="the gateway's page for the card"),
        sa.Column("slip", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="what is shown at the store"),
        sa.Column("pay_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "reserved_yen", sa.BigInteger(), server_default="0", nullable=False, comment="room kept in the wallet"
        ),
        sa.Column("failure", sa.Text(), nullable=True, comment="why it failed: the gateway's word, or ours"),
        sa.Column("card_hash", sa.LargeBinary(), nullable=True, comment="keyed hash of the gateway's fingerprint"),
        sa.Column("card_brand", sa.Text(), nullable=True),
        sa.Column("card_last4", sa.Text(), nullable=True),
        sa.Column("replaces", sa.Uuid(), nullable=True, comment="another chain was chosen"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True, comment="when the gateway was last asked"),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=True,
            comment="when the worker asks next; null: never again",
        ),
        sa.CheckConstraint("(method = 'konbini') = (chain IS NOT NULL)", name=op.f("ck_charge_order_chain")),
        sa.CheckConstraint(
            "(state IN ('created', 'pending')) = (ended_at IS NULL)", name=op.f("ck_charge_order_ended")
        ),
        sa.CheckConstraint("method <> 'konbini' OR pay_until IS NOT NULL", name=op.f("ck_charge_order_konbini_ends")),
        sa.CheckConstraint("method IN ('card', 'konbini')", name=op.f("ck_charge_order_method")),
        sa.CheckConstraint(
            "state = 'created' OR gateway_ref IS NOT NULL OR state IN ('failed', 'cancelled')",
            name=op.f("ck_charge_order_ref"),
        ),
        sa.CheckConstraint(
            "state IN ('created', 'pending', 'paid', 'late_paid', 'duplicate_paid', 'failed', 'cancelled', 'expired')",
            name=op.f("ck_charge_order_state"),
        ),
        sa.CheckConstraint("amount_yen > 0 AND fee_yen >= 0", name=op.f("ck_charge_order_amounts")),
        sa.CheckConstraint("reserved_yen IN (0, amount_yen)", name=op.f("ck_charge_order_all_or_nothing_reserved")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_charge_order_issuer_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_charge_order_member_id")),
        sa.ForeignKeyConstraint(["money_id"], ["money.id"], name=op.f("fk_charge_order_money_id")),
        sa.ForeignKeyConstraint(["payer_id"], ["member.id"], name=op.f("fk_charge_order_payer_id")),
        sa.ForeignKeyConstraint(["replaces"], ["charge_order.id"], name=op.f("fk_charge_order_replaces")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_order")),
        sa.UniqueConstraint("client_id", "request_id", name=op.f("uq_charge_order_client_id_request_id")),
    )
    op.create_index(
        "ix_charge_order_due", "charge_order", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index("ix_charge_order_member", "charge_order", ["member_id", sa.literal_column("id DESC")], unique=False)
    op.create_index("ix_charge_order_payer", "charge_order", ["payer_id", sa.literal_column("id DESC")], unique=False)
    op.create_index(
        "ix_charge_order_to_remind",
        "charge_order",
        ["pay_until"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND method = 'konbini' AND reminded_at IS NULL"),
    )
    op.create_index(
        "uq_charge_order_gateway_ref",
        "charge_order",
        ["gateway", "gateway_ref"],
        unique=True,
        postgresql_where=sa.text("gateway_ref IS NOT NULL"),
    )
    op.create_table(
        "charge_received",
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="the gateway's own"),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_ref", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True, comment="1: the payment that was agreed; more: paid again"),
        sa.Column("late", sa.Boolean(), server_default="false", nullable=False, comment="after the order's end"),
        sa.Column("amount_yen", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was not credited by itself"),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column(
            "settled_by", sa.Text(), nullable=True, comment="who in the office ended its suspense, and their words"
        ),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "(state = 'credited') = (transaction_id IS NOT NULL)",
            name=op.f("ck_charge_received_credited_by_a_transaction"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'credited', 'suspense', 'returned')", name=op.f("ck_charge_received_state")
        ),
        sa.CheckConstraint(
            "state NOT IN ('suspense', 'returned') OR reason IS NOT NULL",
            name=op.f("ck_charge_received_suspense_has_a_reason"),
        ),
        sa.CheckConstraint("(order_id IS NULL) = (number IS NULL)", name=op.f("ck_charge_received_numbered_by_order")),
        sa.CheckConstraint("amount_yen > 0", name=op.f("ck_charge_received_amount_positive")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_charge_received_issuer_id")),
        sa.ForeignKeyConstraint(["order_id"], ["charge_order.id"], name=op.f("fk_charge_received_order_id")),
        sa.PrimaryKeyConstraint("gateway", "id", name=op.f("pk_charge_received")),
        sa.UniqueConstraint("order_id", "number", name=op.f("uq_charge_received_order_id_number")),
    )
    op.create_index(
        "ix_charge_received_open",
        "charge_received",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'suspense')"),
    )
    op.create_index("ix_charge_received_ref", "charge_received", ["gateway", "gateway_ref"], unique=False)
    op.execute(_GUARDS)


def downgrade() -> None:
    op.drop_index("ix_charge_received_ref", table_name="charge_received")
    op.drop_index(
        "ix_charge_received_open",
        table_name="charge_received",
        postgresql_where=sa.text("state IN ('waiting', 'suspense')"),
    )
    op.drop_table("charge_received")
    op.drop_index(
        "uq_charge_order_gateway_ref", table_name="charge_order", postgresql_where=sa.text("gateway_ref IS NOT NULL")
    )
    op.drop_index(
        "ix_charge_order_to_remind",
        table_name="charge_order",
        postgresql_where=sa.text("state = 'pending' AND method = 'konbini' AND reminded_at IS NULL"),
    )
    op.drop_index("ix_charge_order_payer", table_name="charge_order")
    op.drop_index("ix_charge_order_member", table_name="charge_order")
    op.drop_index("ix_charge_order_due", table_name="charge_order", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_table("charge_order")
    op.drop_table("charge_rule")
    op.drop_index("ix_charge_event_open", table_name="charge_event", postgresql_where=sa.text("done_at IS NULL"))
    op.drop_table("charge_event")
    op.drop_column("member", "birthday")
    for name in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
