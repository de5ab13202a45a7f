"""The part of `kumiai worker` that looks after charges: what no webhook told, what died half-way, what comes due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text

from app import clock
from app.charge import crediting, inbox, notices, orders
from app.charge.errors import ChargesClosed
from app.charge.gateways.current import current_gateway
from app.charge.models import ChargeEvent, ChargeOrder, ChargeReceived
from app.charge.ports import Gateway
from app.db import session, transaction, worker_connection
from app.issuer import current_issuer, issuer_zone
from app.watch import Watch

_ONE_AT_A_TIME = "hashtext('kumiai charges')"
_PAGE = 200
REMIND_FROM_HOUR = 9
"""A reminder leaves in the morning of the day before the last."""


class Charges(Watch):
    """One of as many as you like: while one is at it, the others let it work."""

    log = logging.getLogger("kumiai.charge")

    def look(self) -> None:
        """Do what is due. What cannot be done now is left for the next time, and holds nothing else up."""
        with self.app.app_context(), _alone(self.settings.database_url) as mine:
            if not mine:
                return
            current_issuer()
            try:
                gateway = current_gateway()
            except ChargesClosed:
                return
            self.poll(gateway)

    def poll(self, gateway: Gateway) -> None:
        for step in (_events, _received, _orders, _reminders):
            for what in step(gateway):
                if self.stopping.is_set():
                    return
                self._try(what)

    def _try(self, what: Callable[[], object]) -> None:
        try:
            what()
        except inbox.COME_AGAIN as error:
            self.log.warning("a charge could not be looked after (%s); later again", type(error).__name__)


@contextmanager
def _alone(database_url: str) -> Iterator[bool]:
    """Whether no other worker is at it, for the length of the block."""
    with worker_connection(database_url, name="charges") as connection:
        row = connection.execute(f"SELECT pg_try_advisory_lock({_ONE_AT_A_TIME})").fetchone()
        yield bool(row and row[0])


def _events(gateway: Gateway) -> Iterator[Callable[[], object]]:
    """Events that were kept and not followed."""
    query = (
        select(ChargeEvent.id, ChargeEvent.ref)
        .where(ChargeEvent.gateway == gateway.name, ChargeEvent.done_at.is_(None))
        .order_by(ChargeEvent.received_at)
        .limit(_PAGE)
    )
    for event_id, ref in _rows(query):
        yield partial(inbox.follow, gateway, event_id=event_id, ref=ref)


def _received(gateway: Gateway) -> Iterator[Callable[[], object]]:
    """Money that was recorded and neither credited nor put on suspense."""
    waiting = (ChargeReceived.state == "waiting", ChargeReceived.gateway == gateway.name)
    query = select(ChargeReceived.id).where(*waiting).order_by(ChargeReceived.created_at).limit(_PAGE)
    for (received_id,) in _rows(query):
        key = crediting.Key(gateway=gateway.name, id=received_id)
        yield partial(crediting.credit, key)


def _orders(gateway: Gateway) -> Iterator[Callable[[], object]]:
    """Orders that nobody has told of: not started, or to be looked up."""
    due = (ChargeOrder.due_at <= func.clock_timestamp(), ChargeOrder.gateway == gateway.name)
    columns = (ChargeOrder.id, ChargeOrder.gateway_ref)
    for order_id, ref in _rows(select(*columns).where(*due).order_by(ChargeOrder.due_at).limit(_PAGE)):
        yield partial(_look, gateway, order_id, ref)


def _look(gateway: Gateway, order_id: UUID, ref: str | None) -> None:
    with transaction():  # first, so that one that always fails does not come first for ever
        order = session().get(ChargeOrder, order_id, with_for_update=True)
        assert order is not None
        order.due_at = clock.now() + timedelta(seconds=60)
        is_over = order.state == "pending" and order.pay_until is not None and clock.now() > order.pay_until
    if ref is None:
        orders.start(order_id)
        return
    crediting.settle(gateway, ref)
    if is_over:  # it says that it can still be paid: nobody shall
        gateway.cancel(ref)
        crediting.settle(gateway, ref)


def _reminders(gateway: Gateway) -> Iterator[Callable[[], object]]:
    """Slips whose last day is tomorrow."""
    now = clock.now().astimezone(issuer_zone())
    if now.hour < REMIND_FROM_HOUR:
        return
    tomorrow_ends = (now + timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)
    open_slips = (
        ChargeOrder.state == "pending",
        ChargeOrder.method == "konbini",
        ChargeOrder.reminded_at.is_(None),
        ChargeOrder.pay_until < tomorrow_ends,
        ChargeOrder.pay_until > now,
    )
    for (order_id,) in _rows(select(ChargeOrder.id).where(*open_slips).limit(_PAGE)):
        yield partial(_remind, order_id)


def _remind(order_id: UUID) -> None:
    with transaction():
        order = session().get(ChargeOrder, order_id, with_for_update=True)
        assert order is not None
        if order.state == "pending" and order.reminded_at is None:
            order.reminded_at = clock.now()
            notices.reminder(order)


def _rows(query: Any) -> list[Any]:
    with transaction():
        session().execute(text("SET LOCAL enable_seqscan = off"))
        return list(session().execute(query))
