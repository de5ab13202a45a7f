"""Lanes: what waits of one subject at one endpoint, in order. Everything that takes or lengthens a queue is here.

A lease is a due time moved ahead (app/messaging/leases.py says why). Whoever changes what waits in a lane holds the
lane's row, so that a delivery is never added to a lane at the moment its last one was found to be gone.
Locks come in this order: endpoint, lane (by endpoint and subject), delivery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import insert, text

from app.db import session
from app.ids import new_id
from app.issuer import current_issuer
from app.wallet.webhooks.models import WebhookDelivery

LEASE = timedelta(minutes=3)
"""Longer than looking an address up, connecting to it and waiting for its answer can take."""

# At most one lane of each endpoint at a time, so that one with very much to send is not in the others' way.
_LEASE = """
    WITH due AS (
        SELECT lane.endpoint_id, lane.subject
          FROM webhook_endpoint endpoint
          JOIN oauth_client client ON client.id = endpoint.client_id
         CROSS JOIN LATERAL (
               SELECT endpoint_id, subject, due_at FROM webhook_lane
                WHERE endpoint_id = endpoint.id AND due_at <= now()
                ORDER BY due_at FOR UPDATE SKIP LOCKED LIMIT 1) lane
         WHERE endpoint.status = 'active' AND (endpoint.paused_until IS NULL OR endpoint.paused_until <= now())
           AND client.status = 'active' AND 'webhook' = ANY(client.scopes)
           AND endpoint.id <> ALL(%(busy)s::uuid[])
         ORDER BY lane.due_at LIMIT %(room)s
    )
    UPDATE webhook_lane lane
       SET due_at = now() + %(lease)s, leased_until = now() + %(lease)s, tries = tries + 1, leases = leases + 1
      FROM due WHERE lane.endpoint_id = due.endpoint_id AND lane.subject = due.subject
    RETURNING lane.endpoint_id, lane.subject, lane.leases AS number, lane.tries
"""

# The row is locked also where it is there already.
_OPEN = text("""
    INSERT INTO webhook_lane (endpoint_id, subject, issuer_id) VALUES (:endpoint_id, :subject, :issuer_id)
    ON CONFLICT (endpoint_id, subject) DO UPDATE SET subject = excluded.subject
""")
_HOLD = text("""
    SELECT 1 FROM webhook_lane WHERE endpoint_id = :endpoint_id AND subject = :subject AND leases = :number FOR UPDATE
""")
_LATER = text("""
    UPDATE webhook_lane SET due_at = now() + :delay, leased_until = NULL
     WHERE endpoint_id = :endpoint_id AND subject = :subject
""")
_GO_ON = text("""
    UPDATE webhook_lane SET due_at = now(), leased_until = NULL, tries = 0
     WHERE endpoint_id = :endpoint_id AND subject = :subject AND EXISTS (
           SELECT FROM webhook_delivery
            WHERE endpoint_id = :endpoint_id AND subject = :subject AND state = 'waiting')
""")
_CLOSE = text("DELETE FROM webhook_lane WHERE endpoint_id = :endpoint_id AND subject = :subject")
# One in a worker's hands is left to it: it goes on by itself.
_DUE_NOW = text("""
    UPDATE webhook_lane SET due_at = now(), tries = 0
     WHERE endpoint_id = :endpoint_id AND subject = :subject AND (leased_until IS NULL OR leased_until <= now())
""")
_ALL_DUE = text("""
    WITH held AS (
        SELECT endpoint_id, subject FROM webhook_lane
         WHERE endpoint_id = :endpoint_id AND (leased_until IS NULL OR leased_until <= now())
         ORDER BY subject FOR UPDATE)
    UPDATE webhook_lane lane SET due_at = least(due_at, now()), tries = CASE WHEN :anew THEN 0 ELSE tries END
      FROM held WHERE lane.endpoint_id = held.endpoint_id AND lane.subject = held.subject
""")


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane in this worker's hands: nobody else sends of it until the lease is over."""

    endpoint_id: UUID
    subject: UUID
    number: int
    tries: int

    @property
    def key(self) -> dict[str, UUID]:
        return {"endpoint_id": self.endpoint_id, "subject": self.subject}


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """A delivery to be queued."""

    endpoint_id: UUID
    subject: UUID
    event_type: str
    payload_sealed: bytes
    grant_id: UUID | None = None


def lease(connection: Connection[Any], *, room: int, busy: Sequence[UUID]) -> list[Lane]:
    """Take the lanes that have waited longest, at most `room` and one of each endpoint that is not `busy`."""
    with connection.cursor(row_factory=class_row(Lane)) as cursor:
        return cursor.execute(_LEASE, {"lease": LEASE, "room": room, "busy": list(busy)}).fetchall()


def queue(news: Iterable[New]) -> list[UUID]:
    """Queue deliveries, in this order, with the surrounding transaction; returns their ids."""
    issuer_id = current_issuer().id
    rows: list[dict[str, Any]] = [
        {
            "id": new_id(),
            "issuer_id": issuer_id,
            "endpoint_id": new.endpoint_id,
            "subject": new.subject,
            "event_type": new.event_type,
            "grant_id": new.grant_id,
            "payload_sealed": new.payload_sealed,
        }
        for new in news
    ]
    if rows:
        open_all({(row["endpoint_id"], row["subject"]) for row in rows})
        session().execute(insert(WebhookDelivery), rows)
    return [row["id"] for row in rows]


def open_all(lanes: Iterable[tuple[UUID, UUID]]) -> None:
    """Hold these lanes' rows, by endpoint and subject; those that are not there are made, due now."""
    issuer_id = current_issuer().id
    rows = [{"endpoint_id": one, "subject": subject, "issuer_id": issuer_id} for one, subject in sorted(lanes)]
    session().execute(_OPEN, rows)


def hold(lane: Lane) -> bool:
    """Hold the lane's row. False where the lease was outlived: the lane is another's now, or is gone."""
    return session().execute(_HOLD, {**lane.key, "number": lane.number}).one_or_none() is not None


def later(lane: Lane, delay: timedelta) -> None:
    """Try the first of the (held) lane again after `delay`."""
    session().execute(_LATER, {**lane.key, "delay": delay})


def go_on(endpoint_id: UUID, subject: UUID) -> None:
    """Whatever is the first of the (held) lane now is due; where nothing waits any more the lane ends."""
    key = {"endpoint_id": endpoint_id, "subject": subject}
    if session().execute(_GO_ON, key).rowcount == 0:  # type: ignore[attr-defined]  # a CursorResult
        session().execute(_CLOSE, key)


def due_now(endpoint_id: UUID, subject: UUID) -> None:
    """The first of the (held) lane is due now, and has all its tries before it."""
    session().execute(_DUE_NOW, {"endpoint_id": endpoint_id, "subject": subject})


def all_due(endpoint_id: UUID, *, anew: bool = False) -> None:
    """What waits at an endpoint is due now, all of it; `anew`: with all its tries before it."""
    session().execute(_ALL_DUE, {"endpoint_id": endpoint_id, "anew": anew})
