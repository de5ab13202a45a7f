"""The member page, put together. It shares the look of the server's pages, and none of its code."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, render_template
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from app.mypage import (
    card_pages,
    charge_link_pages,
    charge_pages,
    code_pages,
    history_pages,
    move_pages,
    pages,
    pay_pages,
    session,
)
from app.mypage.settings import MypageSettings
from app.web import csrf, formats, headers, locale, protection, request_id, tls
from app.web.request import PlainRequest

_PAGES = (pages, history_pages, pay_pages, code_pages, move_pages, charge_pages, charge_link_pages, card_pages)
"""Every module with pages: being imported puts its routes on the one blueprint."""
_SENTENCES = {400: "bad_request", 404: "not_found", 405: "not_found"}


def create_mypage(settings: MypageSettings) -> Flask:
    """The member page as one WSGI application."""
    app = Flask(
        "app.mypage", static_folder="../web/static", static_url_path="/static", template_folder="../web/templates"
    )
    app.request_class = PlainRequest
    app.config.update(MAX_CONTENT_LENGTH=64 * 1024, PROPAGATE_EXCEPTIONS=False)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.context_processor(lambda: {"site_name": settings.name(locale.current_locale())})
    session.init_app(app, settings)
    request_id.init_app(app)
    headers.init_app(app)
    locale.init_app(
        app,
        directories=[Path(__file__).parent / "translations"],
        default=settings.default_locale,
        time_zone=settings.time_zone,
    )
    formats.init_app(app)
    protection.init_app(app)
    csrf.init_app(app)
    pages.init_app(app, settings)
    app.register_error_handler(CSRFError, lambda error: _error_page("form_expired", 400))
    app.register_error_handler(HTTPException, _http_error)
    if settings.https:
        tls.init_app(app)
    return app


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    original = error.get_response()
    if status < 400:
        assert isinstance(original, Response)
        return original  # a redirect raised as an exception
    page = _error_page(_SENTENCES.get(status, "internal_error" if status >= 500 else "bad_request"), status)
    if "Allow" in original.headers:
        page.headers["Allow"] = original.headers["Allow"]
    return page


def _error_page(code: str, status: int) -> Response:
    title, cure = locale.translate(f"mypage.error.{code}"), locale.translate(f"mypage.error.{code}.cure")
    return Response(render_template("web/error.html", title=title, cure=cure), status=status)
