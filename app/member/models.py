"""Rows of who a person is: members, their sign-in sessions, the six-digit codes mailed to them."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id


class Member(Base):
    """A member (組合員): a person with wallets."""

    __tablename__ = "member"
    __table_args__ = (
        UniqueConstraint("issuer_id", "email"),
        CheckConstraint("email = lower(email)", name="email_lower_case"),
        CheckConstraint("status IN ('active', 'suspended', 'closed')", name="status"),
        CheckConstraint("locale IN ('ja', 'en')", name="locale"),
        CheckConstraint("phone_number ~ '^[+][1-9][0-9]{6,14}$'", name="phone_number_e164"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    email: Mapped[str] = mapped_column(comment="lower case; the name to sign in with")
    password_hash: Mapped[str] = mapped_column(comment="argon2id, with its parameters")
    family_name: Mapped[str]
    given_name: Mapped[str]
    phone_number: Mapped[str | None] = mapped_column(comment="E.164, once it was confirmed by a code")
    birthday: Mapped[date | None] = mapped_column(comment="where the issuer asks for it before a card is charged")
    locale: Mapped[str] = mapped_column(default="ja", server_default="ja")
    status: Mapped[str] = mapped_column(default="active", server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    @property
    def name(self) -> str:
        return f"{self.family_name} {self.given_name}"


class MemberSession(Base):
    """One signed-in browser. The cookie holds the secret, the row only its hash; revoking is one UPDATE."""

    __tablename__ = "member_session"
    __table_args__ = (Index(None, "member_id"), Index(None, "expires_at"))

    secret_hash: Mapped[bytes] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(
        default=new_id, server_default=func.gen_random_uuid(), unique=True, comment="what clients may know of it (sid)"
    )
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    auth_time: Mapped[datetime] = mapped_column(comment="when password and code were last given (OIDC auth_time)")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class VerificationCode(Base):
    """One six-digit code on its way to a member. Ten minutes, five tries, used once."""

    __tablename__ = "verification_code"
    __table_args__ = (
        CheckConstraint("purpose IN ('sign_in', 'password_reset')", name="purpose"),
        CheckConstraint("tries >= 0", name="tries_not_negative"),
        Index(None, "member_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    purpose: Mapped[str]
    code_hash: Mapped[bytes] = mapped_column(comment="HMAC-SHA-256 under the server's key, bound to this row's id")
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
