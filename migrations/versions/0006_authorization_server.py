"""The whole authorization server: PAR, DPoP, devices, registration, logout, key rotation, ceilings per day and month."""

import os

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


CHECKS = {
    "issuer": {
        "default_max_per_day_positive": "default_max_per_day_yen > 0",
        "default_max_per_month_positive": "default_max_per_month_yen > 0",
        "step_up_not_negative": "step_up_yen >= 0",
    },
    "member": {"phone_number_e164": "phone_number ~ '^[+][1-9][0-9]{6,14}$'"},
    "oauth_client": {
        "one_credential_unless_public": (
            "num_nonnulls(secret_hash, jwks) = CASE WHEN profile IN ('native', 'spa') THEN 0 ELSE 1 END"
        ),
        "fapi2_has_keys": "profile <> 'fapi2' OR jwks IS NOT NULL",
        "id_token_alg": "id_token_alg IN ('ES256', 'PS256', 'EdDSA')",
    },
    "signing_key": {
        "state_with_its_times": (
            "(state = 'next') = (current_at IS NULL) AND (state = 'retired') = (retired_at IS NOT NULL)"
        ),
        "private_until_retired": "(state = 'retired') = (private_sealed IS NULL)",
    },
    "spend_control": {
        "max_per_day_positive": "max_per_day_yen > 0",
        "max_per_month_positive": "max_per_month_yen > 0",
        "month_holds_day": "spent_day_yen >= 0 AND spent_month_yen >= spent_day_yen",
    },
}
"""New rules, by table."""

WIDENED = {
    ("oauth_client", "profile"): (
        "profile IN ('web', 'native', 'spa', 'service', 'till')",
        "profile IN ('web', 'native', 'spa', 'service', 'till', 'fapi2', 'oidc_basic')",
    ),
    ("outbox", "topic"): ("topic IN ('mail', 'sms')", "topic IN ('mail', 'sms', 'logout', 'password_reset')"),
    ("verification_code", "purpose"): ("purpose IN ('sign_in')", "purpose IN ('sign_in', 'password_reset')"),
    ("signing_key", "alg"): ("alg IN ('ES256')", "alg IN ('ES256', 'PS256', 'EdDSA')"),
}
"""Rules that admit more than before: as they were, as they are."""

_SUMS_GUARD = """
CREATE FUNCTION spent_sums_are_wrong() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was spent under control % neither shrinks nor passes its ceiling', OLD.id
        USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER spent_sums_hold BEFORE UPDATE OF spent_on, spent_day_yen, spent_month_yen ON spend_control
    FOR EACH ROW WHEN (
        (OLD.spent_on IS NOT NULL AND (NEW.spent_on IS NULL OR NEW.spent_on < OLD.spent_on))
        OR (NEW.spent_on = OLD.spent_on AND NEW.spent_day_yen < OLD.spent_day_yen)
        OR (date_trunc('month', NEW.spent_on::timestamp) = date_trunc('month', OLD.spent_on::timestamp)
            AND NEW.spent_month_yen < OLD.spent_month_yen)
        OR NEW.spent_day_yen > NEW.max_per_day_yen
        OR NEW.spent_month_yen > NEW.max_per_month_yen
    ) EXECUTE FUNCTION spent_sums_are_wrong();
"""
"""The rule of `decide` a second time. Its condition is the trigger's, so that a good row calls no function.

A ceiling may be set below what was spent already: that updates none of these columns. Then no payment adds to them
until the day or month is over.
"""

_MANDATES = """
UPDATE oauth_grant g
   SET mandate = g.mandate - 'type'
       || jsonb_build_object(
              'max_per_day_yen', greatest(i.default_max_per_day_yen, (g.mandate->>'max_per_payment_yen')::int),
              'max_per_month_yen', greatest(i.default_max_per_month_yen, (g.mandate->>'max_per_payment_yen')::int))
  FROM issuer i
 WHERE i.id = g.issuer_id AND g.mandate IS NOT NULL;

UPDATE spend_control c
   SET max_per_day_yen = (g.mandate->>'max_per_day_yen')::bigint,
       max_per_month_yen = (g.mandate->>'max_per_month_yen')::bigint
  FROM oauth_grant g
 WHERE g.id = c.id AND g.mandate IS NOT NULL;
"""
"""Permissions of before get the issuer's ceilings for a day and a month: never more than what was allowed."""

