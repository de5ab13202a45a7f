"""Cards and terminals."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "card",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("idm_hash", sa.LargeBinary(), nullable=False, comment="HMAC-SHA-256(IDm) under the card pepper"),
        sa.Column(
            "last4",
            sa.Text(),
            nullable=False,
            comment="last four hex digits of the IDm, for people to recognise the card",
        ),
        sa.Column(
            "blocks_hash",
            sa.LargeBinary(),
            nullable=False,
            comment="HMAC-SHA-256 of what the FCF blocks say, under the pepper",
        ),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("last4 ~ '^[0-9A-F]{4}$'", name=op.f("ck_card_last4_form")),
        sa.CheckConstraint("status IN ('active', 'lost', 'replaced', 'expired')", name=op.f("ck_card_status")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_card_issuer_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_card_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card")),
        sa.UniqueConstraint("issuer_id", "idm_hash", name=op.f("uq_card_issuer_id_idm_hash")),
    )
    op.create_index(op.f("ix_card_member_id"), "card", ["member_id"], unique=False)
    op.create_table(
        "terminal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("shop_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "default_money",
            sa.Text(),
            nullable=False,
            comment="code of the money a tap spends unless it says otherwise",
        ),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('active', 'revoked')", name=op.f("ck_terminal_status")),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_client.id"], name=op.f("fk_terminal_client_id")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_terminal_issuer_id")),
        sa.ForeignKeyConstraint(["shop_id"], ["shop.id"], name=op.f("fk_terminal_shop_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_terminal")),
        sa.UniqueConstraint("client_id", name=op.f("uq_terminal_client_id")),
    )


def downgrade() -> None:
    op.drop_table("terminal")
    op.drop_index(op.f("ix_card_member_id"), table_name="card")
    op.drop_table("card")
