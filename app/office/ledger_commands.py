"""`kumiai ledger verify`, with the checks of those who build on it, and `sweep`. The others are the wallet's own."""

from __future__ import annotations

import sys
import time

import click

from app.charge.checks import CHARGE_CHECKS
from app.office.database import database
from app.settings import Settings, development_environment
from app.wallet import verify as verification
from app.wallet.commands import ledger
from app.wallet.housekeeping.sweeper import sweep_once
from app.web.terminal import aligned, say

__all__ = ["ledger"]


@ledger.command()
def verify() -> None:
    """Recompute every balance from the transfers; exit status 1 and the first difference where one is wrong."""
    began = time.monotonic()
    settings = Settings.from_env(development_environment())
    extent, differences = verification.verify(
        settings.database_url, time_zone=settings.time_zone, further=CHARGE_CHECKS
    )
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


@ledger.command()
def sweep() -> None:
    """End holds that ran out, expire value, tell members what expires soon. `kumiai worker` does it by itself."""
    with database(server=True) as settings:
        done = sweep_once(settings)
    if done is None:
        raise click.ClickException(say("sweep.busy"))
    for line in aligned([(say(f"sweep.{what}"), f"{count:,}") for what, count in done.items()]):
        click.echo(line)
