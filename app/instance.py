"""The folder `instance/` of a development server: its secrets, its mailbox, its PostgreSQL, and who uses it now."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.embedded import EmbeddedPostgres
from app.ids import new_secret
from app.settings import DEMO_ENVIRONMENT

_KEYS = ("KUMIAI_SECRET_KEY", "KUMIAI_SEALING_KEY", "KUMIAI_CARD_PEPPER", "KUMIAI_MYPAGE_KEY")
_SANDBOX_KEY, _SANDBOX_WEBHOOK_SECRET = "KUMIAI_SANDBOX_KEY", "KUMIAI_SANDBOX_WEBHOOK_SECRET"
_CLIENT_SECRETS = ("KUMIAI_MYPAGE_CLIENT_SECRET", "KUMIAI_DEMO_APP_CLIENT_SECRET", "KUMIAI_TILL_CLIENT_SECRET")


class InstanceInUse(Exception):
    """Another `kumiai dev` runs on this folder."""


class Instance:
    """One such folder; made when it is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.postgres = self.path / "postgres"
        self.mailbox = self.path / "mailbox"
        self.sandbox = self.path / "sandbox"
        self._secrets = self.path / "secrets.json"
        self._environment = self.path / DEMO_ENVIRONMENT
        self._lock = self.path / "dev.lock"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep others away for as long as the block lasts, or this process lives. Raises InstanceInUse."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InstanceInUse from None
            yield

    def secrets(self) -> dict[str, str]:
        """The secrets of this folder, by the name of their variable. Made once, then kept."""
        known: dict[str, str] = json.loads(self._secrets.read_text()) if self._secrets.exists() else {}
        complete = {name: _random_key() for name in _KEYS} | {name: new_secret("kcs_") for name in _CLIENT_SECRETS}
        complete |= {_SANDBOX_KEY: new_secret("sk_sandbox_"), _SANDBOX_WEBHOOK_SECRET: f"whsec_{_random_key()}"}
        complete |= known
        if complete != known:
            _write_private(self._secrets, json.dumps(complete, indent=2) + "\n")
        return complete

    def publish(self, environment: Mapping[str, str]) -> None:
        """Leave the variables where `kumiai demo`, `till` and `ledger` find them, readable by their owner only."""
        lines = "".join(f"{name}={value}\n" for name, value in environment.items())
        _write_private(self._environment, lines)

    def unpublish(self) -> None:
        """Take them away again: nothing runs behind them any more."""
        self._environment.unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete everything this folder was given, and nothing that somebody else put there."""
        if (self.postgres / "postmaster.pid").exists():  # left running by a supervisor that was killed
            with EmbeddedPostgres(self.postgres):
                pass
        for folder in (self.postgres, self.mailbox, self.sandbox):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self._secrets, self._environment, *self.path.glob("till.sqlite3*")):
            file.unlink(missing_ok=True)


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _write_private(path: Path, text: str) -> None:
    """Write the file whole or not at all, with mode 0600 from its first byte."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
