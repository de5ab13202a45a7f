"""`kumiai demo …`: things to try with the demo co-op that `make run` sets up."""

from __future__ import annotations

import click

from app.demo.app import app
from app.demo.card import card
from app.demo.device import device
from app.web.terminal import say


@click.group()
def demo() -> None:
    """Try things out with the demo co-op."""


@demo.command()
def seed() -> None:
    """Make the demo co-op in the database, where it is missing. Not in production."""
    from app.db import dispose
    from app.demo.seed import seed as make
    from app.factory import create_app
    from app.settings import Settings, development_environment
    from app.wallet import ledger

    environment = development_environment()
    settings = Settings.from_env(environment)
    if settings.production:  # members whose password everybody knows, and value that no one can take back
        raise click.ClickException(say("demo.seed.production"))
    server = create_app(settings)
    with server.app_context():
        make(environment)
        ledger.close()
        dispose()
    click.echo(say("demo.seed.done"))


demo.add_command(card)
demo.add_command(app)
demo.add_command(device)
