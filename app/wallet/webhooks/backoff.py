"""When to try again: over five days, each time later, as Standard Webhooks recommends."""

from __future__ import annotations

import random
from datetime import timedelta

_DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24, 24, 24)),
)
MAX_TRIES = len(_DELAYS) + 1

DISABLE_AFTER = timedelta(days=5)
"""An endpoint that has done nothing but fail for so long is disabled. A delivery is tried for a little longer, so that
an outage of everything ends in a disabled endpoint with its deliveries kept, not in deliveries given up."""

_SHORTEST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(minutes=5)
_LONGEST_ASKED = timedelta(hours=1)
BUSY = frozenset({429, 502, 503, 504})
"""Statuses by which a receiver says that it has too much to do (Standard Webhooks), or is not there at all."""


def delay(tries: int) -> timedelta | None:
    """How long after its `tries`-th failure (from 1) a delivery is tried again; None: not at all.

    A tenth more or less, by chance, so that what failed together does not come back together.
    """
    if tries >= MAX_TRIES:
        return None
    return _DELAYS[tries - 1] * random.uniform(0.95, 1.15)  # noqa: S311  # jitter, not a secret


def pause(status: int | None, retry_after: str | None, *, failing_for: timedelta) -> timedelta | None:
    """How long an endpoint is left alone after this answer (None: no answer came); None: not at all.

    As long as it asks for (RFC 9110 section 10.2.3, in seconds), within reason; else a quarter of the time that it has
    been failing.
    """
    if status is not None and status not in BUSY:
        return None
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:
        return min(timedelta(seconds=int(retry_after)), _LONGEST_ASKED)
    return max(_SHORTEST_PAUSE, min(failing_for / 4, _LONGEST_PAUSE))
