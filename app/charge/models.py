"""Rows of charging: the issuer's rules, orders, the money that arrived for them, and the gateway's events."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id

OPEN = ("created", "pending")
"""States of an order that may still be paid as agreed."""

PAID = ("paid", "late_paid", "duplicate_paid")
STATES = (*OPEN, *PAID, "failed", "cancelled", "expired")


class ChargeRule(Base):
    """What the issuer lets members charge (`kumiai charge rules`). One row; without it, these defaults."""

    __tablename__ = "charge_rule"
    __table_args__ = (
        CheckConstraint("step_yen > 0 AND min_yen > 0", name="steps_positive"),
        CheckConstraint("card_max_yen >= min_yen AND konbini_max_yen >= min_yen", name="max_not_below_min"),
        CheckConstraint("konbini_max_yen + konbini_fee_yen <= 299999", name="konbini_ceiling"),
        CheckConstraint("card_max_per_day_yen > 0", name="card_day_positive"),
        CheckConstraint("card_max_per_month_yen > 0", name="card_month_positive"),
        CheckConstraint("new_card_max_per_day_yen > 0 AND new_card_days BETWEEN 0 AND 365", name="new_card"),
        CheckConstraint("card_fee_yen BETWEEN 0 AND 10000 AND konbini_fee_yen BETWEEN 0 AND 10000", name="fees"),
        CheckConstraint("konbini_days BETWEEN 1 AND 30", name="konbini_days"),
        CheckConstraint("identity IN ('none', 'birthday', 'code')", name="identity"),
    )

    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"), primary_key=True)
    step_yen: Mapped[int] = mapped_column(BigInteger, default=1_000, server_default="1000")
    min_yen: Mapped[int] = mapped_column(BigInteger, default=1_000, server_default="1000")
    card_max_yen: Mapped[int] = mapped_column(BigInteger, default=100_000, server_default="100000")
    konbini_max_yen: Mapped[int] = mapped_column(BigInteger, default=200_000, server_default="200000")
    card_max_per_day_yen: Mapped[int | None] = mapped_column(BigInteger, default=100_000, server_default="100000")
    card_max_per_month_yen: Mapped[int | None] = mapped_column(BigInteger, default=300_000, server_default="300000")
    new_card_max_per_day_yen: Mapped[int | None] = mapped_column(
        BigInteger, default=10_000, server_default="10000", comment="of a card in its first days; null: no such limit"
    )
    new_card_days: Mapped[int] = mapped_column(default=30, server_default="30")
    card_fee_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    konbini_fee_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    konbini_days: Mapped[int] = mapped_column(default=7, server_default="7", comment="until a slip's last day")
    identity: Mapped[str] = mapped_column(
        default="none",
        server_default="none",
        comment="asked before a card: none, birthday (MMDD), code (a new sign-in)",
    )


class ChargeOrder(Base):
    """An order to charge a wallet: agreed with the member, paid at the gateway. One payment of the gateway each."""

    __tablename__ = "charge_order"
    __table_args__ = (
        UniqueConstraint("client_id", "request_id"),
        CheckConstraint(f"state IN {STATES}", name="state"),
        CheckConstraint("method IN ('card', 'konbini')", name="method"),
        CheckConstraint("amount_yen > 0 AND fee_yen >= 0", name="amounts"),
        CheckConstraint("reserved_yen IN (0, amount_yen)", name="all_or_nothing_reserved"),
        CheckConstraint(f"(state IN {OPEN}) = (ended_at IS NULL)", name="ended"),
        CheckConstraint("state = 'created' OR gateway_ref IS NOT NULL OR state IN ('failed', 'cancelled')", name="ref"),
        CheckConstraint("(method = 'konbini') = (chain IS NOT NULL)", name="chain"),
        CheckConstraint("payer_id = member_id OR link_id IS NOT NULL", name="for_others_by_link"),
        CheckConstraint("method <> 'konbini' OR pay_until IS NOT NULL", name="konbini_ends"),
        Index(
            "uq_charge_order_gateway_ref",
            "gateway",
            "gateway_ref",
            unique=True,
            postgresql_where=text("gateway_ref IS NOT NULL"),
        ),
        Index("ix_charge_order_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_charge_order_payer", "payer_id", text("id DESC")),
        Index("ix_charge_order_member", "member_id", text("id DESC")),
        Index(
            "ix_charge_order_to_remind",
            "pay_until",
            postgresql_where=text("state = 'pending' AND method = 'konbini' AND reminded_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    payer_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), comment="who ordered it")
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), comment="whose wallet it is for")
    money_id: Mapped[int] = mapped_column(ForeignKey("money.id"))
    amount_yen: Mapped[int] = mapped_column(BigInteger, comment="what enters the wallet")
    fee_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0", comment="paid on top")
    method: Mapped[str]
    state: Mapped[str] = mapped_column(default="created", server_default="created")
    client_id: Mapped[str]
    request_id: Mapped[str]
    params_hash: Mapped[bytes]
    gateway: Mapped[str]
    gateway_ref: Mapped[str | None]
    chain: Mapped[str | None]
    contact_sealed: Mapped[bytes | None] = mapped_column(comment="name, kana, e-mail, phone; gone when it is over")
    locale: Mapped[str]
    return_url: Mapped[str | None]
    page_url: Mapped[str | None] = mapped_column(comment="the gateway's page for the card")
    slip: Mapped[dict[str, Any] | None] = mapped_column(comment="what is shown at the store")
    pay_until: Mapped[datetime | None]
    reserved_yen: Mapped[int] = mapped_column(
        BigInteger, default=0, server_default="0", comment="room kept in the wallet"
    )
    failure: Mapped[str | None] = mapped_column(comment="why it failed: the gateway's word, or ours")
    card_hash: Mapped[bytes | None] = mapped_column(comment="keyed hash of the gateway's fingerprint")
    card_brand: Mapped[str | None]
    card_last4: Mapped[str | None]
    link_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("charge_link.id"), comment="by which somebody other than the member ordered it"
    )
    replaces: Mapped[UUID | None] = mapped_column(ForeignKey("charge_order.id"), comment="another chain was chosen")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    ended_at: Mapped[datetime | None]
    reminded_at: Mapped[datetime | None]
    looked_at: Mapped[datetime | None] = mapped_column(comment="when the gateway was last asked")
    due_at: Mapped[datetime | None] = mapped_column(
        server_default=func.clock_timestamp(), comment="when the worker asks next; null: never again"
    )


class ChargeLink(Base):
    """What lets somebody else charge a member's wallet. Its code is kept only as a hash."""

    __tablename__ = "charge_link"
    __table_args__ = (
        UniqueConstraint("code_hash"),
        Index("ix_charge_link_live", "member_id", postgresql_where=text("ended_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), comment="whose wallet is charged")
    money_id: Mapped[int] = mapped_column(ForeignKey("money.id"))
    shown_as: Mapped[str] = mapped_column(comment="the name that whoever has the link sees; the member chose it")
    code_hash: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    valid_until: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class ChargeReceived(Base):
    """Money that arrived at the gateway, once each. It is credited to a wallet, or waits for the office (suspense)."""

    __tablename__ = "charge_received"
    __table_args__ = (
        ForeignKeyConstraint(["order_id"], ["charge_order.id"]),
        UniqueConstraint("order_id", "number"),
        CheckConstraint("amount_yen > 0", name="amount_positive"),
        CheckConstraint("(order_id IS NULL) = (number IS NULL)", name="numbered_by_order"),
        CheckConstraint("state IN ('waiting', 'credited', 'suspense', 'returned')", name="state"),
        CheckConstraint("(state = 'credited') = (transaction_id IS NOT NULL)", name="credited_by_a_transaction"),
        CheckConstraint("state NOT IN ('suspense', 'returned') OR reason IS NOT NULL", name="suspense_has_a_reason"),
        Index("ix_charge_received_open", "created_at", postgresql_where=text("state IN ('waiting', 'suspense')")),
        Index("ix_charge_received_ref", "gateway", "gateway_ref"),
    )

    gateway: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True, comment="the gateway's own")
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    gateway_ref: Mapped[str]
    order_id: Mapped[UUID | None]
    number: Mapped[int | None] = mapped_column(comment="1: the payment that was agreed; more: paid again")
    late: Mapped[bool] = mapped_column(default=False, server_default="false", comment="after the order's end")
    amount_yen: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default="waiting", server_default="waiting")
    reason: Mapped[str | None] = mapped_column(comment="why it was not credited by itself")
    transaction_id: Mapped[UUID | None]
    settled_by: Mapped[str | None] = mapped_column(comment="who in the office ended its suspense, and their words")
    settled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ChargeEvent(Base):
    """A gateway's event that was verified: its payment is to be looked up. Kept so that none is lost or done twice."""

    __tablename__ = "charge_event"
    __table_args__ = (
        Index("ix_charge_event_open", "received_at", postgresql_where=text("done_at IS NULL")),
        Index("ix_charge_event_done", "done_at", postgresql_where=text("done_at IS NOT NULL")),
    )

    gateway: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    kind: Mapped[str]
    ref: Mapped[str]
    received_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    done_at: Mapped[datetime | None]
