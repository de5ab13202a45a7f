"""The line between a till and its server, as bad as a test wants it."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

Forward = Callable[[], requests.Response]
OnTap = Callable[[Forward], requests.Response | None]
"""What becomes of a tap on the line: a reply to hand back, or None to cut the connection."""


def good(forward: Forward) -> requests.Response:
    return forward()


def reply_lost(forward: Forward) -> None:
    forward()


class Line(ThreadingHTTPServer):
    """Hands every request on to the server; taps go through `on_tap`. `taps` are the tap_ids that came by."""

    daemon_threads = False  # closing waits for the requests in hand

    def __init__(self, server_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server_url = server_url
        self.on_tap: OnTap = good
        self.taps: list[str] = []
        self.others = 0
        self.failures: list[BaseException] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """What failed in a request's thread fails the test; that a till went away is its business."""
        failure = sys.exc_info()[1]
        if failure is not None and not isinstance(failure, ConnectionError):
            self.failures.append(failure)


class _Handler(BaseHTTPRequestHandler):
    server: Line

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kept = {name: value for name, value in self.headers.items() if name not in ("Host", "Content-Length")}

        def forward() -> requests.Response:
            return requests.post(self.server.server_url + self.path, data=body, headers=kept, timeout=30)

        if self.path == "/v1/taps":
            self.server.taps.append(json.loads(body)["tap_id"])
            reply = self.server.on_tap(forward)
        else:
            self.server.others += 1
            reply = forward()
        if reply is None:
            with suppress(OSError):  # the till hung up first
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status_code)
        for name in ("Content-Type", "Idempotency-Hit"):
            if name in reply.headers:
                self.send_header(name, reply.headers[name])
        self.end_headers()
        self.wfile.write(reply.content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def line(server_url: str) -> Iterator[Line]:
    with Line(server_url) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()
    for failure in running.failures:
        raise failure
