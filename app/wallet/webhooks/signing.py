"""Signatures of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA-256 under a secret both sides know.

While a secret is being changed, both sign: a receiver that knows either one accepts the message.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from standardwebhooks import Webhook

USER_AGENT = "Kumiai-Webhooks/1"
_SECRET_BYTES = 32
"""The specification asks for 24 to 64."""


def new_secret() -> str:
    """A signing secret in the form that every library for Standard Webhooks takes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(*, message_id: UUID, at: datetime, body: str, keys: Sequence[str]) -> dict[str, str]:
    """The headers that a message is sent with, signed under each of `keys`, the newest first. `at` is in UTC."""
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": str(message_id),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(str(message_id), at, body) for key in keys),
    }
