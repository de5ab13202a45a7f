"""Which pages of other origins may call the endpoints from a browser (CORS).

The authorization endpoint is visited, never called, so it has none (RFC 9700 section 2.6). Keys and discovery are
for everyone; the rest is for the origins that single-page apps registered to be redirected to.
"""

from __future__ import annotations

import re

from flask import request
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from app.db import autocommit

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,260}")
_SENDABLE = "Authorization, Content-Type, DPoP, Idempotency-Key"
_READABLE = "WWW-Authenticate, Retry-After, X-Request-Id, Idempotency-Hit"
_REGISTERED = text("""
    SELECT EXISTS (
        SELECT FROM oauth_client, unnest(redirect_uris) AS uri
         WHERE profile = 'spa' AND status = 'active'
           AND (uri = :origin OR starts_with(uri, :origin || '/') OR starts_with(uri, :origin || '?'))
    )
""")


def allow_everyone(response: Response) -> Response:
    """For what is public anyway."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def allow_registered(response: Response) -> Response:
    """For the calling page, if its origin is that of a single-page app's redirect URI. Cookies are never involved."""
    response.headers.add("Vary", "Origin")
    origin = request.headers.get("Origin")
    if origin is not None and _is_registered(origin):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _READABLE
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE"
            response.headers["Access-Control-Allow-Headers"] = _SENDABLE
            response.headers["Access-Control-Max-Age"] = "600"
    return response


def _is_registered(origin: str) -> bool:
    if not _ORIGIN.fullmatch(origin):
        return False
    try:
        with autocommit().connect() as connection:
            return bool(connection.scalar(_REGISTERED, {"origin": origin}))
    except SQLAlchemyError:  # the answer is written already; a failure here would take its place, and its headers
        return False
