"""Charge links: whoever has one may charge the wallet of the member who made it. Followed events are found by age."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "charge_link",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False, comment="whose wallet is charged"),
        sa.Column("money_id", sa.Integer(), nullable=False),
        sa.Column(
            "shown_as",
            sa.Text(),
            nullable=False,
            comment="the name that whoever has the link sees; the member chose it",
        ),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_charge_link_issuer_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_charge_link_member_id")),
        sa.ForeignKeyConstraint(["money_id"], ["money.id"], name=op.f("fk_charge_link_money_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_link")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_charge_link_code_hash")),
    )
    op.create_index("ix_charge_link_live", "charge_link", ["member_id"], postgresql_where=sa.text("ended_at IS NULL"))
    op.add_column(
        "charge_order",
        sa.Column("link_id", sa.Uuid(), nullable=True, comment="by which somebody other than the member ordered it"),
    )
    op.create_foreign_key(op.f("fk_charge_order_link_id"), "charge_order", "charge_link", ["link_id"], ["id"])
    op.create_check_constraint(
        op.f("ck_charge_order_for_others_by_link"), "charge_order", "payer_id = member_id OR link_id IS NOT NULL"
    )

    op.create_index(
        "ix_charge_event_done", "charge_event", ["done_at"], postgresql_where=sa.text("done_at IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_charge_event_done", table_name="charge_event")
    op.drop_column("charge_order", "link_id")
    op.drop_table("charge_link")
