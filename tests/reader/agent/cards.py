"""An emulated student card in a process of its own, over nfcpy's udp driver."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from app.reader.agent.source import HoldAgain, ReadCard, Source
from tests.live import ROOT, read_until


@contextmanager
def card_on_reader(*, idm: str, port: int, student_id: str = "26A10045") -> Iterator[subprocess.Popen[str]]:
    """`kumiai demo card` for as long as the block lasts."""
    command = [sys.executable, "-W", "error", "-c", "from app.demo.card import card; card()"]
    options = ["--idm", idm, "--student-id", student_id, "--port", str(port)]
    with subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        env={**os.environ, "LANG": "ja_JP.UTF-8", "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        try:
            read_until(process, idm[-4:])  # it says that it is there
            yield process
        finally:
            process.terminate()


def read_card(source: Source, *, challenge: bytes | None = None, within_s: float = 20) -> ReadCard:
    """The card, held again as often as it takes: a busy machine may lose a step, as a hand does."""
    ends_at = time.monotonic() + within_s
    while (left_s := ends_at - time.monotonic()) > 0:
        with suppress(HoldAgain):
            card = source.wait_for_card(left_s, challenge)
            assert card is not None, "no card was found in time"
            return card
    raise AssertionError("the card was never read in time")
