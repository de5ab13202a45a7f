"""The till's memory: every tap is written here before it is sent, and stays until its answer is known.

SQLite in WAL mode with synchronous=FULL: what `put` returned from survives kill -9 and a power cut. One program at a
time: two would ask for each other's taps, and each tell its clerk of the other's customer.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from app.reader.agent.source import ReadCard

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tap (
    counter     INTEGER PRIMARY KEY AUTOINCREMENT,
    tap_id      TEXT NOT NULL UNIQUE,
    amount_yen  INTEGER NOT NULL CHECK (amount_yen > 0),
    money       TEXT,
    card        TEXT,     -- JSON; forgotten once the answer is known
    card_last4  TEXT NOT NULL,
    taken_at    TEXT NOT NULL,
    state       TEXT NOT NULL DEFAULT 'taken' CHECK (state IN ('taken', 'accepted', 'refused')),
    answer      TEXT,
    CHECK ((state IN ('accepted', 'refused')) = (answer IS NOT NULL)),
    CHECK ((card IS NULL) = (answer IS NOT NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS tap_unfinished ON tap (counter) WHERE answer IS NULL;
"""


class SpoolError(Exception):
    """The spool cannot be used. `code` names a sentence of the agent's catalogue."""

    code = "spool_unusable"


class SpoolTaken(SpoolError):
    """Another program at the till has it."""

    code = "spool_taken"


class SpoolUnreadable(SpoolError):
    """It holds something, perhaps taps that were sent, and nobody can tell what."""

    code = "spool_unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """One tap whose answer is not known yet. `tap_id` never changes, however often it is sent."""

    tap_id: str
    amount_yen: int
    money: str | None
    card: ReadCard
    taken_at: str


class Spool:
    """The taps of one till, in one file. A context manager. Raises SpoolError."""

    def __init__(self, path: Path) -> None:
        with ExitStack() as stack:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                stack.callback(os.close, _taken(path.with_name(path.name + ".lock")))
                os.close(_opened(path))
                held = path.stat().st_size > 0
            except OSError as error:
                raise SpoolError(str(path)) from error
            try:
                self._db = sqlite3.connect(path, isolation_level=None, timeout=5)
                stack.callback(self._db.close)
                self._open()
            except sqlite3.Error as error:
                raise (SpoolUnreadable if held else SpoolError)(str(path)) from error
            self._close = stack.pop_all().close

    def _open(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA secure_delete=ON")  # what is forgotten is overwritten
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"written by another version of this program ({version})")
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def put(self, *, amount_yen: int, money: str | None, card: ReadCard) -> Tap:
        """Name a new tap and keep it, safe on disk when this returns. Raises SpoolError, as the other writes do."""
        tap = Tap(
            tap_id=_new_tap_id(),
            amount_yen=amount_yen,
            money=money,
            card=card,
            taken_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        self._write(
            "INSERT INTO tap (tap_id, amount_yen, money, card, card_last4, taken_at) VALUES (?, ?, ?, ?, ?, ?)",
            (
                tap.tap_id,
                amount_yen,
                money,
                json.dumps({"idm": card.idm, "blocks": dict(card.blocks)}),
                card.last4,
                tap.taken_at,
            ),
        )
        return tap

    def settle(self, tap_id: str, *, accepted: bool, answer: Mapping[str, Any]) -> None:
        """Keep the answer and forget the card: only its last four digits stay."""
        self._write(
            "UPDATE tap SET state = ?, answer = ?, card = NULL WHERE tap_id = ? AND answer IS NULL",
            ("accepted" if accepted else "refused", json.dumps(answer), tap_id),
        )

    def unfinished(self) -> list[Tap]:
        """Taps whose answer is not known, oldest first. Raises SpoolUnreadable."""
        statement = "SELECT tap_id, amount_yen, money, card, taken_at FROM tap WHERE answer IS NULL ORDER BY counter"
        try:
            return [
                Tap(
                    tap_id=tap_id,
                    amount_yen=amount_yen,
                    money=money,
                    card=ReadCard(**json.loads(card)),
                    taken_at=taken_at,
                )
                for tap_id, amount_yen, money, card, taken_at in self._db.execute(statement)
            ]
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise SpoolUnreadable(str(error)) from error

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise SpoolError(str(error)) from error


def _taken(lock: Path) -> int:
    """A descriptor that keeps other programs off until it is closed, or this process dies. Raises SpoolTaken."""
    descriptor = _opened(lock)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise SpoolTaken(str(lock)) from error
    return descriptor


def _opened(path: Path) -> int:
    """The file, made when it is missing. Card numbers are nobody else's to read."""
    return os.open(path, os.O_CREAT | os.O_RDWR, 0o600)


def _new_tap_id() -> str:
    """Time first, then 80 random bits: never the same twice, and neighbours in the server's index."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
