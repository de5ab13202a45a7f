"""An emulated student card in a process of its own, over nfcpy's udp driver."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent.parent


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
            assert process.stdout is not None
            assert process.stdout.readline(), "it says that it is there"
            yield process
        finally:
            process.terminate()
