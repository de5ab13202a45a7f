"""Rows of who may do what: clients, grants, requests on their way, tokens, signing keys. Secrets are hashes only."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id


class OAuthClient(Base):
    """A client (連携アプリ) or a till. `id` is the client_id; it can never look like a member's `sub` (a UUID)."""

    __tablename__ = "oauth_client"
    __table_args__ = (
        CheckConstraint("id ~ '^[a-z][a-z0-9_]{2,63}$'", name="id_form"),
        CheckConstraint("id <> 'kumiai'", name="not_the_system"),
        CheckConstraint(
            "profile IN ('web', 'native', 'spa', 'service', 'till', 'fapi2', 'oidc_basic')", name="profile"
        ),
        CheckConstraint("status IN ('active', 'revoked')", name="status"),
        CheckConstraint(
            "num_nonnulls(secret_hash, jwks) = CASE WHEN profile IN ('native', 'spa') THEN 0 ELSE 1 END",
            name="one_credential_unless_public",
        ),
        CheckConstraint("profile <> 'fapi2' OR jwks IS NOT NULL", name="fapi2_has_keys"),
        CheckConstraint("id_token_alg IN ('ES256', 'PS256', 'EdDSA')", name="id_token_alg"),
        Index(None, "registration_hash", unique=True, postgresql_where=text("registration_hash IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    name_ja: Mapped[str]
    name_en: Mapped[str]
    profile: Mapped[str] = mapped_column(comment="what kind of program this is; see app/oauth/profiles.py")
    secret_hash: Mapped[bytes | None] = mapped_column(comment="SHA-256; null for a client with keys or none")
    jwks: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="public keys that sign its assertions (private_key_jwt)"
    )
    credential_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="since when it has this secret or these keys"
    )
    redirect_uris: Mapped[list[str]]
    scopes: Mapped[list[str]] = mapped_column(comment="the most it may ever be given")
    allowed_shops: Mapped[list[UUID]] = mapped_column(
        server_default=text("'{}'"), comment="shops it may take payments for; none means no payment"
    )
    post_logout_redirect_uris: Mapped[list[str]] = mapped_column(default=list, server_default=text("'{}'"))
    backchannel_logout_uri: Mapped[str | None] = mapped_column(comment="told when a member it knows signs out")
    id_token_alg: Mapped[str] = mapped_column(default="ES256", server_default="ES256")
    registration_hash: Mapped[bytes | None] = mapped_column(
        comment="SHA-256 of its registration access token (RFC 7592); null where the office registered it"
    )
    status: Mapped[str] = mapped_column(default="active", server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OAuthGrant(Base):
    """A grant (許可): one member's consent to one client. At most one that is not revoked."""

    __tablename__ = "oauth_grant"
    __table_args__ = (
        Index(
            "uq_oauth_grant_live",
            "member_id",
            "client_id",
            unique=True,
            postgresql_where=text("revoked_at IS NULL"),
        ),
        CheckConstraint("(mandate IS NOT NULL) = ('payment' = ANY(scopes))", name="payment_has_mandate"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_client.id"))
    scopes: Mapped[list[str]]
    mandate: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="the limits of payment, as granted (perhaps lowered): app/oauth/ports.py"
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None] = mapped_column(comment="written at most every five minutes")
    revoked_at: Mapped[datetime | None]


class AuthorizationCode(Base):
    """One authorization code (RFC 6749 section 4.1.2), used once; what it issued dies when it is seen again."""

    __tablename__ = "oauth_code"
    __table_args__ = (Index(None, "expires_at"),)

    code_hash: Mapped[bytes] = mapped_column(primary_key=True)
    family_id: Mapped[UUID] = mapped_column(default=new_id, comment="of the tokens it becomes")
    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_client.id"))
    grant_id: Mapped[UUID] = mapped_column(ForeignKey("oauth_grant.id"))
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    scopes: Mapped[list[str]]
    redirect_uri: Mapped[str]
    code_challenge: Mapped[str | None] = mapped_column(comment="PKCE S256 (RFC 7636); null only of oidc_basic")
    nonce: Mapped[str | None]
    auth_time: Mapped[datetime]
    session_id: Mapped[UUID | None] = mapped_column(comment="the member's session it was given in: the ID token's sid")
    dpop_jkt: Mapped[str | None] = mapped_column(comment="the key its tokens must be bound to (RFC 9449 section 10)")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class OAuthToken(Base):
    """One access or refresh token. `member_id` and `grant_id` are null for a till or service acting for itself."""

    __tablename__ = "oauth_token"
    __table_args__ = (
        CheckConstraint("kind IN ('access', 'refresh')", name="kind"),
        CheckConstraint("(member_id IS NULL) = (grant_id IS NULL)", name="member_with_grant"),
        Index(None, "grant_id", postgresql_where=text("revoked_at IS NULL")),
        Index(None, "family_id"),
        Index(None, "expires_at"),
    )

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    kind: Mapped[str]
    family_id: Mapped[UUID] = mapped_column(comment="all that one authorization code became")
    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_client.id"))
    member_id: Mapped[UUID | None] = mapped_column(ForeignKey("member.id"))
    grant_id: Mapped[UUID | None] = mapped_column(ForeignKey("oauth_grant.id"))
    scopes: Mapped[list[str]]
    auth_time: Mapped[datetime | None]
    jkt: Mapped[str | None] = mapped_column(comment="thumbprint of the key it is bound to (RFC 9449 section 6)")
    issued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    rotated_at: Mapped[datetime | None] = mapped_column(comment="refresh only: when its successor was made")
    revoked_at: Mapped[datetime | None]


class PushedRequest(Base):
    """One pushed authorization request (RFC 9126), spent when the member has answered it."""

    __tablename__ = "oauth_pushed_request"
    __table_args__ = (Index(None, "expires_at"),)

    request_hash: Mapped[bytes] = mapped_column(primary_key=True, comment="SHA-256 of the request_uri")
    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_client.id"))
    parameters: Mapped[dict[str, Any]] = mapped_column(comment="as they were pushed, without the client's credentials")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    family_id: Mapped[UUID | None] = mapped_column(comment="of the tokens it became; null if it was denied")
    grant_id: Mapped[UUID | None] = mapped_column(ForeignKey("oauth_grant.id"))


class DeviceAuthorization(Base):
    """One device on its way to being connected (RFC 8628): it polls while the member types the user code."""

    __tablename__ = "oauth_device"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'approved', 'denied')", name="status"),
        CheckConstraint(
            "(status = 'approved') = (grant_id IS NOT NULL) AND (status = 'approved') = (member_id IS NOT NULL)"
            " AND (status = 'approved') = (auth_time IS NOT NULL)",
            name="approved_by_a_member",
        ),
        Index(None, "expires_at"),
    )

    device_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_code_hash: Mapped[bytes] = mapped_column(unique=True, comment="keyed hash: user codes can be guessed")
    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_client.id"))
    scopes: Mapped[list[str]] = mapped_column(comment="as asked; once approved, as given")
    detail: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="the authorization detail of type payment that was asked for"
    )
    status: Mapped[str] = mapped_column(default="pending", server_default="pending")
    family_id: Mapped[UUID] = mapped_column(default=new_id, comment="of the tokens it becomes")
    grant_id: Mapped[UUID | None] = mapped_column(ForeignKey("oauth_grant.id"))
    member_id: Mapped[UUID | None] = mapped_column(ForeignKey("member.id"))
    auth_time: Mapped[datetime | None]
    interval_s: Mapped[int] = mapped_column(default=5, server_default="5")
    polled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class ProofSeen(Base):
    """The `jti` of a DPoP proof or client assertion that was accepted: it is not accepted again."""

    __tablename__ = "oauth_proof_seen"
    __table_args__ = (Index(None, "expires_at"),)

    proof_hash: Mapped[bytes] = mapped_column(primary_key=True, comment="SHA-256 of whose proof it is, and its jti")
    expires_at: Mapped[datetime] = mapped_column(comment="when the proof itself is too old")


