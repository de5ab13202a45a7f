"""`kumiai demo …`: things to try with the demo co-op that `make run` sets up."""

from __future__ import annotations

import click

from app.demo.app import app
from app.demo.card import card


@click.group()
def demo() -> None:
    """Try things out with the demo co-op."""


@demo.command()
def seed() -> None:
    """Make the demo co-op in the database, where it is missing."""
    from app.db import dispose
    from app.demo.seed import seed as make
    from app.factory import create_app
    from app.settings import Settings, development_environment
    from app.wallet import ledger

    environment = development_environment()
    server = create_app(Settings.from_env(environment))
    with server.app_context():
        make(environment)
        ledger.close()
        dispose()
    click.echo("the demo co-op is there")


demo.add_command(card)
demo.add_command(app)
