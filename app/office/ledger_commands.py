"""`kumiai ledger sweep`: what the worker does by itself, once and now. The other commands are the wallet's own."""

from __future__ import annotations

import click

from app.office.database import database
from app.wallet.commands import ledger
from app.wallet.housekeeping.sweeper import sweep_once
from app.web.terminal import aligned, say

__all__ = ["ledger"]


@ledger.command()
def sweep() -> None:
    """End holds that ran out, expire value, tell members what expires soon. `kumiai worker` does it by itself."""
    with database(server=True) as settings:
        done = sweep_once(settings)
    if done is None:
        raise click.ClickException(say("sweep.busy"))
    for line in aligned([(say(f"sweep.{what}"), f"{count:,}") for what, count in done.items()]):
        click.echo(line)
