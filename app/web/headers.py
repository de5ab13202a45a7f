"""Security headers on every response, and the few ways a page may loosen them.

The policy begins at nothing (`default-src 'none'`) and admits our own style sheet, script and pictures. No page
loads anything from another host.
"""

from __future__ import annotations

from flask import Flask, g, request
from werkzeug.wrappers import Response

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
_ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"),
)
"""What no page and no answer has otherwise, so they are added at the end, without looking for them among the others."""


def allow_form_redirect_to(origin: str) -> None:
    """Let this page's form end at `origin`.

    Chromium applies `form-action` to the redirect that answers a form, so the consent page must name the origin
    of the client's (already validated) redirect URI.
    """
    g.form_action_origin = origin


def _policy(response: Response) -> str:
    if response.mimetype != "text/html":
        return _DATA_POLICY
    origin = g.get("form_action_origin")
    return f"{_PAGE_POLICY} {origin}" if origin else _PAGE_POLICY


def _set_headers(response: Response) -> Response:
    headers = response.headers
    headers.extend(_ALWAYS)
    headers.add("Content-Security-Policy", _policy(response))
    if "Cache-Control" not in headers and request.endpoint != "static":
        headers.add("Cache-Control", "no-store")
    if request.is_secure:
        headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
    return response


def init_app(app: Flask) -> None:
    app.after_request(_set_headers)
