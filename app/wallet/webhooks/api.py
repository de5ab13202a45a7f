"""The webhook API: endpoints of a service, and their delivery log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Response

from app.db import transaction
from app.oauth.protector import Bearer, current_access
from app.wallet import examples, page_query, search
from app.wallet.webhooks import log, service
from app.wallet.webhooks.models import WebhookEndpoint
from app.wallet.webhooks.schemas import (
    DeliveriesQuery,
    DeliveriesView,
    DeliveryLogView,
    DeliveryView,
    EndpointBody,
    EndpointChange,
    EndpointsView,
    EndpointView,
    EndpointWithSecretView,
    QueuedView,
    RotateBody,
)
from app.web.arguments import Blueprint
from app.web.protection import protected_by

blueprint = Blueprint(
    "webhooks",
    __name__,
    url_prefix="/v1/webhook-endpoints",
    description="Webhooks (Standard Webhooks): a service hears of what happens, at least once, in order per member.",
)


@blueprint.post("")
@blueprint.arguments(EndpointBody())
@blueprint.response(201, EndpointWithSecretView())
@protected_by(Bearer("webhook"))
def create(body: Mapping[str, Any]) -> dict[str, Any]:
    """Add an endpoint

    It hears of what happens from now on: what this client, and the apps the office connected with it, asked for; what
    happens at its shops, with the scope `shop:read`; what members let those apps read (`history`, `balance`). Answer
    with a 2xx within ten seconds. Verify the signature with a library for Standard Webhooks, and remember `webhook-id`:
    the same webhook may come twice.
    """
    with transaction():
        endpoint, secret = service.create(client_id=current_access().client_id, **body)
        return {**_shown(endpoint), "secret": secret}


@blueprint.get("")
@blueprint.response(200, EndpointsView())
@protected_by(Bearer("webhook"))
def endpoints() -> dict[str, Any]:
    """This client's endpoints"""
    with transaction():
        return {"endpoints": [_shown(each) for each in service.of_client(current_access().client_id)]}


@blueprint.get("/<uuid:endpoint_id>")
@blueprint.response(200, EndpointView())
@protected_by(Bearer("webhook"))
def endpoint(endpoint_id: UUID) -> dict[str, Any]:
    """One endpoint"""
    with transaction():
        return _shown(service.one(endpoint_id, client_id=current_access().client_id))


@blueprint.patch("/<uuid:endpoint_id>")
@blueprint.arguments(EndpointChange())
@blueprint.response(200, EndpointView())
@protected_by(Bearer("webhook"))
def change(body: Mapping[str, Any], endpoint_id: UUID) -> dict[str, Any]:
    """Change an endpoint, stop it, or let it go on"""
    with transaction():
        return _shown(service.change(endpoint_id, client_id=current_access().client_id, changes=body))


@blueprint.delete("/<uuid:endpoint_id>")
@blueprint.response(204)
@protected_by(Bearer("webhook"))
def remove(endpoint_id: UUID) -> Response:
    """Delete an endpoint, with its delivery log"""
    with transaction():
        service.remove(endpoint_id, client_id=current_access().client_id)
    return Response(status=204)


@blueprint.post("/<uuid:endpoint_id>/rotate-secret")
@blueprint.arguments(RotateBody())
@blueprint.response(200, EndpointWithSecretView(), example=examples.ROTATED)
@protected_by(Bearer("webhook"))
def rotate_secret(body: Mapping[str, Any], endpoint_id: UUID) -> dict[str, Any]:
    """A new signing secret

    For a day, or `overlap_s`, the one before it signs too: put the new one in place meanwhile. A third ends at once.
    """
    with transaction():
        overlap = timedelta(seconds=body["overlap_s"])
        changed, secret = service.rotate_secret(endpoint_id, client_id=current_access().client_id, overlap=overlap)
        return {**_shown(changed), "secret": secret}


@blueprint.post("/<uuid:endpoint_id>/test")
@blueprint.response(202, QueuedView())
@protected_by(Bearer("webhook"))
def send_test(endpoint_id: UUID) -> dict[str, str]:
    """Send a test event, `webhook.test`"""
    with transaction():
        queued = service.send_test(endpoint_id, client_id=current_access().client_id)
    return {"delivery_id": str(queued)}


@blueprint.get("/<uuid:endpoint_id>/deliveries")
@blueprint.arguments(DeliveriesQuery(), location="query")
@blueprint.response(200, DeliveriesView())
@protected_by(Bearer("webhook"))
def deliveries(query: Mapping[str, Any], endpoint_id: UUID) -> dict[str, Any]:
    """An endpoint's deliveries of the last 30 days, newest first"""
    with transaction():
        page, before = log.page(
            endpoint_id,
            client_id=current_access().client_id,
            state=query["state"],
            limit=query["limit"],
            before=page_query.before(query),
        )
    return {"deliveries": page, "next_cursor": search.encode_cursor(before) if before else None}


@blueprint.get("/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>")
@blueprint.response(200, DeliveryLogView())
@protected_by(Bearer("webhook"))
def delivery(endpoint_id: UUID, delivery_id: UUID) -> Mapping[str, Any]:
    """One delivery: what it says, and each attempt with what came back"""
    with transaction():
        return log.one(delivery_id, endpoint_id=endpoint_id, client_id=current_access().client_id)


@blueprint.post("/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>/resend")
@blueprint.response(202, DeliveryView(), example=examples.RESENT)
@protected_by(Bearer("webhook"))
def resend(endpoint_id: UUID, delivery_id: UUID) -> Mapping[str, Any]:
    """Send a delivery again, or one that waits now

    The webhook-id stays, so a receiver that had it knows it again. Later events of the same member wait for it.
    """
    with transaction():
        return log.resend(delivery_id, endpoint_id=endpoint_id, client_id=current_access().client_id)


def _shown(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": str(endpoint.id),
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description,
        "contact_email": endpoint.contact_email,
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": endpoint.failing_since.isoformat() if endpoint.failing_since else None,
        "previous_secret_until": service.overlap_ends_at(endpoint),
        "created_at": endpoint.created_at.isoformat(),
    }
