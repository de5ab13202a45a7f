"""OAuth: clients, grants, authorization codes, tokens, signing keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("alg", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("private_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("public_jwk", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("alg IN ('ES256')", name=op.f("ck_signing_key_alg")),
        sa.CheckConstraint("state IN ('next', 'current', 'retired')", name=op.f("ck_signing_key_state")),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_key")),
    )
    op.create_index(
        "uq_signing_key_current",
        "signing_key",
        ["alg"],
        unique=True,
        postgresql_where=sa.text("state = 'current'"),
    )
    op.create_table(
        "oauth_client",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("name_ja", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column(
            "profile",
            sa.Text(),
            nullable=False,
            comment="what kind of program this is; see app/oauth/profiles.py",
        ),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=True, comment="SHA-256; null for public clients"),
        sa.Column("redirect_uris", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False, comment="the most it may ever be given"),
        sa.Column(
            "allowed_shops",
            sa.ARRAY(sa.Uuid()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="shops it may take payments for; none means no payment",
        ),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(secret_hash IS NULL) = (profile IN ('native', 'spa'))",
            name=op.f("ck_oauth_client_secret_unless_public"),
        ),
        sa.CheckConstraint("id ~ '^[a-z][a-z0-9_]{2,63}$'", name=op.f("ck_oauth_client_id_form")),
        sa.CheckConstraint(
            "profile IN ('web', 'native', 'spa', 'service', 'till')", name=op.f("ck_oauth_client_profile")
        ),
        sa.CheckConstraint("status IN ('active', 'revoked')", name=op.f("ck_oauth_client_status")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_oauth_client_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_client")),
    )
    op.create_table(
        "oauth_grant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "mandate",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="RFC 9396 authorization detail of type payment, as granted (perhaps lowered)",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "last_used_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="written at most every five minutes",
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(mandate IS NOT NULL) = ('payment' = ANY(scopes))",
            name=op.f("ck_oauth_grant_payment_has_mandate"),
        ),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_client.id"], name=op.f("fk_oauth_grant_client_id")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_oauth_grant_issuer_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_oauth_grant_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_grant")),
    )
    op.create_index(
        "uq_oauth_grant_live",
        "oauth_grant",
        ["member_id", "client_id"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "oauth_code",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False, comment="of the tokens it becomes"),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("code_challenge", sa.Text(), nullable=False, comment="PKCE S256 (RFC 7636)"),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("auth_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_client.id"], name=op.f("fk_oauth_code_client_id")),
        sa.ForeignKeyConstraint(["grant_id"], ["oauth_grant.id"], name=op.f("fk_oauth_code_grant_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_oauth_code_member_id")),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_oauth_code")),
    )
    op.create_index(op.f("ix_oauth_code_expires_at"), "oauth_code", ["expires_at"], unique=False)
    op.create_table(
        "oauth_token",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False, comment="all that one authorization code became"),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("auth_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("issued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "rotated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="refresh only: when its successor was made",
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('access', 'refresh')", name=op.f("ck_oauth_token_kind")),
        sa.CheckConstraint("(member_id IS NULL) = (grant_id IS NULL)", name=op.f("ck_oauth_token_member_with_grant")),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_client.id"], name=op.f("fk_oauth_token_client_id")),
        sa.ForeignKeyConstraint(["grant_id"], ["oauth_grant.id"], name=op.f("fk_oauth_token_grant_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_oauth_token_member_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_oauth_token")),
    )
    op.create_index(op.f("ix_oauth_token_expires_at"), "oauth_token", ["expires_at"], unique=False)
    op.create_index(op.f("ix_oauth_token_family_id"), "oauth_token", ["family_id"], unique=False)
    op.create_index(
        op.f("ix_oauth_token_grant_id"),
        "oauth_token",
        ["grant_id"],
        unique=False,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        op.f("ix_oauth_token_grant_id"),
        table_name="oauth_token",
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.drop_index(op.f("ix_oauth_token_family_id"), table_name="oauth_token")
    op.drop_index(op.f("ix_oauth_token_expires_at"), table_name="oauth_token")
    op.drop_table("oauth_token")
    op.drop_index(op.f("ix_oauth_code_expires_at"), table_name="oauth_code")
    op.drop_table("oauth_code")
    op.drop_index("uq_oauth_grant_live", table_name="oauth_grant", postgresql_where=sa.text("revoked_at IS NULL"))
    op.drop_table("oauth_grant")
    op.drop_table("oauth_client")
    op.drop_index("uq_signing_key_current", table_name="signing_key", postgresql_where=sa.text("state = 'current'"))
    op.drop_table("signing_key")
