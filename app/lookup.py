"""Rows by key for what every request must ask, such as: whose token is this?

Keys asked for while a read is under way are read together by the next one, so that a rush costs PostgreSQL and
Python a fraction of a query each; a lone request reads at once, in its own thread. Nothing is remembered: every
answer was read after it was asked for, so what was revoked before a request is refused to it.
"""

from __future__ import annotations

import threading
from typing import Any

import psycopg

from app.db import ENDS_WITH_ITS_HOST, LOOKUPS, PLANS_BY_KEY, database_url, extension

Row = tuple[Any, ...]

_PATIENCE = "-c statement_timeout=5s"
"""One read serves everybody who waits, so it must end."""


class _Asked:
    """One key, and the place where its row appears. `leads` says that its thread is to read the next batch."""

    __slots__ = ("_woken", "error", "key", "leads", "row")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.row: Row | None = None
        self.error: Exception | None = None
        self.leads = False
        self._woken = threading.Lock()
        self._woken.acquire()

    def wake(self) -> None:
        self._woken.release()

    def sleep(self) -> None:
        self._woken.acquire()


class Lookup:
    """Reads at most one row per key. `get` may be called from any thread.

    `statement` selects from `unnest(%(keys)s::bytea[])` and returns the key as its first column.
    """

    def __init__(self, database_url: str, statement: str) -> None:
        self._database_url = database_url
        self._statement = statement.encode()
        self._connection: psycopg.Connection[Row] | None = None
        self._mutex = threading.Lock()
        self._waiting: list[_Asked] = []
        self._reading = False

    def get(self, key: bytes) -> Row | None:
        """The row of `key`, without the key itself; None where there is none. Raises psycopg.OperationalError."""
        asked = _Asked(key)
        with self._mutex:
            self._waiting.append(asked)
            asked.leads, self._reading = not self._reading, True
        if not asked.leads:
            asked.sleep()
        if asked.leads:
            self._lead()
        if asked.error is not None:
            raise asked.error
        return asked.row

    def close(self) -> None:
        """Close the connection (the next `get` would open another)."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _lead(self) -> None:
        """Read for all who wait, wake them, and hand the lead to one of those who came meanwhile."""
        with self._mutex:
            batch, self._waiting = self._waiting, []
        try:
            rows = self._read({asked.key for asked in batch})
            for asked in batch:
                asked.row = rows.get(asked.key)
        except Exception as error:
            for asked in batch:
                asked.error = error
        with self._mutex:
            successor = self._waiting[0] if self._waiting else None
            if successor is None:
                self._reading = False
            else:
                successor.leads = True
        for asked in batch:
            if not asked.leads:
                asked.wake()
        if successor is not None:
            successor.wake()

    def _read(self, keys: set[bytes]) -> dict[bytes, Row]:
        try:
            return self._read_once(keys)
        except psycopg.OperationalError:
            self.close()  # PostgreSQL was restarted: once more, on a new connection
            return self._read_once(keys)

    def _read_once(self, keys: set[bytes]) -> dict[bytes, Row]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._database_url, **ENDS_WITH_ITS_HOST, autocommit=True, options=f"{PLANS_BY_KEY} {_PATIENCE}"
            )
        listed = ",".join([r"\\x" + key.hex() for key in keys])  # psycopg takes ten times as long for a list
        cursor = self._connection.execute(self._statement, {"keys": f"{{{listed}}}"}, prepare=True)
        return {bytes(row[0]): row[1:] for row in cursor}


def lookup(name: str, statement: str) -> Lookup:
    """This app's lookup of that name, made at its first use (so never before a fork)."""
    kept: dict[str, Lookup] = extension(LOOKUPS, dict)
    if name not in kept:
        kept[name] = Lookup(database_url(), statement)
    return kept[name]
