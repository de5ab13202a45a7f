"""The server's database, for the commands of the office."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import Flask

from app import db, models
from app.issuer import NoIssuer
from app.settings import Settings, development_environment
from app.web.terminal import say


@contextmanager
def database() -> Iterator[Settings]:
    """An application context over it, as the services want one. That there is no issuer yet is said in a sentence."""
    settings = Settings.from_env(development_environment())
    app = Flask(__name__)
    app.extensions["kumiai.settings"] = settings
    db.init_app(app, settings)
    assert models.metadata.tables
    with app.app_context():
        try:
            yield settings
        except NoIssuer:
            raise click.ClickException(say("client.no_issuer")) from None
        finally:
            db.dispose()
