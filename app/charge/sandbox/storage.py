"""The sandbox's own memory: one SQLite file in its folder. What was committed survives kill -9."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payment (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    order_id        TEXT NOT NULL UNIQUE,
    asked           TEXT NOT NULL,     -- the request as JSON, to tell a repetition from another order
    method          TEXT NOT NULL CHECK (method IN ('card', 'konbini')),
    amount_yen      INTEGER NOT NULL CHECK (amount_yen > 0),
    description     TEXT NOT NULL,
    locale          TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'paid', 'failed', 'cancelled', 'expired')),
    failure         TEXT,
    created_at      REAL NOT NULL,
    ends_at         REAL NOT NULL,
    email           TEXT,
    return_url      TEXT,
    checkout        TEXT CHECK (checkout IN ('entering', 'challenge', 'processing', 'done')),
    outcome         TEXT,              -- what the card will come to: paid, slow, or why not
    challenge_code  TEXT,
    wrong_codes     INTEGER NOT NULL DEFAULT 0,
    card_brand      TEXT,
    card_last4      TEXT,
    card_fingerprint TEXT,
    chain           TEXT,
    name            TEXT,
    name_kana       TEXT,
    phone           TEXT,
    receipt_no      TEXT,
    company_code    TEXT,
    CHECK ((method = 'card') = (return_url IS NOT NULL AND checkout IS NOT NULL)),
    CHECK ((method = 'konbini') = (chain IS NOT NULL AND receipt_no IS NOT NULL AND phone IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS payment_at_the_store ON payment (chain, receipt_no, phone);
CREATE INDEX IF NOT EXISTS payment_open ON payment (ends_at) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS received (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    payment_id  TEXT NOT NULL REFERENCES payment (id),
    amount_yen  INTEGER NOT NULL CHECK (amount_yen > 0),
    fee_yen     INTEGER NOT NULL CHECK (fee_yen >= 0),
    received_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS received_of ON received (payment_id);
CREATE INDEX IF NOT EXISTS received_on ON received (received_at);
CREATE TABLE IF NOT EXISTS event (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    payment_id  TEXT NOT NULL REFERENCES payment (id),
    kind        TEXT NOT NULL,
    body        TEXT NOT NULL,
    created_at  REAL NOT NULL,
    due_at      REAL NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'withheld', 'given_up')),
    copies      INTEGER NOT NULL DEFAULT 1,
    backwards   INTEGER NOT NULL DEFAULT 0,
    tries       INTEGER NOT NULL DEFAULT 0,
    leased      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS event_of ON event (payment_id);
CREATE INDEX IF NOT EXISTS event_due ON event (due_at) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS attempt (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id    TEXT NOT NULL REFERENCES event (id),
    url         TEXT NOT NULL,
    started_at  REAL NOT NULL,
    duration_ms INTEGER NOT NULL,
    status      INTEGER,
    error       TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS attempt_of ON attempt (event_id);
CREATE TABLE IF NOT EXISTS later (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_id  TEXT NOT NULL REFERENCES payment (id),
    due_at      REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS fault (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL,
    payment_id  TEXT,                  -- NULL: the next ones
    order_id    TEXT,
    operation   TEXT,
    times       INTEGER NOT NULL CHECK (times >= 0),
    seconds     REAL,
    amount_yen  INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS answered (
    key         TEXT PRIMARY KEY,
    asked       TEXT NOT NULL,
    status      INTEGER NOT NULL,
    body        TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS call (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    at          REAL NOT NULL,
    operation   TEXT NOT NULL,
    path        TEXT NOT NULL,
    status      INTEGER NOT NULL,
    fault       TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


class FolderTaken(Exception):
    """Another sandbox runs on this folder."""


class Storage:
    """One file. Every change wakes those that wait for one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "sandbox.sqlite3"
        self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise FolderTaken(folder) from None
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        self._changed = threading.Condition()
        self._changes = 0
        with closing(self._connection()) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(_SCHEMA)
            db.execute("UPDATE event SET leased = 0")  # whoever held one is gone: one program per folder

    def close(self) -> None:
        """Let another program have the folder."""
        os.close(self._lock)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Read and write; one at a time. All of it is kept, or, where an error leaves the block, none of it."""
        with closing(self._connection()) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            changed = db.total_changes > 0
        if changed:
            self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    @property
    def changes(self) -> int:
        """Counts up with every change. Ask before looking, then `wait` for what came since."""
        return self._changes

    def wait(self, *, since: int, at_most_s: float) -> None:
        """Return as soon as something changed after `since`, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != since, at_most_s)

    def wake(self) -> None:
        """Have everybody look, as at a change."""
        self._tell()

    def _connection(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=30)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys=ON")
        db.execute("PRAGMA synchronous=NORMAL")
        return db


def setting(db: sqlite3.Connection, name: str, default: str) -> str:
    """What was said for `name`, else `default`."""
    row = db.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
    return default if row is None else str(row["value"])


def set_setting(db: sqlite3.Connection, name: str, value: str) -> None:
    db.execute("INSERT INTO setting VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, value))


def secret(db: sqlite3.Connection) -> str:
    """A random value of this folder's own, made once."""
    db.execute("INSERT INTO setting VALUES ('secret', ?) ON CONFLICT DO NOTHING", (secrets.token_hex(32),))
    return setting(db, "secret", "")
