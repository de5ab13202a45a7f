"""Old rows of the authorization server, deleted in batches: harmless beside traffic, and to stop at any moment.

Each batch is one statement with a commit of its own. It passes over rows that another purge holds, so two at once
share the work. What a stolen copy could still be recognised by stays: a spent refresh token until it would have
expired, a spent code, device code or pushed request while anything of its family lives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

BATCH = 5_000
KEPT_AFTER = timedelta(hours=1)
"""How long a row outlives its time, so that no host's clock, off by a little, loses a living one."""
TIDY_FOR_S = 1.0

_NO_FAMILY_LIVES = """
    NOT EXISTS (SELECT FROM oauth_token member
                 WHERE member.family_id = old.family_id
                   AND member.expires_at > now() AND member.revoked_at IS NULL)
"""
_FAMILY_IS_OVER = f"(used_at IS NULL OR family_id IS NULL OR {_NO_FAMILY_LIVES})"

TABLES: dict[str, str] = {
    "oauth_token": "true",  # an expired refresh token is refused as expired, spent or not
    "oauth_code": _FAMILY_IS_OVER,
    "oauth_pushed_request": _FAMILY_IS_OVER,
    "oauth_device": _FAMILY_IS_OVER,
    "oauth_proof_seen": "true",
    "oauth_initial_access_token": "true",
    "member_session": "true",
}
"""What is purged, in this order, and which of a table's expired rows may go."""

# By place (ctid), which the same statement has just locked: the shortest way to a row that goes.
_DELETE = """
    WITH gone AS (
        DELETE FROM {table} WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {table} old
             WHERE expires_at >= %(since)s AND expires_at < now() - %(kept)s AND {condition}
             ORDER BY expires_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED
        ))
        RETURNING expires_at
    )
    SELECT count(*), max(expires_at) FROM gone
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one statement deleted."""

    table: str
    rows: int


def purge(connection: psycopg.Connection[Any], *, batch: int = BATCH) -> Iterator[Batch]:
    """Delete all that may go, a batch at each step; one that found nothing ends its table. Needs autocommit."""
    for table, condition in TABLES.items():
        statement = _DELETE.format(table=table, condition=condition)
        since = "-infinity"
        while True:
            parameters = {"since": since, "kept": KEPT_AFTER, "batch": batch}
            row = connection.execute(statement, parameters).fetchone()
            assert row is not None, "an aggregate answers with one row"
            deleted, newest = row
            if deleted:
                yield Batch(table=table, rows=deleted)
            if deleted < batch:
                break
            since = newest  # older ones that stay are not looked at again


def tidy(connection: psycopg.Connection[Any], *, now_s: Callable[[], float] = time.monotonic) -> None:
    """Purge for a second at most: what a worker does now and then, between messages."""
    ends_s = now_s() + TIDY_FOR_S
    for _ in purge(connection):
        if now_s() >= ends_s:
            return