_SPENT_SO_FAR = """
UPDATE spend_control c
   SET spent_on = paid.day, spent_day_yen = paid.day_yen, spent_month_yen = paid.month_yen
  FROM (
        SELECT grant_id, last.day,
               sum(amount_yen) FILTER (WHERE t.day = last.day) AS day_yen,
               sum(amount_yen) FILTER (WHERE t.day >= date_trunc('month', last.day::timestamp)) AS month_yen
          FROM (SELECT grant_id, amount_yen, (created_at AT TIME ZONE :zone)::date AS day
                  FROM transaction WHERE kind = 'payment' AND grant_id IS NOT NULL) AS t
          JOIN (SELECT grant_id, max((created_at AT TIME ZONE :zone)::date) AS day
                  FROM transaction WHERE kind = 'payment' AND grant_id IS NOT NULL GROUP BY grant_id) AS last
         USING (grant_id)
         GROUP BY grant_id, last.day
       ) AS paid
 WHERE paid.grant_id = c.id
"""

MANDATE_COLUMN = {"existing_type": postgresql.JSONB(), "existing_nullable": True}
MANDATE_WAS = "RFC 9396 authorization detail of type payment, as granted (perhaps lowered)"
MANDATE_IS = "the limits of payment, as granted (perhaps lowered): app/oauth/ports.py"

_MANDATES_BEFORE = """
UPDATE oauth_grant
   SET mandate = mandate - '{max_per_day_yen,max_per_month_yen,monies,until}'::text[] || '{"type": "payment"}'
 WHERE mandate IS NOT NULL
"""

_WHAT_THE_VERSION_BEFORE_CANNOT_HOLD = """
DELETE FROM signing_key WHERE private_sealed IS NULL OR alg <> 'ES256';
DELETE FROM outbox WHERE topic IN ('logout', 'password_reset');
DELETE FROM verification_code WHERE purpose = 'password_reset';
DELETE FROM oauth_code WHERE code_challenge IS NULL OR dpop_jkt IS NOT NULL;
UPDATE oauth_token SET revoked_at = now() WHERE jkt IS NOT NULL AND revoked_at IS NULL;

UPDATE oauth_client
   SET status = 'revoked',
       profile = CASE WHEN profile IN ('fapi2', 'oidc_basic') THEN 'web' ELSE profile END,
       secret_hash = coalesce(secret_hash, sha256(gen_random_uuid()::text::bytea))
 WHERE jwks IS NOT NULL OR profile IN ('fapi2', 'oidc_basic');

WITH stopped AS (
    UPDATE oauth_grant g SET scopes = array_remove(g.scopes, 'payment'), mandate = NULL
      FROM issuer i
     WHERE i.id = g.issuer_id AND g.mandate IS NOT NULL
       AND (g.mandate ? 'until'
            OR (g.mandate->>'max_per_day_yen')::int
               < greatest(i.default_max_per_day_yen, (g.mandate->>'max_per_payment_yen')::int)
            OR (g.mandate->>'max_per_month_yen')::int
               < greatest(i.default_max_per_month_yen, (g.mandate->>'max_per_payment_yen')::int))
    RETURNING g.id
)
UPDATE spend_control c SET status = 'revoked' FROM stopped WHERE c.id = stopped.id;
"""
"""Nothing may become more than it was: a bound token would pass as unbound, a client with keys has no secret anybody
knows, and payments that are held to less than the issuer's ceilings, or to a last day, would be held to neither.
"""

CREDENTIAL_RULE_BEFORE = "(secret_hash IS NULL) = (profile IN ('native', 'spa'))"


