"""Rows that the poster locks besides wallets and accounts: holds, one-time codes, payout quotas; and stop events."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id


class Hold(Base):
    """A hold (仮押さえ): value set aside for a shop, then captured or released. Its id is that of its transaction.

    A trigger lets its state change once.
    """

    __tablename__ = "hold"
    __table_args__ = (
        CheckConstraint("state IN ('held', 'captured', 'released', 'expired')", name="state"),
        CheckConstraint("amount_yen > 0", name="amount_positive"),
        CheckConstraint("captured_yen BETWEEN 0 AND amount_yen", name="captured_within"),
        CheckConstraint("(state = 'captured') = (captured_yen > 0)", name="captured_something"),
        CheckConstraint("(state = 'held') = (ended_by IS NULL)", name="ended_by_a_transaction"),
        Index("ix_hold_open", "expires_at", postgresql_where=text("state = 'held'")),
        Index("ix_hold_member", "member_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(ForeignKey("transaction.id"), primary_key=True)
    issuer_id: Mapped[UUID]
    member_id: Mapped[UUID]
    shop_id: Mapped[UUID]
    requester: Mapped[str] = mapped_column(comment="client_id of who asked; only it captures")
    controls: Mapped[list[UUID]] = mapped_column(comment="the spend controls it counts under")
    amount_yen: Mapped[int] = mapped_column(BigInteger)
    captured_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    state: Mapped[str] = mapped_column(default="held", server_default="held")
    ended_by: Mapped[UUID | None] = mapped_column(ForeignKey("transaction.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class HoldPart(Base):
    """What a hold sets aside of one lot. Immutable."""

    __tablename__ = "hold_part"
    __table_args__ = (CheckConstraint("amount_yen > 0", name="amount_positive"), Index(None, "account_id"))

    hold_id: Mapped[UUID] = mapped_column(ForeignKey("hold.id"), primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    amount_yen: Mapped[int] = mapped_column(BigInteger)


class OneTimeCode(Base):
    """A code to be scanned, for one payment or charge: a shop's with its amount, or a member's for a minute."""

    __tablename__ = "one_time_code"
    __table_args__ = (
        CheckConstraint("side IN ('shop', 'member')", name="side"),
        CheckConstraint("purpose IN ('payment', 'charge')", name="purpose"),
        CheckConstraint("(side = 'shop') = (shop_id IS NOT NULL AND amount_yen IS NOT NULL)", name="shop_names_amount"),
        CheckConstraint("(side = 'member') = (member_id IS NOT NULL)", name="member_is_known"),
        CheckConstraint("amount_yen > 0", name="amount_positive"),
        CheckConstraint("used_by IS NULL OR cancelled_at IS NULL", name="used_or_cancelled"),
        Index(None, "expires_at"),
        Index(None, "client_id", "created_at"),
        Index(None, "grant_id", "created_at", postgresql_where=text("grant_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    side: Mapped[str]
    purpose: Mapped[str]
    code_hash: Mapped[bytes] = mapped_column(unique=True, comment="HMAC-SHA-256 under the server's key")
    client_id: Mapped[str] = mapped_column(comment="who asked for it: the shop's till, or the member's app")
    member_id: Mapped[UUID | None] = mapped_column(ForeignKey("member.id"))
    grant_id: Mapped[UUID | None] = mapped_column(comment="the permission it was asked under; its ceilings hold")
    shop_id: Mapped[UUID | None] = mapped_column(ForeignKey("shop.id"))
    money: Mapped[str | None] = mapped_column(comment="code of the money to pay with; null: the payer's choice")
    amount_yen: Mapped[int | None] = mapped_column(BigInteger)
    description: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]
    used_by: Mapped[UUID | None] = mapped_column(ForeignKey("transaction.id"))
    last_refusal: Mapped[str | None] = mapped_column(comment="why the last scan did not pay: an error's code")
    last_refused_at: Mapped[datetime | None]


class PayoutPeriod(Base):
    """How much may be paid out for small amounts between two base dates, and how much was (資金決済法20条5項)."""

    __tablename__ = "payout_period"
    __table_args__ = (CheckConstraint("paid_out_yen BETWEEN 0 AND quota_yen", name="within_quota"),)

    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"), primary_key=True)
    begins_on: Mapped[date] = mapped_column(primary_key=True, comment="1 April or 1 October")
    quota_yen: Mapped[int] = mapped_column(BigInteger)
    paid_out_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class StopEvent(Base):
    """That a member's wallets were suspended, resumed or closed: when, by whom and why. Immutable."""

    __tablename__ = "stop_event"
    __table_args__ = (
        CheckConstraint("action IN ('suspended', 'resumed', 'closed')", name="action"),
        CheckConstraint("action = 'suspended' OR reason <> ''", name="resumed_with_reason"),
        Index(None, "member_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    action: Mapped[str]
    actor: Mapped[str] = mapped_column(comment="`member`, a client_id, or who in the office")
    reason: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
