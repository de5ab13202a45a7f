"""Sealed blocks of transactions, and the signed statement of each day.

Triggers hold each block and day to the one before it, refuse every change, and keep the codes of monies and shops that
transactions name: they are part of what is sealed.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TABLES = ("proof_block", "proof_day")

_GUARDS = """
CREATE FUNCTION proof_block_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.number = 1 AND NEW.first_position = 1 OR EXISTS (
        SELECT FROM proof_block before
         WHERE before.issuer_id = NEW.issuer_id AND before.number = NEW.number - 1
           AND before.last_position = NEW.first_position - 1 AND before.day <= NEW.day
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a block begins where the one before it ends' USING ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION proof_day_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM proof_block b
         WHERE b.issuer_id = NEW.issuer_id AND b.number BETWEEN NEW.first_block AND NEW.last_block
           AND b.day <> NEW.day
    ) THEN
        RAISE EXCEPTION 'a day is made of its own blocks' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.first_block <> 1 + coalesce(
        (SELECT max(last_block) FROM proof_day before WHERE before.issuer_id = NEW.issuer_id), 0
    ) THEN
        RAISE EXCEPTION 'a day begins where the one before it ends' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION sealed_code_is_for_ever() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    named boolean;
BEGIN
    IF TG_TABLE_NAME = 'money' THEN
        named := EXISTS (SELECT FROM account a WHERE a.money_id = OLD.id AND a.version > 0);
    ELSE
        named := EXISTS (SELECT FROM transaction t WHERE t.shop_id = OLD.id);
    END IF;
    IF named THEN
        RAISE EXCEPTION 'a code that transactions name is for ever: it is sealed with them'
            USING ERRCODE = 'restrict_violation', HINT = 'change the name instead';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER proof_block_follows BEFORE INSERT ON proof_block
    FOR EACH ROW EXECUTE FUNCTION proof_block_follows();
CREATE TRIGGER proof_day_follows BEFORE INSERT ON proof_day
    FOR EACH ROW EXECUTE FUNCTION proof_day_follows();
CREATE TRIGGER money_code_is_for_ever BEFORE UPDATE ON money
    FOR EACH ROW WHEN (OLD.code IS DISTINCT FROM NEW.code) EXECUTE FUNCTION sealed_code_is_for_ever();
CREATE TRIGGER shop_code_is_for_ever BEFORE UPDATE ON shop
    FOR EACH ROW WHEN (OLD.code IS DISTINCT FROM NEW.code) EXECUTE FUNCTION sealed_code_is_for_ever();
"""


def upgrade() -> None:
    op.create_table(
        "proof_block",
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False, comment="gapless from 1"),
        sa.Column(
            "day", sa.Date(), nullable=False, comment="in the issuer's time zone; a block never crosses midnight"
        ),
        sa.Column("first_position", sa.BigInteger(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False, comment="Merkle root over the leaves (RFC 9162)"),
        sa.Column("previous", sa.LargeBinary(), nullable=True, comment="hash of the header of the block before"),
        sa.Column("leaves", sa.LargeBinary(), nullable=False, comment="the leaf hashes, 32 bytes each, by position"),
        sa.Column("blinding", sa.LargeBinary(), nullable=False, comment="what the nonces are made of; shown to nobody"),
        sa.Column("sealed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_proof_block_number_positive")),
        sa.CheckConstraint(
            "first_position > 0 AND last_position >= first_position", name=op.f("ck_proof_block_positions")
        ),
        sa.CheckConstraint(
            "octet_length(leaves) = 32 * (last_position - first_position + 1)",
            name=op.f("ck_proof_block_a_leaf_each"),
        ),
        sa.CheckConstraint(
            "octet_length(root) = 32 AND octet_length(blinding) = 32", name=op.f("ck_proof_block_hash_lengths")
        ),
        sa.CheckConstraint("(number = 1) = (previous IS NULL)", name=op.f("ck_proof_block_first_has_no_previous")),
        sa.CheckConstraint("octet_length(previous) = 32", name=op.f("ck_proof_block_previous_length")),
        sa.ForeignKeyConstraint(
            ["issuer_id", "first_position"],
            ["transaction.issuer_id", "transaction.position"],
            name=op.f("fk_proof_block_issuer_id_first_position"),
        ),
        sa.ForeignKeyConstraint(
            ["issuer_id", "last_position"],
            ["transaction.issuer_id", "transaction.position"],
            name=op.f("fk_proof_block_issuer_id_last_position"),
        ),
        sa.PrimaryKeyConstraint("issuer_id", "number", name=op.f("pk_proof_block")),
        sa.UniqueConstraint("issuer_id", "first_position", name=op.f("uq_proof_block_issuer_id_first_position")),
        sa.UniqueConstraint("issuer_id", "last_position", name=op.f("uq_proof_block_issuer_id_last_position")),
    )
    op.create_table(
        "proof_day",
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="in the issuer's time zone"),
        sa.Column("first_block", sa.Integer(), nullable=False),
        sa.Column("last_block", sa.Integer(), nullable=False),
        sa.Column(
            "statement", sa.Text(), nullable=False, comment="compact JWS; its claims are described in docs/proof.md"
        ),
        sa.Column(
            "jwk",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="public; kept for ever, unlike the row of signing_key",
        ),
        sa.Column("signed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("last_block >= first_block", name=op.f("ck_proof_day_blocks")),
        sa.ForeignKeyConstraint(
            ["issuer_id", "first_block"],
            ["proof_block.issuer_id", "proof_block.number"],
            name=op.f("fk_proof_day_issuer_id_first_block"),
        ),
        sa.ForeignKeyConstraint(
            ["issuer_id", "last_block"],
            ["proof_block.issuer_id", "proof_block.number"],
            name=op.f("fk_proof_day_issuer_id_last_block"),
        ),
        sa.PrimaryKeyConstraint("issuer_id", "day", name=op.f("pk_proof_day")),
        sa.UniqueConstraint("issuer_id", "last_block", name=op.f("uq_proof_day_issuer_id_last_block")),
    )
    # the leaves are random to anyone's eye: trying to compress them costs time and saves nothing
    op.execute("ALTER TABLE proof_block ALTER COLUMN leaves SET STORAGE EXTERNAL")
    op.execute(_GUARDS)
    for table in _TABLES:
        op.execute(
            f'CREATE TRIGGER {table}_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON "{table}" '
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable()"
        )


def downgrade() -> None:
    op.execute("DROP TRIGGER money_code_is_for_ever ON money")
    op.execute("DROP TRIGGER shop_code_is_for_ever ON shop")
    op.drop_table("proof_day")
    op.drop_table("proof_block")
    for function in ("proof_block_follows", "proof_day_follows", "sealed_code_is_for_ever"):
        op.execute(f"DROP FUNCTION {function}()")
