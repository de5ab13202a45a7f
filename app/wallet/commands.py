"""`kumiai ledger …`: the ledger from the command line."""

from __future__ import annotations

import click
from sqlalchemy import NullPool, create_engine

from app.db import sqlalchemy_url
from app.settings import Settings, development_environment
from app.wallet import at_a_terminal, instants


@click.group()
def ledger() -> None:
    """Look after the ledger."""


@ledger.command("as-of")
@click.argument("instant")
@click.option("--wallet", "email", help="Only the wallets of the member with this e-mail address.")
@click.option("--shop", help="Only the takings of this shop, by its code.")
@click.option("--money", help="Only this money, by its code.")
def as_of(instant: str, email: str | None, shop: str | None, money: str | None) -> None:
    """What was there at an INSTANT: RFC 3339, or a day, which means its end in the issuer's time zone.

    Without an option, what of each money was issued, had come back and was unused.
    """
    if sum(option is not None for option in (email, shop, money)) > 1:
        raise click.UsageError("Give one of --wallet, --shop and --money at most.")
    settings = Settings.from_env(development_environment())
    try:
        at = instants.read(instant, zone=settings.zone, of_day="end")
    except ValueError:
        raise click.BadParameter("2026-11-23T12:34:56+09:00, or 2026-11-23", param_hint="INSTANT") from None
    url = sqlalchemy_url(settings.database_url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        for line in at_a_terminal.balances(connection, at=at, email=email, shop=shop, money=money):
            click.echo(line)
