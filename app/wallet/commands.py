"""`kumiai ledger …`: the ledger from the command line."""

from __future__ import annotations

import sys
import time

import click

from app.settings import Settings, development_environment
from app.wallet import verify as verification


@click.group()
def ledger() -> None:
    """Look after the ledger."""


@ledger.command()
def verify() -> None:
    """Recompute every balance from the transfers; exit status 1 and the first difference where one is wrong."""
    began = time.monotonic()
    settings = Settings.from_env(development_environment())
    extent, differences = verification.verify(settings.database_url, time_zone=settings.time_zone)
    took_s = time.monotonic() - began
    click.echo(
        f"{extent.transactions:,} transactions, {extent.transfers:,} transfers, {extent.accounts:,} accounts "
        f"checked in {took_s:.1f} s"
    )
    for difference in differences:
        click.secho(f"WRONG: {difference.check} ({difference.where})", fg="red")
    if differences:
        sys.exit(1)
    click.secho("the ledger is clean", fg="green")