def upgrade() -> None:
    op.create_table(
        "oauth_proof_seen",
        sa.Column("proof_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of whose proof it is, and its jti"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, comment="when the proof itself is too old"),
        sa.PrimaryKeyConstraint("proof_hash", name=op.f("pk_oauth_proof_seen")),
    )
    op.create_index(op.f("ix_oauth_proof_seen_expires_at"), "oauth_proof_seen", ["expires_at"], unique=False)
    op.create_table(
        "oauth_initial_access_token",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False, comment="whom it was given to"),
        sa.Column("profiles", sa.ARRAY(sa.Text()), nullable=False, comment="the kinds of client it may register"),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False, comment="the most such a client may ever be given"),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_oauth_initial_access_token_issuer_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_oauth_initial_access_token")),
    )
    op.create_table(
        "oauth_device",
        sa.Column("device_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_code_hash", sa.LargeBinary(), nullable=False, comment="keyed hash: user codes can be guessed"),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False, comment="as asked; once approved, as given"),
        sa.Column(
            "detail",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="the authorization detail of type payment that was asked for",
        ),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False, comment="of the tokens it becomes"),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("auth_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("interval_s", sa.Integer(), server_default="5", nullable=False),
        sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'approved') = (grant_id IS NOT NULL) AND (status = 'approved') = (member_id IS NOT NULL) AND (status = 'approved') = (auth_time IS NOT NULL)",
            name=op.f("ck_oauth_device_approved_by_a_member"),
        ),
        sa.CheckConstraint("status IN ('pending', 'approved', 'denied')", name=op.f("ck_oauth_device_status")),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_client.id"], name=op.f("fk_oauth_device_client_id")),
        sa.ForeignKeyConstraint(["grant_id"], ["oauth_grant.id"], name=op.f("fk_oauth_device_grant_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_oauth_device_member_id")),
        sa.PrimaryKeyConstraint("device_hash", name=op.f("pk_oauth_device")),
        sa.UniqueConstraint("user_code_hash", name=op.f("uq_oauth_device_user_code_hash")),
    )
    op.create_index(op.f("ix_oauth_device_expires_at"), "oauth_device", ["expires_at"], unique=False)
    op.create_table(
        "oauth_pushed_request",
        sa.Column("request_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the request_uri"),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column(
            "parameters",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="as they were pushed, without the client's credentials",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("family_id", sa.Uuid(), nullable=True, comment="of the tokens it became; null if it was denied"),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_client.id"], name=op.f("fk_oauth_pushed_request_client_id")),
        sa.ForeignKeyConstraint(["grant_id"], ["oauth_grant.id"], name=op.f("fk_oauth_pushed_request_grant_id")),
        sa.PrimaryKeyConstraint("request_hash", name=op.f("pk_oauth_pushed_request")),
    )
    op.create_index(op.f("ix_oauth_pushed_request_expires_at"), "oauth_pushed_request", ["expires_at"], unique=False)
    op.add_column(
        "issuer", sa.Column("default_max_per_month_yen", sa.Integer(), server_default="50000", nullable=False)
    )
    op.add_column(
        "issuer",
        sa.Column(
            "step_up_yen",
            sa.Integer(),
            server_default="10000",
            nullable=False,
            comment="a payment above this needs a fresh sign-in (RFC 9470)",
        ),
    )
    op.add_column(
        "member", sa.Column("phone_number", sa.Text(), nullable=True, comment="E.164, once it was confirmed by a code")
    )
    op.add_column(
        "member_session",
        sa.Column(
            "id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
            comment="what clients may know of it (sid)",
        ),
    )
    op.create_unique_constraint(op.f("uq_member_session_id"), "member_session", ["id"])
    op.create_table(
        "oauth_session_client",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_client.id"], name=op.f("fk_oauth_session_client_client_id")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["member_session.id"], name=op.f("fk_oauth_session_client_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", "client_id", name=op.f("pk_oauth_session_client")),
    )
    op.add_column("issuer", sa.Column("default_max_per_day_yen", sa.Integer(), server_default="10000", nullable=False))
    op.add_column(
        "oauth_client",
        sa.Column(
            "jwks",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="public keys that sign its assertions (private_key_jwt)",
        ),
    )
    op.add_column(
        "oauth_client",
        sa.Column(
            "credential_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="since when it has this secret or these keys",
        ),
    )
    op.add_column(
        "oauth_client",
        sa.Column("post_logout_redirect_uris", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "oauth_client",
        sa.Column("backchannel_logout_uri", sa.Text(), nullable=True, comment="told when a member it knows signs out"),
    )
    op.add_column("oauth_client", sa.Column("id_token_alg", sa.Text(), server_default="ES256", nullable=False))
    op.add_column(
        "oauth_client",
        sa.Column(
            "registration_hash",
            sa.LargeBinary(),
            nullable=True,
            comment="SHA-256 of its registration access token (RFC 7592); null where the office registered it",
        ),
    )
    op.alter_column(
        "oauth_client",
        "secret_hash",
        existing_type=postgresql.BYTEA(),
        comment="SHA-256; null for a client with keys or none",
        existing_comment="SHA-256; null for public clients",
        existing_nullable=True,
    )
    op.create_index(
        op.f("ix_oauth_client_registration_hash"),
        "oauth_client",
        ["registration_hash"],
        unique=True,
        postgresql_where=sa.text("registration_hash IS NOT NULL"),
    )
    op.add_column(
        "oauth_code",
        sa.Column(
            "session_id", sa.Uuid(), nullable=True, comment="the member's session it was given in: the ID token's sid"
        ),
    )
    op.add_column(
        "oauth_code",
        sa.Column(
            "dpop_jkt", sa.Text(), nullable=True, comment="the key its tokens must be bound to (RFC 9449 section 10)"
        ),
    )
    op.alter_column(
        "oauth_code",
        "code_challenge",
        existing_type=sa.TEXT(),
        nullable=True,
        comment="PKCE S256 (RFC 7636); null only of oidc_basic",
        existing_comment="PKCE S256 (RFC 7636)",
    )
    op.add_column(
        "oauth_token",
        sa.Column("jkt", sa.Text(), nullable=True, comment="thumbprint of the key it is bound to (RFC 9449 section 6)"),
    )
    op.add_column(
        "signing_key",
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True, comment="when it signed for the last time"),
    )
    op.add_column(
        "signing_key",
        sa.Column("current_at", sa.DateTime(timezone=True), nullable=True, comment="when it began to sign"),
    )
    op.execute("UPDATE signing_key SET current_at = created_at WHERE state <> 'next'")
    op.alter_column(
        "signing_key",
        "private_sealed",
        existing_type=postgresql.BYTEA(),
        nullable=True,
        comment="null once it does not sign any more",
    )
    op.execute("UPDATE signing_key SET retired_at = now(), private_sealed = NULL WHERE state = 'retired'")
    op.create_index(
        "uq_signing_key_next", "signing_key", ["alg"], unique=True, postgresql_where=sa.text("state = 'next'")
    )
    op.add_column("spend_control", sa.Column("max_per_day_yen", sa.BigInteger(), nullable=True))
    op.add_column("spend_control", sa.Column("max_per_month_yen", sa.BigInteger(), nullable=True))
    op.add_column(
        "spend_control",
        sa.Column(
            "valid_until", sa.Date(), nullable=True, comment="the last day it may spend, in the issuer's time zone"
        ),
    )
    op.add_column(
        "spend_control",
        sa.Column("spent_on", sa.Date(), nullable=True, comment="the day its sums are of, in the issuer's time zone"),
    )
    op.add_column("spend_control", sa.Column("spent_day_yen", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("spend_control", sa.Column("spent_month_yen", sa.BigInteger(), server_default="0", nullable=False))
    op.alter_column("oauth_grant", "mandate", comment=MANDATE_IS, existing_comment=MANDATE_WAS, **MANDATE_COLUMN)
    op.execute(_MANDATES)
    zone = os.environ.get("KUMIAI_TIME_ZONE", "Asia/Tokyo")
    op.get_bind().execute(sa.text(_SPENT_SO_FAR), {"zone": zone})
    op.execute(_SUMS_GUARD)
    op.drop_constraint(op.f("ck_oauth_client_secret_unless_public"), "oauth_client")
    for table, rules in CHECKS.items():
        for name, rule in rules.items():
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    for (table, name), (_, rule) in WIDENED.items():
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)


def downgrade() -> None:
    for table, rules in CHECKS.items():
        for name in rules:
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    op.execute(_WHAT_THE_VERSION_BEFORE_CANNOT_HOLD)
    for (table, name), (rule, _) in WIDENED.items():
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    op.create_check_constraint(op.f("ck_oauth_client_secret_unless_public"), "oauth_client", CREDENTIAL_RULE_BEFORE)
    op.execute(_MANDATES_BEFORE)
    op.alter_column("oauth_grant", "mandate", comment=MANDATE_WAS, existing_comment=MANDATE_IS, **MANDATE_COLUMN)
    op.execute("DROP TRIGGER spent_sums_hold ON spend_control")
    op.execute("DROP FUNCTION spent_sums_are_wrong()")
    op.drop_column("spend_control", "spent_month_yen")
    op.drop_column("spend_control", "spent_day_yen")
    op.drop_column("spend_control", "spent_on")
    op.drop_column("spend_control", "valid_until")
    op.drop_column("spend_control", "max_per_month_yen")
    op.drop_column("spend_control", "max_per_day_yen")
    op.drop_index("uq_signing_key_next", table_name="signing_key", postgresql_where=sa.text("state = 'next'"))
    op.alter_column(
        "signing_key",
        "private_sealed",
        existing_type=postgresql.BYTEA(),
        nullable=False,
        comment=None,
        existing_comment="null once it does not sign any more",
    )
    op.drop_column("signing_key", "current_at")
    op.drop_column("signing_key", "retired_at")
    op.drop_column("oauth_token", "jkt")
    op.alter_column(
        "oauth_code",
        "code_challenge",
        existing_type=sa.TEXT(),
        nullable=False,
        comment="PKCE S256 (RFC 7636)",
        existing_comment="PKCE S256 (RFC 7636); null only of oidc_basic",
    )
    op.drop_column("oauth_code", "dpop_jkt")
    op.drop_column("oauth_code", "session_id")
    op.drop_index(
        op.f("ix_oauth_client_registration_hash"),
        table_name="oauth_client",
        postgresql_where=sa.text("registration_hash IS NOT NULL"),
    )
    op.alter_column(
        "oauth_client",
        "secret_hash",
        existing_type=postgresql.BYTEA(),
        comment="SHA-256; null for public clients",
        existing_comment="SHA-256; null for a client with keys or none",
        existing_nullable=True,
    )
    op.drop_column("oauth_client", "registration_hash")
    op.drop_column("oauth_client", "id_token_alg")
    op.drop_column("oauth_client", "backchannel_logout_uri")
    op.drop_column("oauth_client", "post_logout_redirect_uris")
    op.drop_column("oauth_client", "credential_at")
    op.drop_column("oauth_client", "jwks")
    op.drop_table("oauth_session_client")
    op.drop_constraint(op.f("uq_member_session_id"), "member_session", type_="unique")
    op.drop_column("member_session", "id")
    op.drop_column("member", "phone_number")
    op.drop_column("issuer", "step_up_yen")
    op.drop_column("issuer", "default_max_per_month_yen")
    op.drop_column("issuer", "default_max_per_day_yen")
    op.drop_index(op.f("ix_oauth_pushed_request_expires_at"), table_name="oauth_pushed_request")
    op.drop_table("oauth_pushed_request")
    op.drop_index(op.f("ix_oauth_device_expires_at"), table_name="oauth_device")
    op.drop_table("oauth_device")
    op.drop_table("oauth_initial_access_token")
    op.drop_index(op.f("ix_oauth_proof_seen_expires_at"), table_name="oauth_proof_seen")
    op.drop_table("oauth_proof_seen")
