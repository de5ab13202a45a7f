"""Webhooks: what is told of a payment, kept until the merchant's server took it. An event has one id for ever."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from standardwebhooks import Webhook

from app.charge.sandbox import faults

BACK_OFF_S = (0.5, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600)
GIVE_UP_AFTER_S = 3 * 86_400
_REVERSED_WITHIN_S = 60.0
"""An event that waits for the one after it goes out by itself after this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """One event and how far its delivery is. `copies` are the deliveries still to be made."""

    seq: int
    id: str
    payment_id: str
    kind: str
    body: str
    created_at: float
    due_at: float
    state: str
    copies: int
    backwards: int
    tries: int
    leased: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver."""

    seq: int
    event_id: str
    url: str
    started_at: float
    duration_ms: int
    status: int | None
    error: str | None


def emit(db: sqlite3.Connection, kind: str, *, payment_id: str, order_id: str) -> StoredEvent:
    """Tell of something. What a fault says of webhooks happens to it."""
    now = time.time()
    id_ = f"evt_{secrets.token_hex(12)}"
    data = {"payment_id": payment_id, "order_id": order_id}
    created_at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    body = json.dumps({"id": id_, "type": kind, "created_at": created_at, "data": data})
    fault = faults.take(db, faults.WEBHOOK, payment_id=payment_id, order_id=order_id)
    wrong = fault.kind if fault else ""
    due_at = now + (fault.lasts_s if fault and wrong == "webhook_late" else 0)
    if wrong == "webhook_out_of_order":
        due_at = now + _REVERSED_WITHIN_S
    added = db.execute(
        "INSERT INTO event (id, payment_id, kind, body, created_at, due_at, state, copies, backwards)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        (
            id_,
            payment_id,
            kind,
            body,
            now,
            due_at,
            "withheld" if wrong == "webhook_never" else "waiting",
            2 if wrong == "webhook_twice" else 1,
            wrong == "webhook_out_of_order",
        ),
    )
    return StoredEvent(**added.fetchone())


def take_due(db: sqlite3.Connection) -> StoredEvent | None:
    """Lease the first event whose time has come; nobody else gets it until `record`."""
    row = db.execute(
        "UPDATE event SET leased = 1 WHERE seq = (SELECT seq FROM event WHERE state = 'waiting' AND leased = 0"
        " AND due_at <= ? ORDER BY due_at, seq LIMIT 1) RETURNING *",
        (time.time(),),
    ).fetchone()
    return StoredEvent(**row) if row else None


def next_due_at(db: sqlite3.Connection) -> float | None:
    due_at: float | None = db.execute(
        "SELECT min(due_at) FROM event WHERE state = 'waiting' AND leased = 0"
    ).fetchone()[0]
    return due_at


def record(
    db: sqlite3.Connection,
    event: StoredEvent,
    *,
    url: str,
    started_at: float,
    duration_ms: int,
    status: int | None,
    error: str | None,
) -> None:
    """Write down what came of a try, and what happens next."""
    db.execute(
        "INSERT INTO attempt (event_id, url, started_at, duration_ms, status, error) VALUES (?, ?, ?, ?, ?, ?)",
        (event.id, url, started_at, duration_ms, status, error),
    )
    if status is not None and 200 <= status < 300:
        _delivered(db, event)
    else:
        _again(db, event)


def _delivered(db: sqlite3.Connection, event: StoredEvent) -> None:
    now = time.time()
    db.execute(
        "UPDATE event SET leased = 0, tries = 0, due_at = ?, copies = max(copies - 1, 0),"
        " state = iif(copies <= 1, 'delivered', 'waiting') WHERE seq = ?",
        (now, event.seq),
    )
    db.execute(
        "UPDATE event SET due_at = ?, backwards = 0 WHERE payment_id = ? AND seq < ? AND backwards",
        (now, event.payment_id, event.seq),
    )


def _again(db: sqlite3.Connection, event: StoredEvent) -> None:
    given_up = time.time() - event.created_at > GIVE_UP_AFTER_S
    delay_s = BACK_OFF_S[min(event.tries, len(BACK_OFF_S) - 1)]
    db.execute(
        "UPDATE event SET leased = 0, tries = tries + 1, due_at = ?,"
        " state = iif(? AND state = 'waiting', 'given_up', state) WHERE seq = ?",  # withheld meanwhile: stays so
        (time.time() + delay_s, given_up, event.seq),
    )


def send_now(db: sqlite3.Connection, id_: str | None = None) -> int:
    """Have one event sent once more, whatever became of it; without `id_` all that wait. How many that is."""
    if id_ is None:
        found = db.execute("UPDATE event SET due_at = ? WHERE state = 'waiting'", (time.time(),))
    else:
        found = db.execute(
            "UPDATE event SET due_at = ?, state = 'waiting', copies = max(copies, 1), tries = 0 WHERE id = ?",
            (time.time(), id_),
        )
    return found.rowcount


def withhold(db: sqlite3.Connection) -> int:
    """Send none of those that wait. How many that is."""
    return db.execute("UPDATE event SET state = 'withheld', copies = 0 WHERE state = 'waiting'").rowcount


def of(db: sqlite3.Connection, payment_id: str | None = None, *, limit: int = 100) -> list[StoredEvent]:
    """Events, newest first: of one payment, or of all."""
    rows = db.execute(
        "SELECT * FROM event WHERE ? IS NULL OR payment_id = ? ORDER BY seq DESC LIMIT ?",
        (payment_id, payment_id, limit),
    )
    return [StoredEvent(**row) for row in rows]


def by_id(db: sqlite3.Connection, id_: str) -> StoredEvent | None:
    row = db.execute("SELECT * FROM event WHERE id = ?", (id_,)).fetchone()
    return StoredEvent(**row) if row else None


def attempts(db: sqlite3.Connection, event_id: str) -> list[Attempt]:
    rows = db.execute("SELECT * FROM attempt WHERE event_id = ? ORDER BY seq", (event_id,))
    return [Attempt(**row) for row in rows]


def headers(event: StoredEvent, *, secret: str) -> dict[str, str]:
    """Signed now (Standard Webhooks): a repetition has the same id and another time."""
    now = datetime.now(UTC)
    return {
        "Content-Type": "application/json",
        "User-Agent": "Sunaba-Webhooks/1",
        "webhook-id": event.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(event.id, now, event.body),
    }