class SessionClient(Base):
    """A client that a member's session was used to sign in at: it is told when the session ends."""

    __tablename__ = "oauth_session_client"

    session_id: Mapped[UUID] = mapped_column(ForeignKey("member_session.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_client.id"), primary_key=True)


class InitialAccessToken(Base):
    """Lets whoever holds it register clients (RFC 7591 section 3). Without one, nobody can."""

    __tablename__ = "oauth_initial_access_token"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    note: Mapped[str] = mapped_column(comment="whom it was given to")
    profiles: Mapped[list[str]] = mapped_column(comment="the kinds of client it may register")
    scopes: Mapped[list[str]] = mapped_column(comment="the most such a client may ever be given")
    uses_left: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class SigningKey(Base):
    """A key that signs ID tokens. The private half is sealed with KUMIAI_SEALING_KEY. See app/oauth/keys.py."""

    __tablename__ = "signing_key"
    __table_args__ = (
        CheckConstraint("alg IN ('ES256', 'PS256', 'EdDSA')", name="alg"),
        CheckConstraint("state IN ('next', 'current', 'retired')", name="state"),
        CheckConstraint(
            "(state = 'next') = (current_at IS NULL) AND (state = 'retired') = (retired_at IS NOT NULL)",
            name="state_with_its_times",
        ),
        CheckConstraint("(state = 'retired') = (private_sealed IS NULL)", name="private_until_retired"),
        Index("uq_signing_key_current", "alg", unique=True, postgresql_where=text("state = 'current'")),
        Index("uq_signing_key_next", "alg", unique=True, postgresql_where=text("state = 'next'")),
    )

    kid: Mapped[str] = mapped_column(primary_key=True)
    alg: Mapped[str]
    state: Mapped[str]
    private_sealed: Mapped[bytes | None] = mapped_column(comment="null once it does not sign any more")
    public_jwk: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    current_at: Mapped[datetime | None] = mapped_column(comment="when it began to sign")
    retired_at: Mapped[datetime | None] = mapped_column(comment="when it signed for the last time")
