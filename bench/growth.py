"""Payments per second in a ledger of five million transfers, against one that has just begun."""

from __future__ import annotations

import statistics
from typing import Any

from bench import past
from bench.place import Figures, Place, answered, close_books, per_s


def measure(place: Place) -> Figures:
    ledgers = {"empty": place.copy("empty"), "past": past.database(place)}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ledgers}
    for number in range(1, place.rounds + 1):
        for name, settings in ledgers.items():
            print(f"growth {number} of {place.rounds}: payments, the ledger's past: {name} …", flush=True)
            with place.serving(settings) as served:
                place.pay(served, run=f"growth.{name}.warm{number}", seconds=2)
                runs[name].append(place.pay(served, run=f"growth.{name}.{number}"))
    for name, settings in ledgers.items():
        answered(runs[name])
        close_books(settings)
    empty, grown = (statistics.median(map(per_s, runs[name])) for name in ledgers)
    return {"growth_5m_vs_empty": grown / empty, "growth_5m_payments_per_s": grown, "growth_empty_per_s": empty}
