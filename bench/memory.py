"""By how much the server's memory grows over a hundred thousand payments, once it is warm. Linux only."""

from __future__ import annotations

import sys

from bench.place import Figures, Place, answered, close_books
from bench.server import Served

WARM_UP, PAYMENTS = 20_000, 100_000


def measure(place: Place) -> Figures:
    if sys.platform != "linux":
        sys.exit("the memory of processes is read from /proc, which only Linux has")
    settings = place.copy("memory")
    with place.serving(settings) as served:
        print(f"memory: {WARM_UP:,} payments, then {PAYMENTS:,} …", flush=True)
        _pay(place, served, WARM_UP, run="memory.warm")
        before = served.rss_bytes()
        _pay(place, served, PAYMENTS, run="memory")
        after = served.rss_bytes()
    close_books(settings)
    return {
        "rss_growth_percent": 100 * (after / before - 1),
        "rss_before_mib": before / 2**20,
        "rss_after_mib": after / 2**20,
    }


def _pay(place: Place, served: Served, payments: int, *, run: str) -> None:
    made, turn = 0, 0
    while made < payments:
        turn += 1
        done = place.pay(served, run=f"{run}.{turn}", seconds=5)
        answered([done])
        made += done["requests"]
