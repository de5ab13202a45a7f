"""`make bench`: the speed figures, as ratios against baselines of one run. See README.md."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from app.embedded import EmbeddedPostgres
from bench import batches, growth, history, memory, payments
from bench.place import Figures, Place

RESULTS = Path(__file__).parent / "results" / "latest.json"

PARTS: dict[str, Callable[[Place], Figures]] = {
    "payments": payments.measure,
    "batch": batches.measure,
    "growth": growth.measure,
    "history": history.measure,
    "memory": memory.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="length of each measurement (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn (default 3)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)} (default all)")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := [name for name in chosen if name not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    if shutil.which("wrk") is None:
        sys.exit("wrk drives the load and is not here; on Debian: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="kumiai-bench-") as folder:
        directory = Path(folder)
        with EmbeddedPostgres(directory / "postgres", settings={"shared_buffers": "1GB"}) as postgres:
            place = Place(postgres=postgres, directory=directory, seconds=options.seconds, rounds=options.rounds)
            place.prepare()
            for name in chosen:
                _report(PARTS[name](place))


def _report(figures: Figures) -> None:
    """Print them, and keep them beside those of the other parts."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(known | figures, indent=2) + "\n")
    for name, value in figures.items():
        print(f"{name:32} {value:>12,.{3 if '_vs_' in name else 2}f}", flush=True)


if __name__ == "__main__":
    main()
