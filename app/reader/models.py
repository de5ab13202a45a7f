"""Rows of cards, PINs and terminals. A card's number is kept only as a keyed hash; people see its last four digits."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id


class Card(Base):
    """A student IC card (学生証ICカード) registered to a member."""

    __tablename__ = "card"
    __table_args__ = (
        UniqueConstraint("issuer_id", "idm_hash"),
        CheckConstraint("status IN ('active', 'lost', 'replaced', 'expired')", name="status"),
        CheckConstraint("last4 ~ '^[0-9A-F]{4}$'", name="last4_form"),
        CheckConstraint("(status IN ('lost', 'replaced')) = (stopped_at IS NOT NULL)", name="stopped_at"),
        CheckConstraint("(status = 'replaced') = (replaced_by IS NOT NULL)", name="replaced_by"),
        Index(None, "member_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    idm_hash: Mapped[bytes] = mapped_column(comment="HMAC-SHA-256(IDm) under the card pepper")
    last4: Mapped[str] = mapped_column(comment="last four hex digits of the IDm, for people to recognise the card")
    profile: Mapped[str] = mapped_column(default="fcf", server_default="fcf", comment="code of its reader profile")
    blocks_hash: Mapped[bytes | None] = mapped_column(
        comment="HMAC-SHA-256 of what its blocks say, under the pepper; null: nothing is read off such a card"
    )
    valid_until: Mapped[date | None]
    status: Mapped[str] = mapped_column(default="active", server_default="active")
    stopped_at: Mapped[datetime | None] = mapped_column(comment="when it was reported lost")
    replaced_by: Mapped[UUID | None] = mapped_column(ForeignKey("card.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MemberPin(Base):
    """A member's PIN (暗証番号) for taps above what a card alone may pay. It is of the member, not of a card."""

    __tablename__ = "member_pin"
    __table_args__ = (CheckConstraint("wrong_tries BETWEEN 0 AND 5", name="wrong_tries"),)

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    pin_hash: Mapped[str] = mapped_column(comment="argon2id of the PIN as the card pepper keys it")
    wrong_tries: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    set_at: Mapped[datetime]


class CardRegistration(Base):
    """A code by which a member registers the card they touch at a till: shown once, good once, for some minutes."""

    __tablename__ = "card_registration"
    __table_args__ = (Index(None, "member_id"),)

    code_hash: Mapped[bytes] = mapped_column(primary_key=True, comment="HMAC-SHA-256 of its letters")
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class AssuranceLimit(Base):
    """What the office allows by one level of assurance, where it is not the default."""

    __tablename__ = "assurance_limit"
    __table_args__ = (
        CheckConstraint("level IN ('idm', 'fcf', 'pin', 'mac')", name="level"),
        CheckConstraint(
            "max_per_payment_yen >= 0 AND max_per_day_yen >= max_per_payment_yen", name="day_holds_payment"
        ),
    )

    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"), primary_key=True)
    level: Mapped[str] = mapped_column(primary_key=True)
    max_per_payment_yen: Mapped[int] = mapped_column(BigInteger, comment="0: no tap of this level is taken")
    max_per_day_yen: Mapped[int] = mapped_column(BigInteger, comment="by one card")


class Terminal(Base):
    """A terminal (端末): the device that taps, at one shop. Every till is an OAuth client."""

    __tablename__ = "terminal"
    __table_args__ = (
        UniqueConstraint("client_id"),
        CheckConstraint("status IN ('active', 'revoked')", name="status"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shop.id"))
    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_client.id"))
    name: Mapped[str]
    default_money: Mapped[str] = mapped_column(comment="code of the money a tap spends unless it says otherwise")
    status: Mapped[str] = mapped_column(default="active", server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
