"""The authorization server, put into the app."""

from __future__ import annotations

import logging

from flask import Flask

from app.member import sessions
from app.oauth import (
    account,
    account_pages,
    apps_pages,
    device_pages,
    grants_api,
    logout_pages,
    refusals,
    registration_endpoints,
    reset_pages,
)
from app.oauth.endpoints import clients, everyone, resource
from app.oauth.pages import pages
from app.oauth.ports import SpendControls
from app.oauth.server import Server
from app.settings import Settings


def init_app(app: Flask, settings: Settings, *, controls: SpendControls) -> None:
    """Register pages and endpoints; `controls` is the ledger's side of a permission to take payments."""
    logging.getLogger("authlib").setLevel(logging.INFO)  # at DEBUG it logs every token it hands out
    app.extensions["kumiai.oauth"] = Server(settings, controls)
    app.register_error_handler(405, refusals.wrong_method)
    sessions.when_ended(app, account.sessions_ended)
    for blueprint in (pages, device_pages.pages, apps_pages.pages, clients, resource, grants_api.grants, everyone):
        app.register_blueprint(blueprint)
    for blueprint in (logout_pages.pages, account_pages.pages, reset_pages.pages, registration_endpoints.blueprint):
        app.register_blueprint(blueprint)
