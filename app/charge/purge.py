"""Events of the gateway are forgotten once they were followed: what they were about is in its order."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from psycopg import Connection

KEPT = timedelta(days=30)
"""Longer than any gateway sends an event again (Stripe: three days)."""
TIDY_FOR_S = 1.0
_BATCH = 2_000

_OLD = """
    DELETE FROM charge_event WHERE (gateway, id) IN (
        SELECT gateway, id FROM charge_event WHERE done_at < now() - %(kept)s ORDER BY done_at LIMIT %(batch)s)
"""


def tidy(connection: Connection[Any], *, now_s: Callable[[], float] = time.monotonic) -> None:
    """Delete for a second at most: what a worker does now and then. Needs autocommit."""
    ends_s = now_s() + TIDY_FOR_S
    while connection.execute(_OLD, {"kept": KEPT, "batch": _BATCH}).rowcount == _BATCH:
        if now_s() >= ends_s:
            return
