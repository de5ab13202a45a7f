"""TLS ends in front of us, at a proxy: the address in the settings, not a header of the request, says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def init_app(app: Flask) -> None:
    """Let every request count as one over https: cookies are Secure, and Strict-Transport-Security is sent."""
    app.wsgi_app = _over_tls(app.wsgi_app)  # type: ignore[method-assign, assignment]


def _over_tls(wsgi_app: WSGIApplication) -> WSGIApplication:
    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.url_scheme"] = "https"
        return wsgi_app(environ, start_response)

    return call
