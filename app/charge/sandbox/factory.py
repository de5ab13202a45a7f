"""The sandbox gateway, put together. It is a vendor of its own: nothing of the server is in it."""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from app.charge.sandbox import browser
from app.charge.sandbox.api import answered, api
from app.charge.sandbox.card_pages import card_pages
from app.charge.sandbox.console import console
from app.charge.sandbox.gateway import EXTENSION, Sandbox
from app.charge.sandbox.script import script
from app.charge.sandbox.store_pages import store_pages
from app.charge.sandbox.wire import ApiError

_PAGES = ("not_found", "bad_request", "internal_error")
_JSON_PATHS = ("/v1/", "/test/")


def create_sandbox(sandbox: Sandbox) -> Flask:
    """The sandbox as one WSGI application."""
    app = Flask("app.charge.sandbox")
    app.config.update(MAX_CONTENT_LENGTH=64 * 1024, PROPAGATE_EXCEPTIONS=False)
    app.extensions[EXTENSION] = sandbox
    for blueprint in (api, script, browser.site, card_pages, store_pages, console):
        app.register_blueprint(blueprint)
    browser.init_app(app)
    app.register_error_handler(ApiError, lambda error: answered(error.body, error.status))
    app.register_error_handler(HTTPException, _http_error)
    return app


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    original = error.get_response()
    if status < 400:
        assert isinstance(original, Response)
        return original  # a redirect raised as an exception
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(
        status, "internal_error" if status >= 500 else "bad_request"
    )
    if not request.path.startswith(_JSON_PATHS):
        return browser.trouble(code if code in _PAGES else "bad_request", status)
    return answered({"error": {"code": code, "message": error.name}}, status)
