"""One delivery: what is to be sent is read, it is sent, and what came of it is written down.

Nothing is locked while it is sent. A worker that dies there leaves a lease that runs out, and the same is sent again
under the same webhook-id: at least once.
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from app import clock
from app.db import session
from app.oauth import outbound
from app.oauth.models import OAuthGrant
from app.oauth.outbound import Answer
from app.settings import Settings
from app.wallet.webhooks import backoff, health, lanes, payloads, service, signing
from app.wallet.webhooks.lanes import Lane
from app.wallet.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint

PATIENCE_S = 10.0
"""How long an answer is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """The first delivery of a lane, ready to be sent. `keys` sign it, the newest first."""

    lane: Lane
    id: UUID
    seq: int
    url: str
    body: str = field(repr=False)
    keys: list[str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of sending it."""

    started_at: datetime
    duration_ms: int
    sent: dict[str, str]
    answer: Answer | None
    error: str | None
    """The class of what went wrong; None: delivered."""

    @property
    def status(self) -> int | None:
        return self.answer.status if self.answer else None


def take(lane: Lane) -> Parcel | None:
    """The first of a leased lane; None where there is nothing of it to send. In a transaction of its own."""
    endpoint = session().get_one(WebhookEndpoint, lane.endpoint_id)
    first = session().scalar(_first(lane))
    if first is None or first.payload_sealed is None or lane.tries > backoff.MAX_TRIES or taken_back(first):
        _pass_over(lane, first)
        return None
    return Parcel(
        lane=lane,
        id=first.id,
        seq=first.seq,
        url=endpoint.url,
        body=payloads.unsealed(first.payload_sealed).decode(),
        keys=service.keys(endpoint),
    )


def send(parcel: Parcel, *, settings: Settings) -> Result:
    """Send it. Never raises: whatever goes wrong is the result."""
    now, began_s = clock.now(), time.monotonic()
    headers = signing.headers(message_id=parcel.id, at=now, body=parcel.body, keys=parcel.keys)
    answer, error = None, None
    try:
        answer = outbound.post(
            parcel.url,
            parcel.body.encode(),
            headers=headers,
            public_only=settings.production,
            also=settings.webhook_networks,
            patience_s=PATIENCE_S,
        )
        error = None if 200 <= answer.status < 300 else "NotTaken"
    except (outbound.AddressNotPublic, OSError, http.client.HTTPException, ValueError) as failure:
        error = type(failure).__name__
    duration_ms = round((time.monotonic() - began_s) * 1_000)
    return Result(started_at=now, duration_ms=duration_ms, sent=headers, answer=answer, error=error)


def record(parcel: Parcel, result: Result) -> bool:
    """Write down what came of it, and what happens next. In a transaction of its own.

    True where the endpoint is back from an outage: what waits there need not wait as long as it would.
    """
    lane = parcel.lane
    endpoint = session().get_one(WebhookEndpoint, lane.endpoint_id, with_for_update={"key_share": True})
    if not lanes.hold(lane):  # it took so long that the lane is another worker's now: that one will say
        return False
    _log(parcel, result)
    if result.error is None:
        recovered = health.worked(endpoint)
        _finish(parcel, state="delivered", error=None)
        return recovered
    health.failed(endpoint, status=result.status, headers=result.answer.headers if result.answer else {})
    delay = backoff.delay(lane.tries)
    if delay is None:
        _finish(parcel, state="given_up", error=result.error)
    else:
        lanes.later(lane, delay)
    return False


def _first(lane: Lane) -> Any:
    waiting = (WebhookDelivery.state == "waiting", WebhookDelivery.endpoint_id == lane.endpoint_id)
    theirs = select(WebhookDelivery).where(*waiting, WebhookDelivery.subject == lane.subject)
    return theirs.order_by(WebhookDelivery.seq).limit(1)


def taken_back(delivery: WebhookDelivery) -> bool:
    """Whether the member took the permission back by which alone this may be told."""
    if delivery.grant_id is None:
        return False
    living = select(OAuthGrant.id).where(OAuthGrant.id == delivery.grant_id, OAuthGrant.revoked_at.is_(None))
    return session().scalar(living) is None


def _pass_over(lane: Lane, first: WebhookDelivery | None) -> None:
    """Go on without sending: its permission is gone, each of its workers died, or nothing waits any more."""
    if not lanes.hold(lane):
        return
    if first is not None:
        first.state, first.last_error = "given_up", "WorkerDied"
        if taken_back(first):
            first.last_error, first.payload_sealed = "PermissionRevoked", None
        session().flush()
    lanes.go_on(lane.endpoint_id, lane.subject)


def _finish(parcel: Parcel, *, state: str, error: str | None) -> None:
    values = {"state": state, "last_error": error, "delivered_at": clock.now() if state == "delivered" else None}
    session().execute(update(WebhookDelivery).where(WebhookDelivery.seq == parcel.seq).values(**values))
    lanes.go_on(parcel.lane.endpoint_id, parcel.lane.subject)


def _log(parcel: Parcel, result: Result) -> None:
    """One attempt more in the delivery's log."""
    counted = (
        update(WebhookDelivery)
        .where(WebhookDelivery.seq == parcel.seq)
        .values(attempts=WebhookDelivery.attempts + 1, last_status=result.status, last_error=result.error)
        .returning(WebhookDelivery.attempts, WebhookDelivery.issuer_id)
    )
    number, issuer_id = session().execute(counted).one()
    session().add(
        WebhookAttempt(
            delivery_seq=parcel.seq,
            number=number,
            issuer_id=issuer_id,
            status=result.status,
            error=result.error,
            duration_ms=result.duration_ms,
            exchange_sealed=payloads.sealed(_exchange(parcel, result)),
            started_at=result.started_at,
        )
    )
    session().flush()


def _exchange(parcel: Parcel, result: Result) -> bytes:
    answer = result.answer
    said = {
        "url": parcel.url,
        "request_headers": result.sent,
        "response_headers": answer.headers if answer else None,
        "response_body": answer.body.decode(errors="replace").replace("\0", "\ufffd") if answer else None,
    }
    return json.dumps(said, ensure_ascii=False).encode(errors="replace")
