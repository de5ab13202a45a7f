"""`kumiai webhook …`: which apps a service's webhooks tell of, and how its endpoints are doing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from app.db import transaction
from app.errors import DomainError, NotFound
from app.office.database import database
from app.wallet.webhooks import apps
from app.web.terminal import aligned, say


@click.group()
def webhook() -> None:
    """Webhooks: what services hear of."""


@webhook.command()
@click.argument("service_id")
@click.argument("app_id")
def connect(service_id: str, app_id: str) -> None:
    """Let a service hear of what an app of the same developer does, and of what members let that app read."""
    with _office(), transaction():
        apps.connect(service_id=service_id, app_id=app_id)
    click.echo(say("webhook.connected", service_id=service_id, app_id=app_id))


@webhook.command()
@click.argument("service_id")
@click.argument("app_id")
def disconnect(service_id: str, app_id: str) -> None:
    """Undo that."""
    with _office(), transaction():
        if not apps.disconnect(service_id=service_id, app_id=app_id):
            raise NotFound
    click.echo(say("webhook.disconnected", service_id=service_id, app_id=app_id))


@webhook.command("list")
def list_() -> None:
    """Every endpoint, with how much waits for it; then every connection."""
    with _office(), transaction():
        endpoints, connections = apps.overview(), apps.connections()
    for line in aligned(endpoints) if endpoints else [say("webhook.nothing")]:
        click.echo(line)
    for service_id, app_id in connections:
        click.echo(say("webhook.hears_for", service_id=service_id, app_id=app_id))


@contextmanager
def _office() -> Iterator[None]:
    with database():
        try:
            yield
        except NotFound:
            raise click.ClickException(say("webhook.none")) from None
        except DomainError as error:
            said = (say(f"error.{error.code}{part}", **error.detail) for part in ("", ".cure"))
            raise click.ClickException("\n".join(said)) from None
