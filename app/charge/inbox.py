"""The gateway's events: verified, kept, and followed by a look-up. An event is never believed beyond that."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.charge import crediting
from app.charge.errors import EventNotAccepted
from app.charge.gateways.current import current_gateway
from app.charge.models import ChargeEvent
from app.charge.ports import Event, EventRefused, Gateway, GatewayRefused, GatewayUnavailable
from app.db import session, transaction
from app.errors import DomainError, NotFound
from app.issuer import current_issuer

log = logging.getLogger("kumiai.charge")

COME_AGAIN = (GatewayUnavailable, GatewayRefused, DomainError, SQLAlchemyError)
"""What may stand in the way now. The worker comes again."""


def take(name: str, *, headers: Mapping[str, str], body: bytes) -> None:
    """Keep an event, and follow it at once where that is possible. Raises NotFound, EventNotAccepted."""
    gateway = current_gateway()
    if name != gateway.name:
        raise NotFound
    try:
        event = gateway.parse_event(headers, body)
    except EventRefused:
        raise EventNotAccepted from None
    if event.ref is None:
        return
    with transaction():
        is_open = _keep(gateway, event, event.ref)
    if is_open:
        follow(gateway, event_id=event.id, ref=event.ref)


def follow(gateway: Gateway, *, event_id: str, ref: str) -> bool:
    """Look up what an event is about. Returns whether that was done."""
    try:
        crediting.settle(gateway, ref)
    except COME_AGAIN as error:
        log.warning("a payment could not be looked up (%s); the worker comes again", type(error).__name__)
        return False
    with transaction():
        this = (ChargeEvent.gateway == gateway.name, ChargeEvent.id == event_id)
        session().execute(update(ChargeEvent).where(*this).values(done_at=clock.now()))
    return True


def _keep(gateway: Gateway, event: Event, ref: str) -> bool:
    """Returns whether it is still to be followed."""
    values = {
        "gateway": gateway.name,
        "id": event.id[:200],
        "issuer_id": current_issuer().id,
        "kind": event.kind[:100],
        "ref": ref[:200],
    }
    session().execute(insert(ChargeEvent).values(values).on_conflict_do_nothing())
    this = (ChargeEvent.gateway == gateway.name, ChargeEvent.id == values["id"], ChargeEvent.done_at.is_(None))
    return session().scalar(select(ChargeEvent.id).where(*this)) is not None
