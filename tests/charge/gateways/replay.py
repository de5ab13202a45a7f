"""Answers as a vendor documents them, over HTTP: what is asked is noted, what is answered was said beforehand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

DOCUMENTED = Path(__file__).parent / "documented"


def documented(name: str, **changes: Any) -> dict[str, Any]:
    """The body of a documented payload (its file says where it is from), with some of its values changed."""
    body: dict[str, Any] = json.loads((DOCUMENTED / f"{name}.json").read_text())["body"]
    for path, value in changes.items():
        inner, *names = path.split("__")
        at: dict[str, Any] = body
        for name_ in (inner, *names)[:-1]:
            at = at[name_]
        last = (inner, *names)[-1]
        assert last in at, f"the document has no {path}"
        at[last] = deepcopy(value)
    return body


@dataclass(frozen=True)
class Asked:
    """One request, as the vendor got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=bool(self.body)))


@dataclass
class Replay:
    """A vendor's origin. `answers`: by `METHOD path`, a status and a body (JSON, or bytes as they are)."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    cuts: int = 0
    """How many of the next requests get no answer: the connection ends."""
    holds: threading.Event | None = None
    """What the answers wait for."""

    def says(self, asked: str, body: Any, status: int = 200) -> None:
        self.answers[asked] = (status, body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


@contextmanager
def replay() -> Iterator[Replay]:
    """A vendor on a port of this machine, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            vendor.asked.append(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), self.headers, body))  # type: ignore[arg-type]
            if vendor.holds is not None:
                vendor.holds.wait(10)
            if vendor.cuts:
                vendor.cuts -= 1
                self.close_connection = True
                return
            nothing = (404, {"error": {"code": "not_found", "type": "invalid_request_error"}})
            status, said = vendor.answers.get(f"{self.command} {parts.path}", nothing)
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815  # as http.server calls them

        def log_message(self, *args: object) -> None:
            """Not among the tests' own words."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        vendor = Replay(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield vendor
        finally:
            server.shutdown()
            thread.join()


ODD_ANSWERS: dict[str, tuple[int, Any]] = {
    "nothing": (200, b""),
    "a page": (200, b"<html>"),
    "a list": (200, b"[]"),
    "an empty object": (200, b"{}"),
    "depth": (200, b"[" * 100_000),
    "elsewhere": (302, b"{}"),
    "our key is wrong": (401, {"error": {"code": "unauthorized", "type": "authentication_error"}}),
    "under way": (409, {"error": {"code": "idempotency_key_in_use", "type": "idempotency_error"}}),
    "too often": (429, {"error": {"code": "rate_limit", "type": "rate_limit_error"}}),
    "a proxy's 404": (404, b"<html>not here</html>"),
    "down": (500, {"error": {"code": "internal_server_error", "type": "api_error"}}),
    "a gateway's 502": (502, b"bad gateway"),
}
"""After none of these does anybody know what was done."""

Calls = dict[str, Callable[[], object]]
