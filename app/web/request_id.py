"""One id per request: in the answer's `X-Request-Id`, in every error, in every log line."""

from __future__ import annotations

import secrets

from flask import Flask, g, request
from werkzeug.wrappers import Response

HEADER = "X-Request-Id"


def request_id() -> str:
    """This request's id. Made here, never taken from the caller: a stranger does not write into our logs."""
    found: str | None = g.get("request_id")
    if found is None:
        found = g.request_id = secrets.token_hex(12)
    return found


def _send(response: Response) -> Response:
    response.headers.add(HEADER, request_id())
    return response


def init_app(app: Flask) -> None:
    app.after_request(_send)
    app.jinja_env.globals["request_id"] = request_id
    app.jinja_env.globals["request"] = request
