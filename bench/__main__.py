"""`make bench`: payments and tokens per second over HTTP, as ratios against baselines of one run. See README.md."""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from app.embedded import EmbeddedPostgres
from app.migrate import upgrade
from app.settings import Settings
from app.wallet.verify import verify
from bench import exchange, population, server, textbook

RESULTS = Path(__file__).parent / "results" / "latest.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="length of each measurement (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn (default 3)")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk drives the load and is not here; on Debian: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="kumiai-bench-") as folder:
        directory = Path(folder)
        with EmbeddedPostgres(directory / "postgres") as postgres:
            figures = measure(postgres, directory, seconds=options.seconds, rounds=options.rounds)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        print(f"{name:28} {value:>12,.{3 if '_vs_' in name else 2}f}")


def measure(postgres: EmbeddedPostgres, directory: Path, *, seconds: int, rounds: int) -> dict[str, float]:
    settings = _settings(postgres, directory)
    print("preparing: 10,000 members, each with a wallet, a grant and a token …", flush=True)
    tokens = directory / "tokens"
    population.populate(settings, tokens)
    exchange.let_client_in(settings.database_url)
    unloaded = exchange.prepare(settings.database_url, directory, name="count", tokens=tokens, seconds=1)
    statements = exchange.statements(settings, unloaded)
    script = textbook.prepare(postgres.url("textbook"), directory)
    rounds_done = [
        _round(number, rounds, seconds, settings, tokens, postgres, script, directory)
        for number in range(1, rounds + 1)
    ]
    payments, exchanged, bare, baseline = zip(*rounds_done, strict=True)
    per_s = statistics.median((run["requests"] - run["errors"]) / run["seconds"] for run in payments)
    bare_per_s = statistics.median(run["requests"] / run["seconds"] for run in bare)
    textbook_per_s = statistics.median(baseline)
    _, differences = verify(settings.database_url)
    if differences:
        sys.exit(f"the ledger is wrong after the run: {differences}")
    measured = (*payments, *bare, *(run for each in exchanged for run in each.values()))
    if any(run["errors"] for run in measured):
        sys.exit(f"not every request was answered as it should be, so the figures mean nothing: {measured}")
    return {
        "payments_vs_textbook": per_s / textbook_per_s,
        "payments_vs_bare_route": per_s / bare_per_s,
        **_exchange_figures(exchanged, bare_per_s=bare_per_s),
        **statements,
        "payments_per_s": per_s,
        "textbook_per_s": textbook_per_s,
        "bare_route_per_s": bare_per_s,
        "payments_p50_ms": statistics.median(run["p50_ms"] for run in payments),
        "payments_p99_ms": statistics.median(run["p99_ms"] for run in payments),
        "acknowledged": float(len(_acknowledged(directory))),
        "lost_acknowledged": float(_lost(settings.database_url, _acknowledged(directory))),
    }


def _exchange_figures(rounds: tuple[dict[str, dict[str, Any]], ...], *, bare_per_s: float) -> dict[str, float]:
    figures = {}
    for name in rounds[0]:
        per_s = statistics.median(run[name]["requests"] / run[name]["seconds"] for run in rounds)
        figures |= {f"{name}_vs_bare_route": per_s / bare_per_s, f"{name}_per_s": per_s}
    return figures


def _round(
    number: int,
    rounds: int,
    seconds: int,
    settings: Settings,
    tokens: Path,
    postgres: EmbeddedPostgres,
    script: Path,
    directory: Path,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Any], float]:
    """One turn of everything, so that a slow minute of the machine hits all alike."""
    print(f"round {number} of {rounds}: payments, tokens, bare route, textbook …", flush=True)
    half = max(2, seconds // 2)
    exchanging = exchange.prepare(settings.database_url, directory, name=str(number), tokens=tokens, seconds=half)
    wrk_env = {
        "BENCH_TOKENS": str(tokens),
        "BENCH_RUN": f"round{number}",
        "BENCH_ACKNOWLEDGED": str(directory / f"acknowledged.{number}"),
    }
    with server.serving("wsgi:app", path="/openapi.json", env=_environment(settings)) as address:
        server.wrk(
            address,
            "payments.lua",
            seconds=2,
            env={
                **wrk_env,
                "BENCH_RUN": f"warm{number}",
                "BENCH_ACKNOWLEDGED": str(directory / f"acknowledged.warm{number}"),
            },
        )
        paid = server.wrk(address, "payments.lua", seconds=seconds, env=wrk_env)
        exchanged = exchanging.measure(address, seconds=half)
    with server.serving("bench.bare:app", path="/bare", env={}) as address:
        bare = server.wrk(address, "bare.lua", seconds=half)
    return (
        paid,
        exchanged,
        bare,
        textbook.run(postgres.bin_path / "pgbench", postgres.url("textbook"), script, seconds=seconds),
    )


def _acknowledged(directory: Path) -> set[str]:
    return {key for path in directory.glob("acknowledged.*") for key in path.read_text().splitlines() if key}


def _lost(database_url: str, acknowledged: set[str]) -> int:
    """Acknowledged payments that the ledger does not hold exactly once."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT request_id FROM transaction WHERE requester = %s AND kind = 'payment'", [population.CLIENT_ID]
        ).fetchall()
    held = [request_id for (request_id,) in rows]
    assert len(held) == len(set(held)), "a request moved value twice"
    return len(acknowledged - set(held))


def _settings(postgres: EmbeddedPostgres, directory: Path) -> Settings:
    for name in ("kumiai", "textbook"):
        postgres.create_database(name)
    upgrade(postgres.url("kumiai"))
    return Settings(
        environment="production",
        database_url=postgres.url("kumiai"),
        secret_key=b"s" * 32,
        sealing_key=b"e" * 32,
        card_pepper=b"p" * 32,
        instance_path=directory,
    )


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "KUMIAI_ENV": settings.environment,
        "DATABASE_URL": settings.database_url,
        "KUMIAI_SECRET_KEY": base64.b64encode(settings.secret_key).decode(),
        "KUMIAI_SEALING_KEY": base64.b64encode(settings.sealing_key).decode(),
        "KUMIAI_CARD_PEPPER": base64.b64encode(settings.card_pepper).decode(),
    }


if __name__ == "__main__":
    main()
