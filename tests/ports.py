"""Ports for servers that bind their own: nobody gets the same one twice in a session, in whichever of its processes."""

from __future__ import annotations

import os
import random
import socket

_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

# Below what the system gives to outgoing connections (Linux: from 32768): a port found free stays free until a program
# that takes seconds to start binds it, however many connections the tests open meanwhile.
_MINE = range(20_000 + _PROCESS, 32_000, _PROCESSES)
_UNTRIED = random.sample(_MINE, len(_MINE))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A free port: TCP, or with SOCK_DGRAM UDP."""
    while True:
        port = _UNTRIED.pop()
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port


def free_udp_port() -> int:
    return free_port(socket.SOCK_DGRAM)
