"""Rows of cards and terminals. A card's number is kept only as a keyed hash; people see its last four digits."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func
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
        Index(None, "member_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    idm_hash: Mapped[bytes] = mapped_column(comment="HMAC-SHA-256(IDm) under the card pepper")
    last4: Mapped[str] = mapped_column(comment="last four hex digits of the IDm, for people to recognise the card")
    blocks_hash: Mapped[bytes] = mapped_column(comment="HMAC-SHA-256 of what the FCF blocks say, under the pepper")
    valid_until: Mapped[date | None]
    status: Mapped[str] = mapped_column(default="active", server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


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
