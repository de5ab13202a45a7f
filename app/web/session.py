"""Cookie sessions are for pages. The resource API has none: no cookie is read there, and none is set."""

from __future__ import annotations

from flask import Flask, Request
from flask.sessions import NullSession, SecureCookieSession, SecureCookieSessionInterface


class PageSessions(SecureCookieSessionInterface):
    """Flask's signed cookie, except under `/v1/`, where a token is all that counts."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if request.path.startswith("/v1/"):
            return NullSession()
        return super().open_session(app, request)
