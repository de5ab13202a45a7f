"""What the system does by itself: whom it told that value expires."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "expiry_notice",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_expiry_notice_account_id")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_expiry_notice_issuer_id")),
        sa.PrimaryKeyConstraint("account_id", "expires_on", name=op.f("pk_expiry_notice")),
    )
    op.create_index(op.f("ix_expiry_notice_expires_on"), "expiry_notice", ["expires_on"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_expiry_notice_expires_on"), table_name="expiry_notice")
    op.drop_table("expiry_notice")
