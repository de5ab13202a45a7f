"""The worker's side of the outbox: lease, finish, put back. Plain SQL on a connection of its own (autocommit).

A lease is a due time moved ahead, not a row lock held during the delivery: an open transaction would keep PostgreSQL
from clearing away old versions of the ledger's busiest rows while some mail server takes its time. A worker that
dies leaves a lease that runs out, and the message is delivered then: at least once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

LEASE = timedelta(minutes=3)
"""Longer than a delivery takes with every network operation at its time limit."""

MAX_ATTEMPTS = 8
_FIRST_DELAY = timedelta(seconds=5)
_LONGEST_DELAY = timedelta(minutes=10)

_LEASE = """
    UPDATE outbox SET due_at = now() + %(lease)s, attempts = attempts + 1
    WHERE id = (
        SELECT id FROM outbox WHERE state = 'waiting' AND due_at <= now() AND topic = ANY(%(topics)s)
        ORDER BY due_at FOR UPDATE SKIP LOCKED LIMIT 1
    )
    RETURNING id, topic, payload_sealed, attempts, coalesce(expires_at <= now(), false) AS expired
"""
# `attempts` is the lease's number: a worker that outlived its lease changes nothing any more.
_FINISH = """
    UPDATE outbox SET state = %(state)s, payload_sealed = NULL, last_error = %(error)s
    WHERE id = %(id)s AND attempts = %(attempt)s AND state = 'waiting'
"""
_PUT_BACK = """
    UPDATE outbox SET due_at = now() + %(delay)s, last_error = %(error)s
    WHERE id = %(id)s AND attempts = %(attempt)s AND state = 'waiting'
"""


@dataclass(frozen=True, slots=True)
class Leased:
    """One message in this worker's hands."""

    id: UUID
    topic: str
    payload_sealed: bytes
    attempts: int
    expired: bool


def lease(connection: Connection[Any], *, topics: list[str]) -> Leased | None:
    """Take the next due message of these topics, or None."""
    with connection.cursor(row_factory=class_row(Leased)) as cursor:
        return cursor.execute(_LEASE, {"lease": LEASE, "topics": topics}).fetchone()


def delivered(connection: Connection[Any], job: Leased) -> None:
    """It is out: forget what it said."""
    _finish(connection, job, state="delivered", error=None)


def give_up(connection: Connection[Any], job: Leased, *, error: str) -> None:
    """It will not be delivered: forget what it said, and keep the class of the reason."""
    _finish(connection, job, state="given_up", error=error)


def put_back(connection: Connection[Any], job: Leased, *, error: str) -> None:
    """Try again later, each time later than before; give up after MAX_ATTEMPTS."""
    if job.attempts >= MAX_ATTEMPTS:
        give_up(connection, job, error=error)
        return
    delay = min(_FIRST_DELAY * 2 ** (job.attempts - 1), _LONGEST_DELAY)
    connection.execute(_PUT_BACK, {"delay": delay, "error": error, "id": job.id, "attempt": job.attempts})


def _finish(connection: Connection[Any], job: Leased, *, state: str, error: str | None) -> None:
    connection.execute(_FINISH, {"state": state, "error": error, "id": job.id, "attempt": job.attempts})
