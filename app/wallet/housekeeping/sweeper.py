"""The part of `kumiai worker` that does what is due by itself, once a day and now and then."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import psycopg
from flask import Flask

from app.db import worker_connection
from app.issuer import current_issuer
from app.settings import Settings
from app.wallet.housekeeping import due, notice
from app.watch import Watch

TELL_FROM_HOUR = 9
"""Mail about what expires leaves in the morning, not at midnight."""

_ONE_AT_A_TIME = "hashtext('kumiai sweep')"
_NOW = "SELECT clock_timestamp() AT TIME ZONE %(zone)s"


class Sweeper(Watch):
    """One of as many as you like: while one is at it, the others let it work."""

    log = logging.getLogger("kumiai.sweep")

    def __init__(self, app: Flask, settings: Settings) -> None:
        super().__init__(app, settings)
        self._expired_on = self._told_on = date.min  # the last days of which this process knows that all was done

    def look(self) -> None:
        """Do what is due now and was not done today. Raises psycopg.Error, and what posting raises."""
        with self.app.app_context(), alone(self.settings.database_url) as connection:
            if connection is None:
                return
            current_issuer()
            now = local_now(connection, self.settings)
            self._all("holds ended", due.end_holds(connection))
            if self._expired_on != now.date():
                done = self._all("wallets with expired value", due.expire(connection, today=now.date()))
                done = self._all("rows deleted", due.delete_old(connection)) and done
                self._expired_on = now.date() if done else self._expired_on
            if self._told_on != now.date() and now.hour >= TELL_FROM_HOUR:
                days = self.settings.expiry_notice_days
                done = not days or self._all("members told", notice.tell(today=now.date(), days=days))
                self._told_on = now.date() if done else self._told_on

    def _all(self, what: str, batches: Iterator[int]) -> bool:
        """Whether it came to its end before it was to stop."""
        for count in batches:
            if count:
                self.log.info("%s: %s", what, count)
            if self.stopping.is_set():
                return False
        return True


def sweep_once(settings: Settings) -> dict[str, int] | None:
    """Do all that is due, whatever the hour; returns how much of each. None: another process is at it.

    In an app context. Raises as `Sweeper.look`.
    """
    with alone(settings.database_url) as connection:
        if connection is None:
            return None
        today = local_now(connection, settings).date()
        days = settings.expiry_notice_days
        return {
            "holds": sum(due.end_holds(connection)),
            "expired": sum(due.expire(connection, today=today)),
            "told": sum(notice.tell(today=today, days=days)) if days else 0,
            "deleted": sum(due.delete_old(connection)),
        }


def local_now(connection: due.Connection, settings: Settings) -> datetime:
    """The issuer's time by the database's clock, as the ledger reckons its days."""
    [now] = connection.execute(_NOW, {"zone": settings.time_zone}).fetchone() or [None]
    assert isinstance(now, datetime)
    return now


@contextmanager
def alone(database_url: str) -> Iterator[psycopg.Connection[Any] | None]:
    """A connection to sweep with, while nobody else sweeps; None where somebody does. It ends with its process."""
    with worker_connection(database_url, name="sweep") as connection:
        [got] = connection.execute(f"SELECT pg_try_advisory_lock({_ONE_AT_A_TIME})").fetchone() or [False]
        yield connection if got else None
