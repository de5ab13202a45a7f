"""Rows of who may do what: clients, grants, authorization codes, tokens, signing keys. Secrets are hashes only."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id

PROFILES = ("web", "native", "spa", "service", "till")


class OAuthClient(Base):
    """A client (連携アプリ) or a till. `id` is the client_id; it can never look like a member's `sub` (a UUID)."""

    __tablename__ = "oauth_client"
    __table_args__ = (
        CheckConstraint("id ~ '^[a-z][a-z0-9_]{2,63}$'", name="id_form"),
        CheckConstraint("profile IN ('web', 'native', 'spa', 'service', 'till')", name="profile"),
        CheckConstraint("status IN ('active', 'revoked')", name="status"),
        CheckConstraint("(secret_hash IS NULL) = (profile IN ('native', 'spa'))", name="secret_unless_public"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    name_ja: Mapped[str]
    name_en: Mapped[str]
    profile: Mapped[str] = mapped_column(comment="what kind of program this is; see app/oauth/profiles.py")
    secret_hash: Mapped[bytes | None] = mapped_column(comment="SHA-256; null for public clients")
    redirect_uris: Mapped[list[str]]
    scopes: Mapped[list[str]] = mapped_column(comment="the most it may ever be given")
    allowed_shops: Mapped[list[UUID]] = mapped_column(
        server_default=text("'{}'"), comment="shops it may take payments for; none means no payment"
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
        JSONB(none_as_null=True), comment="RFC 9396 authorization detail of type payment, as granted (perhaps lowered)"
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
    code_challenge: Mapped[str] = mapped_column(comment="PKCE S256 (RFC 7636)")
    nonce: Mapped[str | None]
    auth_time: Mapped[datetime]
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
    issued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    rotated_at: Mapped[datetime | None] = mapped_column(comment="refresh only: when its successor was made")
    revoked_at: Mapped[datetime | None]


class SigningKey(Base):
    """A key that signs ID tokens. The private half is sealed with KUMIAI_SEALING_KEY."""

    __tablename__ = "signing_key"
    __table_args__ = (
        CheckConstraint("alg IN ('ES256')", name="alg"),
        CheckConstraint("state IN ('next', 'current', 'retired')", name="state"),
        Index("uq_signing_key_current", "alg", unique=True, postgresql_where=text("state = 'current'")),
    )

    kid: Mapped[str] = mapped_column(primary_key=True)
    alg: Mapped[str]
    state: Mapped[str]
    private_sealed: Mapped[bytes]
    public_jwk: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
