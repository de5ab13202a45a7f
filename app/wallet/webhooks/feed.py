"""The feed: what happened becomes deliveries, each once.

The ledger's transactions are read by position, behind a cursor that moves in the same transaction that writes the
deliveries; so nothing is lost or doubled wherever it dies. One worker at a time is the feed: the one that holds the
cursor's row.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert

from app.db import session
from app.issuer import current_issuer
from app.wallet.models import IssuerHead, Request, Transaction, named
from app.wallet.webhooks import lanes, payloads
from app.wallet.webhooks.event_types import OF_KIND
from app.wallet.webhooks.lanes import New
from app.wallet.webhooks.listeners import Listeners, Right
from app.wallet.webhooks.models import WebhookCursor, WebhookEvent

BATCH = 500

# Whatever was thought of the tables when they were small: the ledger is read by its keys (see PLANS_BY_KEY).
_BY_KEY = text("""
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)
""")


def fan_out(*, batch: int = BATCH) -> int:
    """Make deliveries of what happened next; returns how much that was, 0 where another worker is at it.

    Events are read before the transactions, so that a transaction that came before an event is seen with it; who
    listens is read last, so that an endpoint that was there before a transaction is seen with it.
    """
    session().execute(_BY_KEY)
    start()
    cursor = _cursor()
    if cursor is None:
        return 0
    events = session().execute(_events(batch)).all()
    transactions = session().execute(_transactions(cursor, batch)).all()
    if not events and not transactions:
        return 0
    transactions, events = _up_to_the_same_moment(transactions, events, batch)
    lanes.queue(_deliveries(transactions, events))
    session().execute(delete(WebhookEvent).where(WebhookEvent.id.in_([event.id for event in events])))
    if transactions:
        session().execute(update(WebhookCursor).values(position=transactions[-1].position))
    return len(transactions) + len(events)


def start() -> None:
    """Let the cursor exist, at the end of the issuer's order: nobody listened to what came before."""
    issuer_id = current_issuer().id
    if session().get(WebhookCursor, issuer_id) is None:
        head = select(IssuerHead.position).where(IssuerHead.issuer_id == issuer_id)
        position = session().scalar(head) or 0
        statement = insert(WebhookCursor).values(issuer_id=issuer_id, position=position)
        session().execute(statement.on_conflict_do_nothing())


def _cursor() -> int | None:
    """The cursor's position, locked until the transaction ends; None where another worker holds it."""
    held = select(WebhookCursor.position).where(WebhookCursor.issuer_id == current_issuer().id)
    return session().scalar(held.with_for_update(skip_locked=True))


def _events(batch: int) -> Any:
    columns = (WebhookEvent.id, WebhookEvent.type, WebhookEvent.member_id, WebhookEvent.subject, WebhookEvent.client_id)
    return (
        select(*columns, WebhookEvent.data, WebhookEvent.created_at)
        .order_by(WebhookEvent.created_at, WebhookEvent.id)
        .limit(batch)
    )


def _transactions(after: int, batch: int) -> Any:
    columns = (
        *(Transaction.id, Transaction.position, Transaction.kind, Transaction.requester, Transaction.request_id),
        *(Transaction.member_id, Transaction.money_id, Transaction.shop_id, Transaction.amount_yen),
        *(Transaction.grant_id, Transaction.description, Transaction.extra.label("extra"), Transaction.reverses),
        *(Transaction.hold_id, Transaction.taken_at, Transaction.created_at, Request.answer),
    )
    return (
        select(*columns)
        .join(Request, named(Transaction))
        .where(Transaction.issuer_id == current_issuer().id, Transaction.position > after)
        .order_by(Transaction.position)
        .limit(batch)
    )


def _up_to_the_same_moment(
    transactions: Sequence[Row[Any]], events: Sequence[Row[Any]], batch: int
) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]]]:
    """Where there may be more of the one, nothing of the other that came after what was read of it."""
    ends = [read[-1].created_at for read in (transactions, events) if len(read) == batch]
    if not ends:
        return transactions, events
    return (
        [row for row in transactions if row.created_at <= min(ends)],
        [row for row in events if row.created_at <= min(ends)],
    )


def _deliveries(transactions: Sequence[Row[Any]], events: Sequence[Row[Any]]) -> Iterator[New]:
    listeners = Listeners.read()
    listeners.read_grants({row.member_id for row in (*transactions, *events) if row.member_id})
    told = [
        (((row.created_at, 0), _of_transaction(row, listeners)) for row in transactions),
        (((row.created_at, 1), _of_event(row, listeners)) for row in events),
    ]
    for _, news in heapq.merge(*told, key=lambda one: one[0]):
        yield from news


def _of_transaction(row: Row[Any], listeners: Listeners) -> Iterator[New]:
    event_type = OF_KIND.get(row.kind)
    if event_type is None:
        return
    for right in listeners.of_transaction(row, event_type=event_type):
        data = payloads.of_transaction(row, tell_member=right.tell_member, tell_balance=right.tell_balance)
        yield _new(right, event_type, row, subject=row.member_id or row.shop_id or row.id, data=data)


def _of_event(row: Row[Any], listeners: Listeners) -> Iterator[New]:
    if row.client_id:
        rights = listeners.of_client(row.client_id, event_type=row.type, at=row.created_at)
    else:
        rights = listeners.of_wallet(row.member_id, event_type=row.type, at=row.created_at)
    for right in rights:
        yield _new(right, row.type, row, subject=row.member_id or row.subject, data=row.data)


def _new(right: Right, event_type: str, row: Row[Any], *, subject: Any, data: Any) -> New:
    return New(
        endpoint_id=right.listener.id,
        subject=subject,
        event_type=event_type,
        payload_sealed=payloads.sealed(payloads.body(event_type, at=row.created_at, data=data)),
        grant_id=right.grant_id,
    )
