"""Settlement: what was agreed with shops, their closed periods, their bank accounts, and the files that pay them.

What is written stays: a settlement changes once, when the ledger has posted it, and a file for the bank only its day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


_IMMUTABLE = ("settlement_line", "settlement_transfer", "shop_bank_account", "transfer_requester")

_GUARDS = """
CREATE FUNCTION settlement_is_of_the_past() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.through_position > (SELECT position FROM issuer_head WHERE issuer_id = NEW.issuer_id) THEN
        RAISE EXCEPTION 'a settlement covers only what has happened' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION settlement_changes_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'closing' OR NEW.state <> 'closed'
       OR to_jsonb(NEW) - '{state,transaction_id,closed_at}'::text[]
          <> to_jsonb(OLD) - '{state,transaction_id,closed_at}'::text[] THEN
        RAISE EXCEPTION 'a settlement is immutable: it can only be closed, once'
            USING ERRCODE = 'restrict_violation', HINT = 'a correction belongs into the next settlement';
    END IF;
    IF NOT (
        SELECT (sum(settled_yen), sum(payable_yen)) IS NOT DISTINCT FROM (NEW.settled_yen::numeric, NEW.payable_yen::numeric)
          FROM settlement_line WHERE settlement_id = NEW.id
    ) THEN
        RAISE EXCEPTION 'a settlement is the sum of its lines' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION settlement_line_comes_before_closing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT state FROM settlement WHERE id = NEW.settlement_id) <> 'closing' THEN
        RAISE EXCEPTION 'a closed settlement takes no more lines' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION transfer_file_changes_its_day_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) - 'transfer_on' <> to_jsonb(OLD) - 'transfer_on' THEN
        RAISE EXCEPTION 'a transfer file is immutable but for its day' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER settlement_is_of_the_past BEFORE INSERT ON settlement
    FOR EACH ROW EXECUTE FUNCTION settlement_is_of_the_past();
CREATE TRIGGER settlement_changes_once BEFORE UPDATE ON settlement
    FOR EACH ROW EXECUTE FUNCTION settlement_changes_once();
CREATE TRIGGER settlement_is_never_removed BEFORE DELETE OR TRUNCATE ON settlement
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
CREATE TRIGGER settlement_line_comes_before_closing BEFORE INSERT ON settlement_line
    FOR EACH ROW EXECUTE FUNCTION settlement_line_comes_before_closing();
CREATE TRIGGER transfer_file_changes_its_day_only BEFORE UPDATE ON transfer_file
    FOR EACH ROW EXECUTE FUNCTION transfer_file_changes_its_day_only();
