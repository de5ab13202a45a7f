"""Which apps a service hears for: the office says that one developer has both. Called inside `transaction()`."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from app.db import session
from app.oauth import registry
from app.oauth.profiles import PROFILES
from app.wallet.webhooks.errors import NotConnectable
from app.wallet.webhooks.models import WebhookApp, WebhookDelivery, WebhookEndpoint


def connect(*, service_id: str, app_id: str) -> None:
    """Let a service hear of what an app asks for, and of what members let it read, from now on.

    Raises NotFound for a client that is not there or revoked; NotConnectable where one is not of its kind.
    """
    for client_id, for_members in ((service_id, False), (app_id, True)):
        if PROFILES[registry.locked(client_id).profile].acts_for_members != for_members:
            raise NotConnectable(client_id=client_id)
    session().execute(insert(WebhookApp).values(client_id=service_id, app_id=app_id).on_conflict_do_nothing())


def disconnect(*, service_id: str, app_id: str) -> bool:
    """Undo it, from now on; whether there was something to undo."""
    both = (WebhookApp.client_id == service_id, WebhookApp.app_id == app_id)
    return session().execute(delete(WebhookApp).where(*both).returning(WebhookApp.app_id)).one_or_none() is not None


def overview() -> list[tuple[str, ...]]:
    """Every endpoint as the office sees it: client, id, status, deliveries that wait, address."""
    waiting = (
        select(func.count())
        .where(WebhookDelivery.endpoint_id == WebhookEndpoint.id, WebhookDelivery.state == "waiting")
        .scalar_subquery()
    )
    columns = (WebhookEndpoint.client_id, WebhookEndpoint.id, WebhookEndpoint.status, WebhookEndpoint.disabled_reason)
    shown = select(*columns, waiting, WebhookEndpoint.url).where(WebhookEndpoint.status != "deleted")
    rows = session().execute(shown.order_by(WebhookEndpoint.client_id, WebhookEndpoint.id))
    return [
        (client_id, str(id_), f"{status} ({reason})" if reason else status, str(count), url)
        for client_id, id_, status, reason, count, url in rows
    ]


def connections() -> list[tuple[str, str]]:
    """Services and the apps they hear for."""
    rows = session().execute(select(WebhookApp.client_id, WebhookApp.app_id).order_by(WebhookApp.client_id))
    return [(client_id, app_id) for client_id, app_id in rows]
