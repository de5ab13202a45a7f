"""Rows of webhooks: who listens to what, how far the ledger has been told, what is still to be sent, what was.

The events of one subject (a member, a shop) leave in order at each endpoint. That order is a **lane**: one row while
anything of it waits. A worker leases a lane, never a single delivery, so nothing overtakes within it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id


class WebhookEndpoint(Base):
    """An address of a client's server that hears of events. Its secrets are sealed: they sign, so they must be read."""

    __tablename__ = "webhook_endpoint"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'disabled', 'deleted')", name="status"),
        CheckConstraint("(status = 'disabled') = (disabled_reason IS NOT NULL)", name="disabled_with_reason"),
        CheckConstraint("disabled_reason IN ('asked', 'gone', 'failing')", name="disabled_reason"),
        CheckConstraint("cardinality(events) > 0", name="some_events"),
        CheckConstraint("length(url) <= 2000", name="url_length"),
        CheckConstraint("(previous_sealed IS NULL) = (previous_until IS NULL)", name="previous_secret_ends_by_itself"),
        Index(None, "client_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_client.id"))
    url: Mapped[str]
    description: Mapped[str]
    events: Mapped[list[str]] = mapped_column(comment="the types it is sent; see event_types.py")
    contact_email: Mapped[str] = mapped_column(comment="who is told when it is disabled")
    status: Mapped[str] = mapped_column(default="active", server_default="active")
    disabled_reason: Mapped[str | None]
    secret_sealed: Mapped[bytes] = mapped_column(comment="signs what is sent")
    previous_sealed: Mapped[bytes | None] = mapped_column(comment="the secret before it, which signs too for a while")
    previous_until: Mapped[datetime | None]
    failing_since: Mapped[datetime | None] = mapped_column(comment="since when nothing but failures")
    paused_until: Mapped[datetime | None] = mapped_column(comment="it asked to be left alone, or did not answer")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookApp(Base):
    """An app of the same developer whose events a service client may hear: the office says so.

    Members give permissions to apps, which have no tokens of their own; endpoints belong to services, which have no
    members.
    """

    __tablename__ = "webhook_app"

    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_client.id"), primary_key=True, comment="the service")
    app_id: Mapped[str] = mapped_column(ForeignKey("oauth_client.id"), primary_key=True)


class WebhookCursor(Base):
    """How far the issuer's transactions have become deliveries. Whoever holds this row's lock is the feed."""

    __tablename__ = "webhook_cursor"
    __table_args__ = (CheckConstraint("position >= 0", name="position_not_negative"),)

    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)


class WebhookEvent(Base):
    """Something that happened and is no transaction, until the feed makes deliveries of it."""

    __tablename__ = "webhook_event"
    __table_args__ = (
        CheckConstraint("(member_id IS NULL) = (subject IS NOT NULL)", name="one_subject"),
        CheckConstraint("member_id IS NOT NULL OR client_id IS NOT NULL", name="somebody_hears_it"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    type: Mapped[str]
    member_id: Mapped[UUID | None] = mapped_column(ForeignKey("member.id"), comment="its subject")
    subject: Mapped[UUID | None] = mapped_column(comment="what it is about, where that is no member")
    client_id: Mapped[str | None] = mapped_column(comment="the only client it concerns; null: whoever reads balances")
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class WebhookDelivery(Base):
    """One event for one endpoint. `seq` is the order; `id` is the webhook-id, the same at every try."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'delivered', 'given_up')", name="state"),
        CheckConstraint("(state = 'delivered') = (delivered_at IS NOT NULL)", name="delivered_at"),
        CheckConstraint("payload_sealed IS NOT NULL OR state = 'given_up'", name="payload_unless_given_up"),
        Index("ix_webhook_delivery_lane", "endpoint_id", "subject", "seq", postgresql_where=text("state = 'waiting'")),
        Index("ix_webhook_delivery_log", "endpoint_id", "seq"),
        Index("ix_webhook_delivery_log_by_state", "endpoint_id", "state", "seq"),
    )

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoint.id"))
    subject: Mapped[UUID] = mapped_column(comment="the member, else the shop, it is about")
    event_type: Mapped[str]
    grant_id: Mapped[UUID | None] = mapped_column(comment="the permission it is sent by, where there is no other right")
    payload_sealed: Mapped[bytes | None] = mapped_column(
        comment="the body as it is sent; null where the permission it needed ended before"
    )
    state: Mapped[str] = mapped_column(default="waiting", server_default="waiting")
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(comment="the class of the last failure")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]


class WebhookLane(Base):
    """What waits of one subject at one endpoint, while something does."""

    __tablename__ = "webhook_lane"
    __table_args__ = (Index(None, "endpoint_id", "due_at"),)

    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoint.id"), primary_key=True)
    subject: Mapped[UUID] = mapped_column(primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    due_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="when its first delivery is tried")
    leased_until: Mapped[datetime | None] = mapped_column(comment="a worker has it in hand")
    tries: Mapped[int] = mapped_column(Integer, server_default="0", comment="of its first delivery, in this round")
    leases: Mapped[int] = mapped_column(BigInteger, server_default="0", comment="the number of the last lease")


class WebhookAttempt(Base):
    """One try of a delivery: the delivery log. What was said both ways is sealed."""

    __tablename__ = "webhook_attempt"

    delivery_seq: Mapped[int] = mapped_column(ForeignKey("webhook_delivery.seq", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    status: Mapped[int | None] = mapped_column(Integer, comment="of the answer; null where there was none")
    error: Mapped[str | None] = mapped_column(comment="its class; null where it was delivered")
    duration_ms: Mapped[int] = mapped_column(Integer)
    exchange_sealed: Mapped[bytes] = mapped_column(comment="headers sent; headers and first bytes of the answer")
    started_at: Mapped[datetime]
