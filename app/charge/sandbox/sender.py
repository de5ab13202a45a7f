"""The threads beside the web server: some that send webhooks, and one for what happens as time goes by."""

from __future__ import annotations

import threading
import time

import requests

from app.charge.sandbox import events, payments
from app.charge.sandbox.events import StoredEvent
from app.charge.sandbox.gateway import Sandbox

SENDERS = 4
TIMEOUTS_S = (3, 10)
_STOP_WITHIN_S = 1.0
_LONGEST_WAIT_S = 5.0


class Threads:
    """Started once, stopped once. They are daemons: a receiver that hangs does not hold up the end."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._stopping = threading.Event()
        targets = [self._send] * SENDERS + [self._watch]
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when they have ended, or after a moment: what is being sent is sent again at the next start."""
        self._stopping.set()
        self._sandbox.storage.wake()
        for thread in self._threads:
            thread.join(_STOP_WITHIN_S)

    def _watch(self) -> None:
        storage = self._sandbox.storage
        while not self._stopping.is_set():
            since = storage.changes
            with storage.transaction() as db:
                due_at = payments.next_due_at(db)
                if due_at is not None and due_at <= time.time():
                    payments.do_what_is_due(db)
            storage.wait(since=since, at_most_s=_until(due_at))

    def _send(self) -> None:
        storage = self._sandbox.storage
        while not self._stopping.is_set():
            since = storage.changes
            with storage.transaction() as db:
                url = self._sandbox.webhook_url(db)
                due_at = events.next_due_at(db) if url else None
                event = events.take_due(db) if due_at is not None and due_at <= time.time() else None
            if event is not None:
                self._deliver(event, url)
            else:
                storage.wait(since=since, at_most_s=_until(due_at))

    def _deliver(self, event: StoredEvent, url: str) -> None:
        started_at, began_s = time.time(), time.monotonic()
        status, error = _posted(event, url, secret=self._sandbox.settings.webhook_secret)
        with self._sandbox.storage.transaction() as db:
            events.record(
                db,
                event,
                url=url,
                started_at=started_at,
                duration_ms=round((time.monotonic() - began_s) * 1_000),
                status=status,
                error=error,
            )


def _until(due_at: float | None) -> float:
    """Seconds to wait for it, neither none nor too many: clocks are set now and then."""
    return _LONGEST_WAIT_S if due_at is None else max(min(due_at - time.time(), _LONGEST_WAIT_S), 0.01)


def _posted(event: StoredEvent, url: str, *, secret: str) -> tuple[int | None, str | None]:
    """The status it was answered with, or what went wrong."""
    headers = events.headers(event, secret=secret)
    try:
        with requests.Session() as http:
            http.trust_env = False
            answer = http.post(
                url, data=event.body.encode(), headers=headers, timeout=TIMEOUTS_S, allow_redirects=False
            )
            return answer.status_code, None
    except requests.RequestException as failure:
        return None, type(failure).__name__
