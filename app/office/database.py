"""The server's database, for the commands of the office."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import Flask

from app import db, models
from app.errors import DomainError
from app.issuer import NoIssuer
from app.seal import SealBroken
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


@contextmanager
def office() -> Iterator[Settings]:
    """The same, with every refusal, and another KUMIAI_SEALING_KEY than the server's, said in a sentence."""
    with database() as settings:
        try:
            yield settings
        except DomainError as error:
            said = (say(f"error.{error.code}{part}", **error.detail) for part in ("", ".cure"))
            raise click.ClickException("\n".join(said)) from None
        except SealBroken:
            raise click.ClickException(say("keys.seal_broken")) from None
