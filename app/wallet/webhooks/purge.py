"""Old rows of webhooks, deleted in batches: what was said is kept for KEPT, since it may hold personal data."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from psycopg import Connection

KEPT = timedelta(days=30)
"""How long a delivery, its body and its log are kept, whether it was delivered or not."""
TIDY_FOR_S = 1.0
_BATCH = 2_000

# `seq` is the order in which they were made.
_OLD = """
    DELETE FROM webhook_delivery WHERE seq = ANY (ARRAY(
        SELECT seq FROM (SELECT seq, created_at FROM webhook_delivery ORDER BY seq LIMIT %(batch)s) oldest
         WHERE created_at < now() - %(kept)s))
"""
_OF_DELETED = """
    DELETE FROM webhook_delivery WHERE seq = ANY (ARRAY(
        SELECT delivery.seq FROM webhook_endpoint endpoint
          JOIN webhook_delivery delivery ON delivery.endpoint_id = endpoint.id
         WHERE endpoint.status = 'deleted' LIMIT %(batch)s))
"""
_DELETED_LANES = """
    DELETE FROM webhook_lane USING webhook_endpoint endpoint
     WHERE endpoint.id = webhook_lane.endpoint_id AND endpoint.status = 'deleted'
"""
_DELETED = """
    DELETE FROM webhook_endpoint endpoint
     WHERE status = 'deleted'
       AND NOT EXISTS (SELECT FROM webhook_delivery WHERE endpoint_id = endpoint.id)
       AND NOT EXISTS (SELECT FROM webhook_lane WHERE endpoint_id = endpoint.id)
"""
_SECRETS = """
    UPDATE webhook_endpoint SET previous_sealed = NULL, previous_until = NULL WHERE previous_until < now()
"""


def tidy(connection: Connection[Any], *, now_s: Callable[[], float] = time.monotonic) -> None:
    """Delete for a second at most: what a worker does now and then. Needs autocommit."""
    ends_s = now_s() + TIDY_FOR_S
    connection.execute(_SECRETS)
    for statement in (_OLD, _OF_DELETED):
        while connection.execute(statement, {"batch": _BATCH, "kept": KEPT}).rowcount == _BATCH:
            if now_s() >= ends_s:
                return
    connection.execute(_DELETED_LANES)
    connection.execute(_DELETED)
