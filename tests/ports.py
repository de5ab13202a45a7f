"""Ports for servers that bind their own: nobody gets the same one twice in a session."""

from __future__ import annotations

import random
import socket

# Below what the system gives to outgoing connections (Linux: from 32768): a port found free stays free until a program
# that takes seconds to start binds it, however many connections the tests open meanwhile.
_UNTRIED = random.sample(range(20_000, 32_000), 12_000)


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
