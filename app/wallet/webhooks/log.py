"""The delivery log of an endpoint: read page by page, and each delivery with its attempts; and sending again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import aliased

from app.db import session
from app.errors import NotFound
from app.wallet.webhooks import lanes, payloads, service
from app.wallet.webhooks.delivery import taken_back
from app.wallet.webhooks.errors import EndpointDisabled, PayloadGone
from app.wallet.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookLane

Shown = Mapping[str, Any]


def page(
    endpoint_id: UUID, *, client_id: str, state: str | None, limit: int, before: int | None
) -> tuple[list[Shown], int | None]:
    """One page of an endpoint's deliveries, newest first, and where to go on before (None at the end)."""
    service.one(endpoint_id, client_id=client_id)
    query = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    if before is not None:
        query = query.where(WebhookDelivery.seq < before)
    found = session().scalars(query.order_by(WebhookDelivery.seq.desc()).limit(limit + 1)).all()
    return [_shown(each) for each in found[:limit]], found[limit - 1].seq if len(found) > limit else None


def one(delivery_id: UUID, *, endpoint_id: UUID, client_id: str) -> Shown:
    """One delivery: what it says, when it is tried next, and each attempt. Raises NotFound."""
    service.one(endpoint_id, client_id=client_id)
    delivery = _delivery(delivery_id, endpoint_id=endpoint_id)
    attempts = select(WebhookAttempt).where(WebhookAttempt.delivery_seq == delivery.seq).order_by(WebhookAttempt.number)
    return {
        **_shown(delivery),
        "next_attempt_at": _next_attempt_at(delivery),
        "payload": _payload(delivery),
        "attempts": [_attempt(each) for each in session().scalars(attempts)],
    }


def resend(delivery_id: UUID, *, endpoint_id: UUID, client_id: str) -> Shown:
    """Send a delivery (again) as soon as may be, under the same webhook-id and in its place in the order.

    One that waits is tried now. Raises NotFound, EndpointDisabled, PayloadGone.
    """
    endpoint = service.one(endpoint_id, client_id=client_id)
    if endpoint.status != "active":
        raise EndpointDisabled
    delivery = _delivery(delivery_id, endpoint_id=endpoint_id)
    lanes.open_all([(endpoint_id, delivery.subject)])
    delivery = _delivery(delivery_id, endpoint_id=endpoint_id)  # as whoever held the lane left it
    if delivery.payload_sealed is None:
        raise PayloadGone
    delivery.state, delivery.delivered_at = "waiting", None
    session().flush()
    lanes.due_now(endpoint_id, delivery.subject)
    return _shown(delivery)


def _delivery(delivery_id: UUID, *, endpoint_id: UUID) -> WebhookDelivery:
    theirs = (WebhookDelivery.id == delivery_id, WebhookDelivery.endpoint_id == endpoint_id)
    fresh = {"populate_existing": True}
    delivery = session().scalar(select(WebhookDelivery).where(*theirs), execution_options=fresh)
    if delivery is None:
        raise NotFound
    return delivery


def _payload(delivery: WebhookDelivery) -> str | None:
    """What it says; None where it was not delivered before the permission it needed ended."""
    if delivery.payload_sealed is None or (delivery.state != "delivered" and taken_back(delivery)):
        return None
    return payloads.unsealed(delivery.payload_sealed).decode()


def _next_attempt_at(delivery: WebhookDelivery) -> Any:
    """When it is tried next; None where it does not wait, or behind an earlier one of its subject."""
    earlier = aliased(WebhookDelivery)
    behind = exists().where(
        earlier.endpoint_id == delivery.endpoint_id,
        earlier.subject == delivery.subject,
        earlier.state == "waiting",
        earlier.seq < delivery.seq,
    )
    lane = (WebhookLane.endpoint_id == delivery.endpoint_id, WebhookLane.subject == delivery.subject)
    if delivery.state != "waiting":
        return None
    due_at = session().scalar(select(WebhookLane.due_at).where(*lane, ~behind))
    return due_at.isoformat() if due_at else None


def _shown(delivery: WebhookDelivery) -> Shown:
    return {
        "id": str(delivery.id),
        "event_type": delivery.event_type,
        "state": delivery.state,
        "attempt_count": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "created_at": delivery.created_at.isoformat(),
        "delivered_at": delivery.delivered_at.isoformat() if delivery.delivered_at else None,
    }


def _attempt(attempt: WebhookAttempt) -> Shown:
    said = json.loads(payloads.unsealed(attempt.exchange_sealed))
    return {
        "number": attempt.number,
        "started_at": attempt.started_at.isoformat(),
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "error": attempt.error,
        **said,
    }
