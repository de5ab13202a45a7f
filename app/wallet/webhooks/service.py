"""Endpoints of a client: made, changed, given a new secret, tested, deleted. Called inside `transaction()`.

Nobody is told of another client's endpoints: they are not found.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import current_app
from sqlalchemy import func, select

from app import clock
from app.db import session
from app.errors import NotFound
from app.issuer import current_issuer, in_production
from app.oauth import outbound, registry
from app.wallet.webhooks import feed, lanes, payloads, signing
from app.wallet.webhooks.errors import EndpointDisabled, TooManyEndpoints, UrlRefused
from app.wallet.webhooks.event_types import TEST
from app.wallet.webhooks.lanes import New
from app.wallet.webhooks.models import WebhookEndpoint

MAX_ENDPOINTS = 20
"""Of one client."""


def create(
    *, client_id: str, url: str, events: Sequence[str], description: str, contact_email: str
) -> tuple[WebhookEndpoint, str]:
    """Add an endpoint; returns it and its secret, which is shown this once.

    It hears of what happens from now on. Raises UrlRefused, TooManyEndpoints.
    """
    _check_url(url)
    registry.locked(client_id)  # two at once are counted one after the other
    count = select(func.count()).where(WebhookEndpoint.client_id == client_id, WebhookEndpoint.status != "deleted")
    if session().scalars(count).one() >= MAX_ENDPOINTS:
        raise TooManyEndpoints(max_endpoints=MAX_ENDPOINTS)
    feed.start()
    secret = signing.new_secret()
    endpoint = WebhookEndpoint(
        issuer_id=current_issuer().id,
        client_id=client_id,
        url=url,
        events=_in_order(events),
        description=description,
        contact_email=contact_email,
        secret_sealed=payloads.sealed(secret.encode()),
    )
    session().add(endpoint)
    session().flush()
    return endpoint, secret


def of_client(client_id: str) -> Sequence[WebhookEndpoint]:
    """A client's endpoints, the oldest first."""
    theirs = (WebhookEndpoint.client_id == client_id, WebhookEndpoint.status != "deleted")
    return session().scalars(select(WebhookEndpoint).where(*theirs).order_by(WebhookEndpoint.id)).all()


def one(endpoint_id: UUID, *, client_id: str, lock: bool = False) -> WebhookEndpoint:
    """One endpoint of a client. Raises NotFound."""
    how = {"key_share": True} if lock else None
    endpoint = session().get(WebhookEndpoint, endpoint_id, with_for_update=how, populate_existing=lock)
    if endpoint is None or endpoint.client_id != client_id or endpoint.status == "deleted":
        raise NotFound
    return endpoint


def change(endpoint_id: UUID, *, client_id: str, changes: Mapping[str, Any]) -> WebhookEndpoint:
    """Change some of url, events, description, contact_email and status (`active` or `disabled`).

    Made active again, what waits is sent at once. Raises NotFound, UrlRefused.
    """
    endpoint = one(endpoint_id, client_id=client_id, lock=True)
    if "url" in changes:
        _check_url(changes["url"])
        endpoint.url = changes["url"]
    if "events" in changes:
        endpoint.events = _in_order(changes["events"])
    for name in ("description", "contact_email"):
        if name in changes:
            setattr(endpoint, name, changes[name])
    if "status" in changes and changes["status"] != endpoint.status:
        _switch(endpoint, to=changes["status"])
    session().flush()
    return endpoint


def remove(endpoint_id: UUID, *, client_id: str) -> None:
    """Delete an endpoint: nothing more is sent, and what is kept of it goes with the next clean-up."""
    endpoint = one(endpoint_id, client_id=client_id, lock=True)
    endpoint.status, endpoint.disabled_reason = "deleted", None
    session().flush()


def rotate_secret(endpoint_id: UUID, *, client_id: str, overlap: timedelta) -> tuple[WebhookEndpoint, str]:
    """A new secret, shown this once. The one before it signs too for `overlap`; any older one is over."""
    endpoint = one(endpoint_id, client_id=client_id, lock=True)
    secret = signing.new_secret()
    endpoint.previous_sealed, endpoint.previous_until = None, None
    if overlap:
        endpoint.previous_sealed, endpoint.previous_until = endpoint.secret_sealed, clock.now() + overlap
    endpoint.secret_sealed = payloads.sealed(secret.encode())
    session().flush()
    return endpoint, secret


def send_test(endpoint_id: UUID, *, client_id: str) -> UUID:
    """Queue a test event for this endpoint; returns the delivery's id. Raises NotFound, EndpointDisabled."""
    endpoint = one(endpoint_id, client_id=client_id)
    if endpoint.status != "active":
        raise EndpointDisabled
    body = payloads.body(TEST, at=clock.now(), data={"endpoint_id": str(endpoint.id)})
    new = New(endpoint_id=endpoint.id, subject=endpoint.id, event_type=TEST, payload_sealed=payloads.sealed(body))
    return lanes.queue([new])[0]


def keys(endpoint: WebhookEndpoint) -> list[str]:
    """The secrets that sign for it now, the newest first."""
    kept = [endpoint.secret_sealed]
    if endpoint.previous_sealed is not None and overlap_ends_at(endpoint):
        kept.append(endpoint.previous_sealed)
    return [payloads.unsealed(each).decode() for each in kept]


def overlap_ends_at(endpoint: WebhookEndpoint) -> str | None:
    """Until when two secrets sign; None where one does."""
    until = endpoint.previous_until
    return until.isoformat() if until and until > clock.now() else None


def _switch(endpoint: WebhookEndpoint, *, to: str) -> None:
    endpoint.status, endpoint.disabled_reason = to, None if to == "active" else "asked"
    endpoint.failing_since = endpoint.paused_until = None
    session().flush()
    if to == "active":
        lanes.all_due(endpoint.id, anew=True)


def _check_url(url: str) -> None:
    """What can be said of it without looking its name up, which is done each time it is sent to. Raises UrlRefused."""
    if not in_production():
        return
    parts = urlsplit(url)
    if parts.scheme != "https" or not _may_be_public(str(parts.hostname)):
        raise UrlRefused(field="url")


def _may_be_public(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")
    return outbound.is_public(host, also=current_app.extensions["kumiai.settings"].webhook_networks)


def _in_order(events: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(events))
