"""`kumiai oauth …`: the authorization server's housekeeping."""

from __future__ import annotations

import sys
import time
from collections import Counter

import click

from app.db import worker_connection
from app.oauth.purge import BATCH, TABLES, purge
from app.settings import Settings, development_environment
from app.web.terminal import aligned, say


@click.group()
def oauth() -> None:
    """Keep the authorization server's tables small."""


@oauth.command("purge")
@click.option("--batch", type=click.IntRange(1, 100_000), default=BATCH, show_default=True, help="Rows per commit.")
def purge_(batch: int) -> None:
    """Delete expired tokens, codes, requests, proofs and sessions. Stop it whenever you like; it begins again there."""
    began, deleted = time.monotonic(), Counter[str]()
    with worker_connection(Settings.from_env(development_environment()).database_url, name="purge") as connection:
        for done in purge(connection, batch=batch):
            deleted[done.table] += done.rows
            if sys.stderr.isatty():
                progress = say("purge.progress", table=done.table, **_so_far(deleted, began))
                click.echo(f"\r\033[K{progress}", nl=False, err=True)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    for line in aligned([(table, f"{deleted[table]:,}") for table in TABLES]):
        click.echo(line)
    click.echo(say("purge.done", **_so_far(deleted, began)))


def _so_far(deleted: Counter[str], began: float) -> dict[str, str]:
    took_s = time.monotonic() - began
    rows = deleted.total()
    return {"rows": f"{rows:,}", "took_s": f"{took_s:.1f}", "per_s": f"{rows / took_s if took_s else 0:,.0f}"}
