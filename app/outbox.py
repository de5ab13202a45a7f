"""The outbox: what must leave the server is written in the transaction that causes it.

That is mail, SMS, word of a sign-out to clients, later webhooks. `emit` is called by services inside
`transaction()`; `kumiai worker` leases rows with FOR UPDATE SKIP LOCKED, delivers them, and blanks the payload.
Payloads are sealed: they hold addresses and six-digit codes. Money is not in here; the ledger's own transactions,
read by position, are the outbox for money.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, session
from app.ids import new_id
from app.seal import seal

CHANNEL = "kumiai_outbox"
"""The PostgreSQL NOTIFY channel that wakes the workers."""


class Outbox(Base):
    """One thing to deliver. `payload_sealed` is blanked once it is delivered or given up."""

    __tablename__ = "outbox"
    __table_args__ = (
        CheckConstraint("topic IN ('mail', 'sms', 'logout', 'password_reset')", name="topic"),
        CheckConstraint("state IN ('waiting', 'delivered', 'given_up')", name="state"),
        CheckConstraint("(state = 'waiting') = (payload_sealed IS NOT NULL)", name="payload_only_while_waiting"),
        Index("ix_outbox_due", "due_at", postgresql_where=text("state = 'waiting'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    topic: Mapped[str]
    state: Mapped[str] = mapped_column(default="waiting", server_default="waiting")
    payload_sealed: Mapped[bytes | None]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(comment="past this it is no use delivering (a code)")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_error: Mapped[str | None] = mapped_column(comment="the class of the last failure; never its content")


def emit(topic: str, payload: dict[str, Any], *, expires_at: datetime | None = None) -> None:
    """Queue `payload` for delivery with the surrounding transaction, and wake a worker at its commit."""
    key: bytes = current_app.extensions["kumiai.settings"].sealing_key
    sealed = seal(key, json.dumps(payload, ensure_ascii=False).encode())
    session().add(Outbox(topic=topic, payload_sealed=sealed, expires_at=expires_at))
    session().execute(func.pg_notify(CHANNEL, topic).select())
