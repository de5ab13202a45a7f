"""The worker of webhooks: feeds what happened into lanes, and sends of several lanes at once. Run as many as you like.

One that answers slowly must not hold up the others, so each endpoint has a window, as TCP's: how many may be under way
to it at once, more while it answers fast, one only while it does not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
from flask import Flask

from app.db import DATABASE_AWAY, transaction, worker_connection
from app.issuer import NoIssuer
from app.settings import Settings
from app.wallet.webhooks import delivery, feed, lanes
from app.wallet.webhooks.delivery import Parcel, Result
from app.wallet.webhooks.lanes import Lane

_log = logging.getLogger("kumiai.webhooks")

AT_ONCE = 16
"""Deliveries under way in one worker. With the connections they use it stays within one process's share."""
WINDOW = 8
"""The most of them to one endpoint."""
FAST_S = 1.0
_LOOK_EVERY_S = 1.0
_AFTER_TROUBLE_S = 2.0
_AFTER_FAILURE_S = 10.0


class Sender:
    """One worker. `run` until `stop`, which lets it finish what is under way."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._stopping = False
        self._woken = threading.Event()
        self._feeds_at_s = 0.0
        self._guard = threading.Lock()
        self._under_way: Counter[UUID] = Counter()
        self._windows: defaultdict[UUID, int] = defaultdict(lambda: 2)

    def stop(self) -> None:
        """Take nothing more, finish what is under way, then return from `run`."""
        self._stopping = True
        self._woken.set()

    def run(self) -> None:
        """Send until `stop`. A lost database is waited for."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as pool:
            while not self._stopping:
                try:
                    with worker_connection(self._settings.database_url, name="webhooks") as connection:
                        self._serve(connection, pool)
                except (*DATABASE_AWAY, NoIssuer) as error:
                    _log.warning("no database (%s); trying again", type(error).__name__)
                    self._wait(_AFTER_TROUBLE_S)

    def _serve(self, connection: psycopg.Connection[Any], pool: ThreadPoolExecutor) -> None:
        _log.info("waiting for webhooks")
        while not self._stopping:
            self._woken.clear()
            self._feed()
            room = self._room()
            taken = lanes.lease(connection, room=room, busy=self._busy()) if room else []
            for lane in taken:
                self._count(lane.endpoint_id, 1)
                pool.submit(self._deliver, lane)
            if not taken:
                self._wait(max(0.0, self._feeds_at_s - time.monotonic()))

    def _wait(self, timeout_s: float) -> None:
        """Until something is finished, or it is time to look again."""
        self._woken.wait(timeout_s)

    def _feed(self) -> None:
        """Once a second, and again at once while there is much."""
        if time.monotonic() < self._feeds_at_s:
            return
        pause_s = _LOOK_EVERY_S
        try:
            with self._app.app_context(), transaction():
                if feed.fan_out() >= feed.BATCH:
                    pause_s = 0.0
        except (*DATABASE_AWAY, NoIssuer):
            raise
        except Exception:  # what was fed before still goes out, and so does mail
            _log.exception("the feed failed; nothing is lost, it begins there again")
            pause_s = _AFTER_FAILURE_S
        self._feeds_at_s = time.monotonic() + pause_s

    def _deliver(self, lane: Lane) -> None:
        try:
            began_s = time.monotonic()
            good = deliver(self._app, lane, settings=self._settings)
            self._adjust(lane.endpoint_id, fast=good and time.monotonic() - began_s < FAST_S)
        except Exception as error:  # whatever is wrong with one, the others go on; its lease runs out
            _log.warning("something for endpoint %s was not sent: %s", lane.endpoint_id, type(error).__name__)
        finally:
            self._count(lane.endpoint_id, -1)
            self._woken.set()

    def _count(self, endpoint_id: UUID, change: int) -> None:
        with self._guard:
            self._under_way[endpoint_id] += change
            if not self._under_way[endpoint_id]:
                del self._under_way[endpoint_id]

    def _adjust(self, endpoint_id: UUID, *, fast: bool) -> None:
        with self._guard:
            window = self._windows[endpoint_id]
            self._windows[endpoint_id] = min(WINDOW, window + 1) if fast else 1

    def _room(self) -> int:
        with self._guard:
            return AT_ONCE - self._under_way.total()

    def _busy(self) -> list[UUID]:
        with self._guard:
            return [id_ for id_, count in self._under_way.items() if count >= self._windows[id_]]


def deliver(app: Flask, lane: Lane, *, settings: Settings) -> bool:
    """Send the first of a leased lane, and write down what came of it. Whether there was nothing to complain of."""
    parcel: Parcel | None
    with app.app_context(), transaction():
        parcel = delivery.take(lane)
    if parcel is None:
        return True
    result: Result = delivery.send(parcel, settings=settings)
    with app.app_context(), transaction():
        recovered = delivery.record(parcel, result)
    if recovered:
        with app.app_context(), transaction():  # apart, since it takes many lanes
            lanes.all_due(lane.endpoint_id)
    if result.error is None:
        _log.info("webhook %s delivered (try %s)", parcel.id, lane.tries)
    else:
        said = result.status or result.error
        _log.warning("webhook %s not delivered (try %s): %s", parcel.id, lane.tries, said)
    return result.error is None
