"""Lines of files are forgotten in time: they name members. What moved stays in the ledger, and each job its sums."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from psycopg import Connection

from app.wallet.bulk.models import KEPT

TIDY_FOR_S = 1.0
_BATCH = 2_000

_OLD = """
    DELETE FROM bulk_row WHERE ctid = ANY (ARRAY(
        SELECT row.ctid FROM bulk_job job JOIN bulk_row row ON row.job_id = job.id
         WHERE (job.state = 'done' AND job.finished_at < now() - %(kept)s)
            OR (job.state IN ('examined', 'rejected') AND job.created_at < now() - %(kept)s)
         LIMIT %(batch)s FOR UPDATE OF row SKIP LOCKED))
"""
_NEVER_STARTED = """
    DELETE FROM bulk_job job
     WHERE state IN ('examined', 'rejected') AND created_at < now() - %(kept)s
       AND NOT EXISTS (SELECT FROM bulk_row WHERE job_id = job.id)
"""


def tidy(connection: Connection[Any], *, now_s: Callable[[], float] = time.monotonic) -> None:
    """Delete for a second at most: what a worker does now and then. Needs autocommit."""
    ends_s = now_s() + TIDY_FOR_S
    while connection.execute(_OLD, {"kept": KEPT, "batch": _BATCH}).rowcount == _BATCH:
        if now_s() >= ends_s:
            return
    connection.execute(_NEVER_STARTED, {"kept": KEPT})
