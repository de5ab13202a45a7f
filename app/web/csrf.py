"""No other site can send our forms: a token in every form, and the browser's own word on where a request is from.

`Referrer-Policy: no-referrer` removes the header that Flask-WTF checks on HTTPS, so its strict mode is off and
`Sec-Fetch-Site` (sent by every current browser) takes that place.
"""

from __future__ import annotations

from flask import Flask, request
from flask_wtf.csrf import CSRFError, CSRFProtect

csrf = CSRFProtect()

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def _refuse_foreign_forms() -> None:
    if request.method in _SAFE_METHODS or request.endpoint is None or csrf._is_exempt():
        return
    csrf.protect()
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise CSRFError("cross-site form")


def init_app(app: Flask) -> None:
    app.config["WTF_CSRF_SSL_STRICT"] = False
    app.config["WTF_CSRF_TIME_LIMIT"] = None  # the token lives as long as its session
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False  # by its own hook, which asks all of it once more
    csrf.init_app(app)
    app.before_request(_refuse_foreign_forms)
