"""The line between a till and its server, as bad as a test wants it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

Forward = Callable[[], requests.Response]
OnTap = Callable[[Forward], requests.Response | None]
"""What becomes of a tap on the line: a reply to hand back, or None to cut the connection."""


def good(forward: Forward) -> requests.Response:
    return forward()


def reply_lost(forward: Forward) -> None:
    assert forward().status_code == 201


class Line(ThreadingHTTPServer):
    """Hands every request on to the server; taps go through `on_tap`."""

    def __init__(self, server_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server_url = server_url
        self.on_tap: OnTap = good
        self.taps = self.others = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Line

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kept = {name: value for name, value in self.headers.items() if name not in ("Host", "Content-Length")}

        def forward() -> requests.Response:
            return requests.post(self.server.server_url + self.path, data=body, headers=kept, timeout=30)

        if self.path == "/v1/taps":
            self.server.taps += 1
            reply = self.server.on_tap(forward)
        else:
            self.server.others += 1
            reply = forward()
        if reply is None:
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
