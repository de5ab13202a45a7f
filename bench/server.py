"""The web server as production runs it (granian, WSGI, two workers), and wrk against it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.serve import granian_command

HERE = Path(__file__).parent
WORKERS, THREADS, CONNECTIONS = 2, 32, 64


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its address, and the id of its first process, which is that of its session too."""

    address: str
    process_id: int

    def rss_bytes(self) -> int:
        """The memory of all its processes, as Linux says it."""
        of_session = [stat for stat in map(_stat, Path("/proc").glob("[0-9]*")) if stat[3:4] == [str(self.process_id)]]
        return os.sysconf("SC_PAGE_SIZE") * sum(int(stat[21]) for stat in of_session)


@contextmanager
def serving(target: str, *, path: str, env: dict[str, str]) -> Iterator[Served]:
    """Serve a WSGI callable for the length of the block."""
    port = _free_port()
    command = granian_command(target, host="127.0.0.1", port=port, workers=WORKERS, threads=THREADS)
    server = subprocess.Popen(command, env={**os.environ, **env}, start_new_session=True)
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{port}{path}", server)
        yield Served(f"http://127.0.0.1:{port}", server.pid)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wrk(
    served: Served, script: str, *, seconds: int, connections: int = CONNECTIONS, env: dict[str, str] | None = None
) -> dict[str, Any]:
    """Drive a server; what wrk measured."""
    done = subprocess.run(
        [
            "wrk",
            "-t",
            "2",
            "-c",
            str(connections),
            "-d",
            f"{seconds}s",
            "--timeout",
            "10s",
            "-s",
            str(HERE / script),
            served.address,
        ],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {}), "BENCH_SCRIPTS": str(HERE)},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            return result
    raise RuntimeError(done.stdout + done.stderr)


def _stat(process: Path) -> list[str]:
    """The fields of /proc/PID/stat after the name, from the state on; none of a process that is gone."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with status {server.returncode}")
        try:
            urllib.request.urlopen(url, timeout=2)  # our own loopback address
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer")
