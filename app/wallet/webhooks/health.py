"""How an endpoint is doing: left alone where it has too much to do, disabled where it is gone, or fails for days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from babel.dates import format_datetime
from flask import current_app

from app import clock, outbox
from app.db import session
from app.issuer import issuer_zone
from app.messaging.compose import compose_mail
from app.oauth.models import OAuthClient
from app.settings import Settings
from app.wallet.webhooks import backoff
from app.wallet.webhooks.models import WebhookEndpoint
from app.web.locale import translate

GONE = 410
"""The receiver says that it wants no more (Standard Webhooks)."""


_OUTAGE = timedelta(minutes=10)
"""What is shorter is made up for by the pauses between tries."""


def worked(endpoint: WebhookEndpoint) -> bool:
    """The (locked) endpoint took a delivery. True where that ends an outage: it was out of reach, and for long."""
    since, paused = endpoint.failing_since, endpoint.paused_until
    if since is None and paused is None:
        return False
    endpoint.failing_since = endpoint.paused_until = None
    session().flush()
    return paused is not None and since is not None and clock.now() - since >= _OUTAGE


def failed(endpoint: WebhookEndpoint, *, status: int | None, headers: Mapping[str, str]) -> None:
    """The (locked) endpoint did not take a delivery: it answered with `status`, or not at all (None)."""
    now = clock.now()
    endpoint.failing_since = endpoint.failing_since or now
    pause = backoff.pause(status, _header(headers, "retry-after"), failing_for=now - endpoint.failing_since)
    if pause is not None:
        endpoint.paused_until = now + pause
    if endpoint.status == "active":
        if status == GONE:
            _disable(endpoint, "gone", now=now)
        elif now - endpoint.failing_since >= backoff.DISABLE_AFTER:
            _disable(endpoint, "failing", now=now)
    session().flush()


def _disable(endpoint: WebhookEndpoint, reason: str, *, now: datetime) -> None:
    endpoint.status, endpoint.disabled_reason = "disabled", reason
    outbox.emit("mail", _mail(endpoint, reason, now=now))


def _mail(endpoint: WebhookEndpoint, reason: str, *, now: datetime) -> dict[str, Any]:
    settings: Settings = current_app.extensions["kumiai.settings"]
    locale = settings.default_locale
    client = session().get_one(OAuthClient, endpoint.client_id)
    pattern = translate("web.moment_with_year", locale)
    since = (endpoint.failing_since or now).astimezone(issuer_zone())
    return compose_mail(
        to=endpoint.contact_email,
        message="webhook_disabled",
        locale=locale,
        # on one line, whatever it was registered as: it stands in a mail's subject
        client=" ".join((client.name_en if locale == "en" else client.name_ja).split()),
        url=endpoint.url,
        endpoint_id=endpoint.id,
        gone=reason == "gone",
        since=format_datetime(since, pattern, locale=locale),
    )


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)
