"""The server's database, for the commands of the office."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import Flask

from app import db, models
from app.errors import DomainError
from app.factory import create_app
from app.issuer import NoIssuer
from app.seal import SealBroken
from app.settings import Settings, development_environment
from app.wallet import ledger
from app.web.terminal import say


@contextmanager
def database(*, server: bool = False) -> Iterator[Settings]:
    """An application context over it, as the services want one. That there is no issuer yet is said in a sentence.

    `server`: the whole server's, for what mails members or tells clients.
    """
    settings = Settings.from_env(development_environment())
    app = create_app(settings) if server else _without_pages(settings)
    with app.app_context():
        try:
            yield settings
        except NoIssuer:
            raise click.ClickException(say("client.no_issuer")) from None
        finally:
            ledger.close()
            db.dispose()


def _without_pages(settings: Settings) -> Flask:
    """A fraction of the server's start, for most commands."""
    app = Flask(__name__)
    app.extensions["kumiai.settings"] = settings
    db.init_app(app, settings)
    assert models.metadata.tables
    return app


@contextmanager
def office(*, server: bool = False) -> Iterator[Settings]:
    """The same, with every refusal, and another KUMIAI_SEALING_KEY than the server's, said in a sentence."""
    with database(server=server) as settings:
        try:
            yield settings
        except DomainError as error:
            said = (say(f"error.{error.code}{part}", **error.detail) for part in ("", ".cure"))
            raise click.ClickException("\n".join(said)) from None
        except SealBroken:
            raise click.ClickException(say("keys.seal_broken")) from None
