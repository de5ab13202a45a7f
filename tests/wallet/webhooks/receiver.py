"""A client's server: it verifies what it gets with the standardwebhooks library, and answers what it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Got:
    """One request as it came in, and what was answered."""

    id: str
    path: str
    headers: dict[str, str]
    raw: str
    status: int

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.body["data"]
        return data


@dataclass
class Receiver:
    """`answer` says the status (with headers) of each request. `secrets` by path; a wrong signature is answered 401."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    answer: Callable[[dict[str, Any]], int] = lambda body: 204
    headers: dict[str, str] = field(default_factory=dict)
    text: bytes = b""
    delay_s: float = 0.0
    hold: threading.Event = field(default_factory=threading.Event)
    holding: threading.Event = field(default_factory=threading.Event)
    now: int = 0
    most_at_once: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def taken(self) -> list[Got]:
        """What was answered with a 2xx."""
        return [each for each in self.got if 200 <= each.status < 300]

    def verified(self, path: str, raw: str, headers: dict[str, str]) -> bool:
        try:
            Webhook(self.secrets[path]).verify(raw, headers)
        except WebhookVerificationError:
            return False
        return True


@contextmanager
def receiver() -> Iterator[Receiver]:
    state = Receiver()
    state.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
            with state.guard:
                state.now += 1
                state.most_at_once = max(state.most_at_once, state.now)
            state.holding.set()
            state.hold.wait(30)
            time.sleep(state.delay_s)  # a receiver that is slow, for tests about one
            headers = dict(self.headers)
            status = state.answer(json.loads(raw)) if state.verified(self.path, raw, headers) else 401
            with state.guard:
                state.now -= 1
                state.got.append(Got(headers["webhook-id"], self.path, headers, raw, status))
            try:
                self.send_response(status)
                for name, value in state.headers.items():
                    self.send_header(name, value)
                if status in (301, 302, 303, 307, 308):
                    self.send_header("Location", f"{state.url}/elsewhere")
                self.send_header("Content-Length", str(len(state.text)))
                self.end_headers()
                self.wfile.write(state.text)
            except OSError:
                pass  # whoever asked was killed

        def do_GET(self) -> None:
            raise AssertionError("a redirect was followed")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.request_queue_size = 128
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
