"""Single payments and tokens over HTTP, against the textbook and the bare route of the same minute."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from app.settings import Settings
from bench import exchange, server, textbook
from bench.place import Figures, Place, answered, close_books, lost, per_s


def measure(place: Place) -> Figures:
    settings = place.copy("payments")
    exchange.let_client_in(settings.database_url)
    unloaded = exchange.prepare(settings.database_url, place.directory, name="count", tokens=place.tokens, seconds=1)
    statements = exchange.statements(settings, unloaded)
    script = textbook.prepare(place)
    done = [_round(place, settings, script, number) for number in range(1, place.rounds + 1)]
    paid, exchanged, bare, baseline = zip(*done, strict=True)
    answered((*paid, *bare, *(run for each in exchanged for run in each.values())))
    close_books(settings)
    payments_per_s = statistics.median(map(per_s, paid))
    bare_per_s = statistics.median(map(per_s, bare))
    textbook_per_s = statistics.median(baseline)
    acknowledged = place.acknowledged("payments")
    return {
        "payments_vs_textbook": payments_per_s / textbook_per_s,
        "payments_vs_bare_route": payments_per_s / bare_per_s,
        **_exchange_figures(exchanged, bare_per_s=bare_per_s),
        **statements,
        "payments_per_s": payments_per_s,
        "textbook_per_s": textbook_per_s,
        "bare_route_per_s": bare_per_s,
        "payments_p50_ms": statistics.median(run["p50_ms"] for run in paid),
        "payments_p99_ms": statistics.median(run["p99_ms"] for run in paid),
        "acknowledged": float(len(acknowledged)),
        "lost_acknowledged": float(lost(settings, acknowledged)),
    }


def _exchange_figures(rounds: tuple[dict[str, dict[str, Any]], ...], *, bare_per_s: float) -> Figures:
    figures = {}
    for name in rounds[0]:
        exchanged_per_s = statistics.median(per_s(run[name]) for run in rounds)
        figures |= {f"{name}_vs_bare_route": exchanged_per_s / bare_per_s, f"{name}_per_s": exchanged_per_s}
    return figures


def _round(
    place: Place, settings: Settings, script: Path, number: int
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Any], float]:
    """One turn of everything, so that a slow minute of the machine hits all alike."""
    print(f"payments {number} of {place.rounds}: payments, tokens, bare route, textbook …", flush=True)
    half = max(2, place.seconds // 2)
    exchanging = exchange.prepare(
        settings.database_url, place.directory, name=str(number), tokens=place.tokens, seconds=half
    )
    with place.serving(settings) as served:
        place.pay(served, run=f"payments.warm{number}", seconds=2)
        paid = place.pay(served, run=f"payments.{number}")
        exchanged = exchanging.measure(served, seconds=half)
    with server.serving("bench.bare:app", path="/bare", env={}) as served:
        bare = server.wrk(served, "bare.lua", seconds=half)
    return paid, exchanged, bare, textbook.run(place, script)
