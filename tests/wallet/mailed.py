"""What waits in the outbox, opened."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import text

from app.db import autocommit
from app.seal import unseal


def mails_to(app: Flask, member_id: UUID) -> list[dict[str, Any]]:
    """The mails that wait for a member, oldest first. In an app context."""
    with autocommit().connect() as connection:
        email = connection.execute(text("SELECT email FROM member WHERE id = :id"), {"id": member_id}).scalar_one()
        rows = connection.execute(
            text("SELECT payload_sealed FROM outbox WHERE topic = 'mail' AND state = 'waiting' ORDER BY created_at, id")
        ).scalars()
        key = app.extensions["kumiai.settings"].sealing_key
        mails = [json.loads(unseal(key, sealed)) for sealed in rows]
    return [mail for mail in mails if mail["to"] == email]
