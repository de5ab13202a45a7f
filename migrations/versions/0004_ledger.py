"""The ledger: monies, shops, wallets, accounts, transactions, transfers, requests, spend controls.

Transactions, transfers and requests are immutable, every change of account sums adds up to zero per money, and no
payment is given back twice: triggers say so, whatever program is connected.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


_IMMUTABLE = ("transaction", "transfer", "request")

_GUARDS = """
CREATE FUNCTION ledger_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is immutable: % on % refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'post a correcting transaction instead';
END $$;

CREATE FUNCTION account_begins_at_zero() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added WHERE posted_yen <> 0 OR pending_yen <> 0) THEN
        RAISE EXCEPTION 'an account begins at zero' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION account_changes_sum_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (
            SELECT money_id, posted_yen AS yen FROM after
            UNION ALL
            SELECT money_id, -posted_yen FROM before
        ) AS change
        GROUP BY money_id HAVING sum(yen) <> 0
    ) THEN
        RAISE EXCEPTION 'account sums must change by transfers: this change does not add up to zero'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION refunds_stay_within_the_payment() RETURNS trigger LANGUAGE plpgsql AS $$
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
END $$;

CREATE TRIGGER refunds_stay_within_the_payment AFTER INSERT ON transaction
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refunds_stay_within_the_payment();
CREATE TRIGGER account_begins_at_zero AFTER INSERT ON account
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION account_begins_at_zero();
CREATE TRIGGER account_changes_sum_to_zero AFTER UPDATE ON account
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION account_changes_sum_to_zero();
CREATE TRIGGER account_is_never_removed BEFORE DELETE OR TRUNCATE ON account
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
"""


def upgrade() -> None:
    op.create_table(
        "issuer_head",
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_issuer_head_issuer_id")),
        sa.PrimaryKeyConstraint("issuer_id", name=op.f("pk_issuer_head")),
        postgresql_with={"fillfactor": 10},
    )
    op.create_table(
        "money",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="base, meal, textbook, …"),
        sa.Column("name_ja", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("backing", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), server_default="0", nullable=False, comment="order on pages"),
        sa.CheckConstraint("backing IN ('paid', 'free')", name=op.f("ck_money_backing")),
        sa.CheckConstraint("code ~ '^[a-z][a-z0-9_]{1,31}$'", name=op.f("ck_money_code_form")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_money_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_money")),
        sa.UniqueConstraint("issuer_id", "code", name=op.f("uq_money_issuer_id_code")),
    )
    op.create_table(
        "shop",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name_ja", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.CheckConstraint("code ~ '^[a-z][a-z0-9_-]{1,31}$'", name=op.f("ck_shop_code_form")),
        sa.CheckConstraint("status IN ('open', 'closed')", name=op.f("ck_shop_status")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_shop_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shop")),
        sa.UniqueConstraint("issuer_id", "code", name=op.f("uq_shop_issuer_id_code")),
    )
    op.create_table(
        "spend_control",
        sa.Column("id", sa.Uuid(), nullable=False, comment="of the grant, card or terminal"),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("max_per_payment_yen", sa.BigInteger(), nullable=True, comment="null: no ceiling of its own"),
        sa.Column("monies", sa.ARRAY(sa.Text()), nullable=True, comment="codes it may spend; null: any"),
        sa.Column("shops", sa.ARRAY(sa.Uuid()), nullable=True, comment="shops it may pay; null: any"),
        sa.CheckConstraint("kind IN ('grant', 'card', 'terminal')", name=op.f("ck_spend_control_kind")),
        sa.CheckConstraint("status IN ('active', 'revoked', 'lost')", name=op.f("ck_spend_control_status")),
        sa.CheckConstraint("max_per_payment_yen > 0", name=op.f("ck_spend_control_max_per_payment_positive")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_spend_control_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spend_control")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "transaction",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="gapless place in the issuer's order"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("requester", sa.Text(), nullable=False, comment="client_id of who asked"),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("money_id", sa.Integer(), nullable=False),
        sa.Column("shop_id", sa.Uuid(), nullable=True),
        sa.Column("amount_yen", sa.BigInteger(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("terminal_id", sa.Uuid(), nullable=True),
        sa.Column("card_id", sa.Uuid(), nullable=True),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "metadata",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("reverses", sa.Uuid(), nullable=True),
        sa.Column(
            "taken_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the terminal's own time; never instead of created_at",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="never before an earlier position's",
        ),
        sa.CheckConstraint("(kind = 'refund') = (reverses IS NOT NULL)", name=op.f("ck_transaction_refund_reverses")),
        sa.CheckConstraint(
            "kind IN ('charge', 'payment', 'move', 'refund', 'expiry', 'adjustment', 'hold', 'capture', 'release', 'close')",
            name=op.f("ck_transaction_kind"),
        ),
        sa.CheckConstraint("amount_yen > 0", name=op.f("ck_transaction_amount_positive")),
        sa.CheckConstraint("position > 0", name=op.f("ck_transaction_position_positive")),
        sa.ForeignKeyConstraint(["reverses"], ["transaction.id"], name=op.f("fk_transaction_reverses")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transaction")),
        sa.UniqueConstraint("issuer_id", "position", name=op.f("uq_transaction_issuer_id_position")),
    )
    op.create_index(
        "ix_transaction_member",
        "transaction",
        ["member_id", sa.literal_column("position DESC")],
        unique=False,
    )
    op.create_index(
        "ix_transaction_reverses",
        "transaction",
        ["reverses"],
        unique=False,
        postgresql_where=sa.text("reverses IS NOT NULL"),
    )
    op.create_table(
        "wallet",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("money_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("total_yen", sa.BigInteger(), server_default="0", nullable=False, comment="sum of its lots"),
        sa.CheckConstraint("status IN ('active', 'suspended', 'closed')", name=op.f("ck_wallet_status")),
        sa.CheckConstraint("total_yen >= 0", name=op.f("ck_wallet_total_not_negative")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_wallet_issuer_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_wallet_member_id")),
        sa.ForeignKeyConstraint(["money_id"], ["money.id"], name=op.f("fk_wallet_money_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallet")),
        sa.UniqueConstraint("member_id", "money_id", name=op.f("uq_wallet_member_id_money_id")),
        sa.UniqueConstraint("id", "money_id", name=op.f("uq_wallet_id_money_id")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("money_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("wallet_id", sa.Uuid(), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True, comment="lots: when their value expires; null never"),
        sa.Column("shop_id", sa.Uuid(), nullable=True),
        sa.Column(
            "book",
            sa.Text(),
            nullable=True,
            comment="issued_by_cash, issued_by_card, …; negative: value issued",
        ),
        sa.Column("posted_yen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pending_yen", sa.BigInteger(), server_default="0", nullable=False, comment="held, not yet taken"),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False, comment="transfers applied"),
        sa.CheckConstraint(
            "(kind = 'lot') = (wallet_id IS NOT NULL) AND (kind = 'takings') = (shop_id IS NOT NULL) AND (kind = 'book') = (book IS NOT NULL)",
            name=op.f("ck_account_one_owner"),
        ),
        sa.CheckConstraint("kind = 'book' OR posted_yen >= 0", name=op.f("ck_account_floor")),
        sa.CheckConstraint("kind = 'lot' OR expires_on IS NULL", name=op.f("ck_account_only_lots_expire")),
        sa.CheckConstraint("kind IN ('lot', 'takings', 'book')", name=op.f("ck_account_kind")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_account_issuer_id")),
        sa.ForeignKeyConstraint(["money_id"], ["money.id"], name=op.f("fk_account_money_id")),
        sa.ForeignKeyConstraint(["shop_id"], ["shop.id"], name=op.f("fk_account_shop_id")),
        sa.ForeignKeyConstraint(
            ["wallet_id", "money_id"], ["wallet.id", "wallet.money_id"], name=op.f("fk_account_wallet_id_money_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("id", "money_id", name=op.f("uq_account_id_money_id")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(
        "uq_account_book",
        "account",
        ["issuer_id", "book", "money_id"],
        unique=True,
        postgresql_where=sa.text("book IS NOT NULL"),
    )
    op.create_index(
        "uq_account_lot",
        "account",
        ["wallet_id", "expires_on"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("wallet_id IS NOT NULL"),
    )
    op.create_index(
        "uq_account_takings",
        "account",
        ["shop_id", "money_id"],
        unique=True,
        postgresql_where=sa.text("shop_id IS NOT NULL"),
    )
    op.create_table(
        "request",
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column(
            "member_id",
            sa.Uuid(),
            nullable=True,
            comment="whose value was to move, where the request names one",
        ),
        sa.Column(
            "params_hash",
            sa.LargeBinary(),
            nullable=False,
            comment="SHA-256 of what was asked, in canonical JSON",
        ),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True, comment="the error's code"),
        sa.Column(
            "answer",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="what the outcome says beyond the transaction's own row",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(transaction_id IS NULL) <> (refusal IS NULL)", name=op.f("ck_request_accepted_or_refused")
        ),
        sa.ForeignKeyConstraint(["transaction_id"], ["transaction.id"], name=op.f("fk_request_transaction_id")),
        sa.PrimaryKeyConstraint("requester", "request_id", name=op.f("pk_request")),
    )
    op.create_index(
        "uq_request_transaction",
        "request",
        ["transaction_id"],
        unique=True,
        postgresql_where=sa.text("transaction_id IS NOT NULL"),
    )
    op.create_table(
        "transfer",
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="of its transaction"),
        sa.Column("money_id", sa.Integer(), nullable=False),
        sa.Column("debit_account_id", sa.BigInteger(), nullable=False, comment="value leaves"),
        sa.Column("credit_account_id", sa.BigInteger(), nullable=False, comment="value enters"),
        sa.Column("amount_yen", sa.BigInteger(), nullable=False),
        sa.Column(
            "debit_after_yen",
            sa.BigInteger(),
            nullable=False,
            comment="balance of the debit account after it",
        ),
        sa.Column(
            "credit_after_yen",
            sa.BigInteger(),
            nullable=False,
            comment="balance of the credit account after it",
        ),
        sa.CheckConstraint("amount_yen > 0", name=op.f("ck_transfer_amount_positive")),
        sa.CheckConstraint("debit_account_id <> credit_account_id", name=op.f("ck_transfer_two_sides")),
        sa.ForeignKeyConstraint(
            ["credit_account_id", "money_id"], ["account.id", "account.money_id"], name="fk_transfer_credit"
        ),
        sa.ForeignKeyConstraint(
            ["debit_account_id", "money_id"], ["account.id", "account.money_id"], name="fk_transfer_debit"
        ),
        sa.ForeignKeyConstraint(["transaction_id"], ["transaction.id"], name=op.f("fk_transfer_transaction_id")),
        sa.PrimaryKeyConstraint("transaction_id", "line", name=op.f("pk_transfer")),
    )
    op.create_index("ix_transfer_credit", "transfer", ["credit_account_id", "position", "line"], unique=False)
    op.create_index("ix_transfer_debit", "transfer", ["debit_account_id", "position", "line"], unique=False)
    op.execute(_GUARDS)
    for table in _IMMUTABLE:
        op.execute(
            f'CREATE TRIGGER {table}_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON "{table}" '
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable()"
        )


def downgrade() -> None:
    op.drop_index("ix_transfer_debit", table_name="transfer")
    op.drop_index("ix_transfer_credit", table_name="transfer")
    op.drop_table("transfer")
    op.drop_index(
        "uq_request_transaction", table_name="request", postgresql_where=sa.text("transaction_id IS NOT NULL")
    )
    op.drop_table("request")
    op.drop_index("uq_account_takings", table_name="account", postgresql_where=sa.text("shop_id IS NOT NULL"))
    op.drop_index(
        "uq_account_lot",
        table_name="account",
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("wallet_id IS NOT NULL"),
    )
    op.drop_index("uq_account_book", table_name="account", postgresql_where=sa.text("book IS NOT NULL"))
    op.drop_table("account")
    op.drop_table("wallet")
    op.drop_index("ix_transaction_reverses", table_name="transaction", postgresql_where=sa.text("reverses IS NOT NULL"))
    op.drop_index("ix_transaction_member", table_name="transaction")
    op.drop_table("transaction")
    op.drop_table("spend_control")
    op.drop_table("shop")
    op.drop_table("money")
    op.drop_table("issuer_head")
    for function in (
        "ledger_is_immutable",
        "account_begins_at_zero",
        "account_changes_sum_to_zero",
        "refunds_stay_within_the_payment",
    ):
        op.execute(f"DROP FUNCTION {function}()")
