"""Members, their sign-in sessions, the codes mailed to them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "member",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="lower case; the name to sign in with"),
        sa.Column("password_hash", sa.Text(), nullable=False, comment="argon2id, with its parameters"),
        sa.Column("family_name", sa.Text(), nullable=False),
        sa.Column("given_name", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), server_default="ja", nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("locale IN ('ja', 'en')", name=op.f("ck_member_locale")),
        sa.CheckConstraint("status IN ('active', 'suspended', 'closed')", name=op.f("ck_member_status")),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_member_email_lower_case")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_member_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member")),
        sa.UniqueConstraint("issuer_id", "email", name=op.f("uq_member_issuer_id_email")),
    )
    op.create_table(
        "member_session",
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column(
            "auth_time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when password and code were last given (OIDC auth_time)",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_member_session_member_id")),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("pk_member_session")),
    )
    op.create_index(op.f("ix_member_session_expires_at"), "member_session", ["expires_at"], unique=False)
    op.create_index(op.f("ix_member_session_member_id"), "member_session", ["member_id"], unique=False)
    op.create_table(
        "verification_code",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column(
            "code_hash",
            sa.LargeBinary(),
            nullable=False,
            comment="HMAC-SHA-256 under the server's key, bound to this row's id",
        ),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose IN ('sign_in')", name=op.f("ck_verification_code_purpose")),
        sa.CheckConstraint("tries >= 0", name=op.f("ck_verification_code_tries_not_negative")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_verification_code_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verification_code")),
    )
    op.create_index(op.f("ix_verification_code_member_id"), "verification_code", ["member_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_verification_code_member_id"), table_name="verification_code")
    op.drop_table("verification_code")
    op.drop_index(op.f("ix_member_session_member_id"), table_name="member_session")
    op.drop_index(op.f("ix_member_session_expires_at"), table_name="member_session")
    op.drop_table("member_session")
    op.drop_table("member")
