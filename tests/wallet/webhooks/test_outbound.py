"""Answers that a receiver draws out, and what is still read of them."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network

import pytest

from app.oauth import outbound


@contextmanager
def server(answer: bytes, *, again: bytes = b"") -> Iterator[str]:
    """Sends `answer`, then `again` and again, and never ends the connection by itself."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(answer)
            while not over.wait(0.01 if again else 5):
                connection.sendall(again)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        over.set()
        thread.join()
        listening.close()


def post(url: str) -> outbound.Answer:
    return outbound.post(url, b"{}", headers={"Content-Type": "application/json"}, public_only=False)


def test_a_body_that_never_ends_is_not_waited_for() -> None:
    began = time.monotonic()
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nX-One: 1\r\n\r\nabc") as url:
        answer = post(url)
    assert (answer.status, answer.body, answer.headers["X-One"]) == (200, b"abc", "1")
    assert time.monotonic() - began < outbound.BODY_WITHIN_S + 2


def test_one_that_trickles_for_ever_neither() -> None:
    with server(b"HTTP/1.1 200 OK\r\n\r\n", again=b"x") as url:
        answer = post(url)
    assert answer.status == 200
    assert set(answer.body) == {ord("x")}


def test_headers_without_end_are_no_answer() -> None:
    with (
        server(b"HTTP/1.1 200 OK\r\n", again=b"X-More: y\r\n" * 10) as url,
        pytest.raises(http.client.HTTPException),
    ):
        post(url)


def test_of_many_or_long_headers_some_are_kept() -> None:
    many = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 6_000) for n in range(60))
    with server(b"HTTP/1.1 200 OK\r\n" + many + b"Content-Length: 0\r\n\r\n") as url:
        answer = post(url)
    assert len(answer.headers) == outbound.MOST_HEADERS
    assert {len(value) for value in answer.headers.values()} == {outbound.MOST_READ}


def test_networks_that_are_named_count_as_public() -> None:
    campus = [ip_network("10.20.0.0/16"), ip_network("fd12::/16")]
    for address in ("10.20.3.4", "::ffff:10.20.3.4", "fd12::1", "93.184.215.14"):
        assert outbound.is_public(address, also=campus)
    for address in ("10.21.0.1", "127.0.0.1", "fd13::1", "::ffff:10.21.0.1"):
        assert not outbound.is_public(address, also=campus)
