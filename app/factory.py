"""The server, put together. Each part brings an `init_app`; this file only says which, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.middleware.proxy_fix import ProxyFix

from app import db, landing, log, models, openapi, problem
from app.charge import api as charge_api
from app.charge import endpoints as charge_endpoints
from app.charge import links_api
from app.issuer import NoIssuer, current_issuer
from app.member import pages as member_pages
from app.messaging import dev_mailbox
from app.oauth import wiring as oauth
from app.reader import api as reader_api
from app.reader import cards_api, terminals
from app.reader.codes import api as till_codes_api
from app.settings import Settings
from app.wallet import api as wallet_api
from app.wallet import api_batch, api_holds, api_payments, refunds, suspension_api, suspension_pages
from app.wallet.bulk import api as bulk_api
from app.wallet.codes import api as codes_api
from app.wallet.proof import api as proof_api
from app.wallet.proof import pages as proof_pages
from app.wallet.settlement import api as settlement_api
from app.wallet.shop import api as shop_api
from app.wallet.spend_control import GrantControls
from app.wallet.statement import api as statement_api
from app.wallet.webhooks import api as webhooks_api
from app.web import arguments, csrf, formats, headers, locale, protection, request_id, tls
from app.web.request import PlainRequest
from app.web.response import Answer
from app.web.session import PageSessions

MAX_BODY_BYTES = 256 * 1024
"""The most a stranger may send in one request."""

TRANSLATIONS = Path(__file__).parent / "translations"


class Server(Flask):
    """Flask, told that no view of ours is a coroutine; asking each function again at every request costs 3 %."""

    request_class = PlainRequest
    response_class = Answer

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(settings: Settings) -> Flask:
    """The server as one WSGI application."""
    log.init()
    app = Server("app", static_folder="web/static", static_url_path="/static", template_folder="web/templates")
    _configure(app, settings)
    app.session_interface = PageSessions()
    db.init_app(app, settings)
    request_id.init_app(app)
    headers.init_app(app)
    locale.init_app(app, directories=[TRANSLATIONS], default=settings.default_locale, time_zone=settings.time_zone)
    formats.init_app(app)
    problem.init_app(app)
    protection.init_app(app)
    arguments.init_app(app)
    csrf.init_app(app)
    landing.init_app(app)
    member_pages.init_app(app)
    dev_mailbox.init_app(app, settings)
    oauth.init_app(app, settings, controls=GrantControls())
    refunds.init_app(app, till_of=terminals.till_of)
    proof_pages.init_app(app)
    app.register_blueprint(suspension_pages.pages)
    app.register_blueprint(charge_endpoints.blueprint)
    openapi.init_app(
        app,
        wallet_api.blueprint,
        shop_api.blueprint,
        api_payments.blueprint,
        api_batch.blueprint,
        api_holds.blueprint,
        bulk_api.blueprint,
        codes_api.blueprint,
        charge_api.blueprint,
        links_api.blueprint,
        suspension_api.blueprint,
        reader_api.blueprint,
        cards_api.blueprint,
        till_codes_api.blueprint,
        proof_api.blueprint,
        statement_api.blueprint,
        settlement_api.blueprint,
        webhooks_api.blueprint,
    )
    return app


def _site_name() -> dict[str, str]:
    """The name every page carries. A page about a trouble must be shown in that trouble, so nothing is required."""
    try:
        return {"site_name": current_issuer().name(locale.current_locale())}
    except (NoIssuer, SQLAlchemyError):
        return {"site_name": "Kumiai"}


def _configure(app: Flask, settings: Settings) -> None:
    app.extensions["kumiai.settings"] = settings
    app.context_processor(_site_name)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        KUMIAI_ISSUER_URL=settings.issuer_url,
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        MAX_FORM_PARTS=200,
        SESSION_COOKIE_NAME="kumiai_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.https,
        TESTING=settings.environment == "test",
        PROPAGATE_EXCEPTIONS=False,
    )
    app.json.ensure_ascii = False  # type: ignore[attr-defined]  # Flask's default provider
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    assert models.metadata.tables
    if settings.https:
        tls.init_app(app)
    if settings.trusted_proxies:  # only for who calls: what address we are reached at, the settings say
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0)  # type: ignore[method-assign]
