"""The frame: the issuer, the outbox, counters against floods."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "flood_counter",
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("caller_hash", sa.LargeBinary(), nullable=False),
        sa.Column("window_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("door", "caller_hash", "window_ends_at", name=op.f("pk_flood_counter")),
    )
    op.create_index(op.f("ix_flood_counter_window_ends_at"), "flood_counter", ["window_ends_at"], unique=False)
    op.create_table(
        "issuer",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("the_only_one", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("name_ja", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column(
            "default_max_per_payment_yen",
            sa.Integer(),
            nullable=False,
            comment="ceiling per payment offered on the consent page when a client asks for none",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("default_max_per_payment_yen > 0", name=op.f("ck_issuer_default_max_per_payment_positive")),
        sa.CheckConstraint("the_only_one", name=op.f("ck_issuer_the_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuer")),
        sa.UniqueConstraint("the_only_one", name=op.f("uq_issuer_the_only_one")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("payload_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="past this it is no use delivering (a code)",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True, comment="the class of the last failure; never its content"),
        sa.CheckConstraint(
            "(state = 'waiting') = (payload_sealed IS NOT NULL)",
            name=op.f("ck_outbox_payload_only_while_waiting"),
        ),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'given_up')", name=op.f("ck_outbox_state")),
        sa.CheckConstraint("topic IN ('mail', 'sms')", name=op.f("ck_outbox_topic")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_due", "outbox", ["due_at"], unique=False, postgresql_where=sa.text("state = 'waiting'"))


def downgrade() -> None:
    op.drop_index("ix_outbox_due", table_name="outbox", postgresql_where=sa.text("state = 'waiting'"))
    op.drop_table("outbox")
    op.drop_table("issuer")
    op.drop_index(op.f("ix_flood_counter_window_ends_at"), table_name="flood_counter")
    op.drop_table("flood_counter")
