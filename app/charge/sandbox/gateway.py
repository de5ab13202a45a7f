"""The running sandbox: its settings and its memory, as the views find them."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from dataclasses import dataclass

from flask import current_app

from app.charge.sandbox import storage
from app.charge.sandbox.settings import SandboxSettings
from app.charge.sandbox.storage import Storage

EXTENSION = "sunaba"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What every view needs."""

    settings: SandboxSettings
    storage: Storage

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return self.storage.transaction()

    def webhook_url(self, db: sqlite3.Connection) -> str:
        """Where webhooks go: what was said last, else what the settings say."""
        return storage.setting(db, "webhook_url", self.settings.webhook_url)


def sandbox() -> Sandbox:
    """The sandbox of this application."""
    found = current_app.extensions[EXTENSION]
    assert isinstance(found, Sandbox)
    return found