CREATE TRIGGER transfer_file_is_never_removed BEFORE DELETE OR TRUNCATE ON transfer_file
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
"""


def upgrade() -> None:
    op.create_table(
        "transfer_requester",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="given by the bank"),
        sa.Column("name", sa.Text(), nullable=False, comment="half-width kana"),
        sa.Column("bank_code", sa.Text(), nullable=False),
        sa.Column("bank_name", sa.Text(), nullable=False),
        sa.Column("branch_code", sa.Text(), nullable=False),
        sa.Column("branch_name", sa.Text(), nullable=False),
        sa.Column("account_type", sa.SmallInteger(), nullable=False),
        sa.Column("sealed_number", sa.LargeBinary(), nullable=False, comment="sealed together with the issuer's id"),
        sa.Column("last_digits", sa.Text(), nullable=False),
        sa.Column("line_ends", sa.Boolean(), nullable=False, comment="whether CR LF follows each record"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("bank_code ~ '^[0-9]{4}$'", name=op.f("ck_transfer_requester_bank_code_form")),
        sa.CheckConstraint("branch_code ~ '^[0-9]{3}$'", name=op.f("ck_transfer_requester_branch_code_form")),
        sa.CheckConstraint("code ~ '^[0-9]{10}$'", name=op.f("ck_transfer_requester_code_form")),
        sa.CheckConstraint("last_digits ~ '^[0-9]{3}$'", name=op.f("ck_transfer_requester_last_digits_form")),
        sa.CheckConstraint("account_type IN (1, 2)", name=op.f("ck_transfer_requester_account_type")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_transfer_requester_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer_requester")),
    )
    op.create_table(
        "settlement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("shop_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="1, 2, 3, … of this shop"),
        sa.Column("after_number", sa.Integer(), nullable=True, comment="the settlement before this one"),
        sa.Column("after_position", sa.BigInteger(), nullable=False, comment="covers what comes after it …"),
        sa.Column("through_position", sa.BigInteger(), nullable=False, comment="… up to here"),
        sa.Column(
            "first_day", sa.Date(), nullable=False, comment="of its first transaction, in the issuer's time zone"
        ),
        sa.Column("through_day", sa.Date(), nullable=False, comment="the last day it covers, perhaps not to its end"),
        sa.Column("settled_yen", sa.BigInteger(), nullable=False, comment="leaves the shop's takings"),
        sa.Column("payable_yen", sa.BigInteger(), nullable=False, comment="to be paid to the shop"),
        sa.Column("state", sa.Text(), server_default="closing", nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'closed') = (closed_at IS NOT NULL) AND (transaction_id IS NOT NULL) = (state = 'closed' AND settled_yen > 0)",
            name=op.f("ck_settlement_closed_when_posted"),
        ),
        sa.CheckConstraint("state IN ('closing', 'closed')", name=op.f("ck_settlement_state")),
        sa.CheckConstraint(
            "CASE WHEN number = 1 THEN after_number IS NULL AND after_position = 0 ELSE after_number IS NOT NULL AND after_number = number - 1 END",
            name=op.f("ck_settlement_follows_the_one_before"),
        ),
        sa.CheckConstraint("number > 0", name=op.f("ck_settlement_number_positive")),
        sa.CheckConstraint(
            "settled_yen >= 0 AND payable_yen BETWEEN 0 AND settled_yen",
            name=op.f("ck_settlement_payable_within_settled"),
        ),
        sa.CheckConstraint("through_day >= first_day", name=op.f("ck_settlement_days_in_order")),
        sa.CheckConstraint("through_position > after_position", name=op.f("ck_settlement_covers_something")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_settlement_issuer_id")),
        sa.ForeignKeyConstraint(
            ["shop_id", "after_number", "after_position"],
            ["settlement.shop_id", "settlement.number", "settlement.through_position"],
            name="fk_settlement_before",
        ),
        sa.ForeignKeyConstraint(["shop_id"], ["shop.id"], name=op.f("fk_settlement_shop_id")),
        sa.ForeignKeyConstraint(["transaction_id"], ["transaction.id"], name=op.f("fk_settlement_transaction_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlement")),
        sa.UniqueConstraint(
            "shop_id", "number", "through_position", name=op.f("uq_settlement_shop_id_number_through_position")
        ),
        sa.UniqueConstraint("shop_id", "number", name=op.f("uq_settlement_shop_id_number")),
    )
    op.create_index(
        "ix_settlement_closing", "settlement", ["id"], unique=False, postgresql_where=sa.text("state = 'closing'")
    )
    op.create_index(
        "uq_settlement_transaction",
        "settlement",
        ["transaction_id"],
        unique=True,
        postgresql_where=sa.text("transaction_id IS NOT NULL"),
    )
    op.create_table(
        "settlement_terms",
        sa.Column("shop_id", sa.Uuid(), nullable=False),
        sa.Column("money_id", sa.Integer(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column(
            "fee_rate_bp",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="of what is settled, in hundredths of a percent",
        ),
        sa.Column("fee_rounding", sa.Text(), server_default="down", nullable=False, comment="of a part of a yen"),
        sa.Column(
            "reimbursed",
            sa.Boolean(),
            server_default="true",
            nullable=False,
            comment="free monies: whether the issuer pays the shop for them",
        ),
        sa.CheckConstraint("fee_rounding IN ('down', 'half_up', 'up')", name=op.f("ck_settlement_terms_fee_rounding")),
        sa.CheckConstraint("fee_rate_bp BETWEEN 0 AND 10000", name=op.f("ck_settlement_terms_fee_rate")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_settlement_terms_issuer_id")),
        sa.ForeignKeyConstraint(["money_id"], ["money.id"], name=op.f("fk_settlement_terms_money_id")),
        sa.ForeignKeyConstraint(["shop_id"], ["shop.id"], name=op.f("fk_settlement_terms_shop_id")),
        sa.PrimaryKeyConstraint("shop_id", "money_id", name=op.f("pk_settlement_terms")),
    )
    op.create_table(
        "shop_bank_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("shop_id", sa.Uuid(), nullable=False),
        sa.Column("bank_code", sa.Text(), nullable=False),
        sa.Column("bank_name", sa.Text(), nullable=False, comment="half-width kana, as the transfer file writes it"),
        sa.Column("branch_code", sa.Text(), nullable=False),
        sa.Column("branch_name", sa.Text(), nullable=False),
        sa.Column("account_type", sa.SmallInteger(), nullable=False, comment="1 ordinary, 2 current, 4 savings"),
        sa.Column("holder", sa.Text(), nullable=False, comment="half-width kana"),
        sa.Column(
            "sealed_number",
            sa.LargeBinary(),
            nullable=False,
            comment="the account's number, sealed together with the shop's id",
        ),
        sa.Column("last_digits", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("bank_code ~ '^[0-9]{4}$'", name=op.f("ck_shop_bank_account_bank_code_form")),
        sa.CheckConstraint("branch_code ~ '^[0-9]{3}$'", name=op.f("ck_shop_bank_account_branch_code_form")),
        sa.CheckConstraint("last_digits ~ '^[0-9]{3}$'", name=op.f("ck_shop_bank_account_last_digits_form")),
        sa.CheckConstraint("account_type IN (1, 2, 4)", name=op.f("ck_shop_bank_account_account_type")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_shop_bank_account_issuer_id")),
        sa.ForeignKeyConstraint(["shop_id"], ["shop.id"], name=op.f("fk_shop_bank_account_shop_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shop_bank_account")),
    )
    op.create_index(
        "ix_shop_bank_account_shop", "shop_bank_account", ["shop_id", sa.literal_column("id DESC")], unique=False
    )
    op.create_table(
        "transfer_file",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("transfer_on", sa.Date(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("total_yen", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("records > 0 AND total_yen > 0", name=op.f("ck_transfer_file_pays_something")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_transfer_file_issuer_id")),
        sa.ForeignKeyConstraint(
            ["requester_id"], ["transfer_requester.id"], name=op.f("fk_transfer_file_requester_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer_file")),
        sa.UniqueConstraint("issuer_id", "transfer_on", name=op.f("uq_transfer_file_issuer_id_transfer_on")),
    )
    op.create_table(
        "settlement_line",
        sa.Column("settlement_id", sa.Uuid(), nullable=False),
        sa.Column("money_id", sa.Integer(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("backing", sa.Text(), nullable=False, comment="of the money: paid or free"),
        sa.Column("payments", sa.Integer(), nullable=False, comment="how many, captures too"),
        sa.Column("payments_yen", sa.BigInteger(), nullable=False),
        sa.Column("refunds", sa.Integer(), nullable=False),
        sa.Column("refunds_yen", sa.BigInteger(), nullable=False),
        sa.Column("others_yen", sa.BigInteger(), nullable=False, comment="corrections of the takings, either way"),
        sa.Column(
            "carried_in_yen", sa.BigInteger(), nullable=False, comment="what the shop owed from before; never positive"
        ),
        sa.Column("carried_out_yen", sa.BigInteger(), nullable=False, comment="what it owes on; never positive"),
        sa.Column("settled_yen", sa.BigInteger(), nullable=False, comment="leaves the takings"),
        sa.Column("reimbursed", sa.Boolean(), nullable=False, comment="whether the issuer pays for this money"),
        sa.Column("fee_rate_bp", sa.SmallInteger(), nullable=False),
        sa.Column("fee_rounding", sa.Text(), nullable=False),
        sa.Column("fee_yen", sa.BigInteger(), nullable=False),
        sa.Column("payable_yen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("backing IN ('paid', 'free')", name=op.f("ck_settlement_line_backing")),
        sa.CheckConstraint("fee_rounding IN ('down', 'half_up', 'up')", name=op.f("ck_settlement_line_fee_rounding")),
        sa.CheckConstraint(
            "fee_yen = CASE WHEN NOT reimbursed THEN 0 ELSE (settled_yen * fee_rate_bp + CASE fee_rounding WHEN 'down' THEN 0 WHEN 'half_up' THEN 5000 WHEN 'up' THEN 9999 END) / 10000 END",
            name=op.f("ck_settlement_line_fee"),
        ),
        sa.CheckConstraint("reimbursed OR backing = 'free'", name=op.f("ck_settlement_line_paid_money_is_paid_out")),
        sa.CheckConstraint(
            "carried_in_yen + payments_yen - refunds_yen + others_yen = settled_yen + carried_out_yen",
            name=op.f("ck_settlement_line_adds_up"),
        ),
        sa.CheckConstraint(
            "carried_in_yen <= 0 AND carried_out_yen <= 0 AND settled_yen >= 0 AND (settled_yen = 0 OR carried_out_yen = 0)",
            name=op.f("ck_settlement_line_only_debts_are_carried"),
        ),
        sa.CheckConstraint("fee_rate_bp BETWEEN 0 AND 10000", name=op.f("ck_settlement_line_fee_rate")),
        sa.CheckConstraint(
            "payable_yen = CASE WHEN reimbursed THEN settled_yen - fee_yen ELSE 0 END",
            name=op.f("ck_settlement_line_payable"),
        ),
        sa.CheckConstraint(
            "payments >= 0 AND payments_yen >= payments AND refunds >= 0 AND refunds_yen >= refunds",
            name=op.f("ck_settlement_line_counts"),
        ),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_settlement_line_issuer_id")),
        sa.ForeignKeyConstraint(["money_id"], ["money.id"], name=op.f("fk_settlement_line_money_id")),
        sa.ForeignKeyConstraint(["settlement_id"], ["settlement.id"], name=op.f("fk_settlement_line_settlement_id")),
        sa.PrimaryKeyConstraint("settlement_id", "money_id", name=op.f("pk_settlement_line")),
    )
    op.create_table(
        "settlement_transfer",
        sa.Column("settlement_id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("bank_account_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["bank_account_id"], ["shop_bank_account.id"], name=op.f("fk_settlement_transfer_bank_account_id")
        ),
        sa.ForeignKeyConstraint(["file_id"], ["transfer_file.id"], name=op.f("fk_settlement_transfer_file_id")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_settlement_transfer_issuer_id")),
        sa.ForeignKeyConstraint(
            ["settlement_id"], ["settlement.id"], name=op.f("fk_settlement_transfer_settlement_id")
        ),
        sa.PrimaryKeyConstraint("settlement_id", name=op.f("pk_settlement_transfer")),
    )
    op.create_index("ix_settlement_transfer_file", "settlement_transfer", ["file_id"], unique=False)
    op.execute(_GUARDS)
    for table in _IMMUTABLE:
        op.execute(
            f"CREATE TRIGGER {table}_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable()"
        )


def downgrade() -> None:
    op.drop_index("ix_settlement_transfer_file", table_name="settlement_transfer")
    op.drop_table("settlement_transfer")
    op.drop_table("settlement_line")
    op.drop_table("transfer_file")
    op.drop_index("ix_shop_bank_account_shop", table_name="shop_bank_account")
    op.drop_table("shop_bank_account")
    op.drop_table("settlement_terms")
    op.drop_index(
        "uq_settlement_transaction", table_name="settlement", postgresql_where=sa.text("transaction_id IS NOT NULL")
    )
    op.drop_index("ix_settlement_closing", table_name="settlement", postgresql_where=sa.text("state = 'closing'"))
    op.drop_table("settlement")
    op.drop_table("transfer_requester")
    for function in (
        "settlement_is_of_the_past",
        "settlement_changes_once",
        "settlement_line_comes_before_closing",
        "transfer_file_changes_its_day_only",
    ):
        op.execute(f"DROP FUNCTION {function}()")
