"""The group-commit poster: one per process, the only writer of the ledger.

Requests put their posting in a queue and wait. The poster's thread takes whatever is waiting (at most 128, and it
never waits for more), posts it as one transaction on its own connection, and wakes them. While a commit is in
flight the next batch forms by itself: light load means batches of one, a lunch rush means large ones.

What fails is tried again, invisibly and a bounded number of times. That is always safe: a request that was
written answers from its row.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections import Counter
from uuid import UUID

import psycopg

from app.ids import new_id
from app.wallet.batch import post_batch
from app.wallet.errors import OutcomeUnknown, RequestInProgress, TemporarilyUnavailable
from app.wallet.locking import Connection, Monies
from app.wallet.postings import Outcome, Posting
from app.wallet.statements import CONNECTION_OPTIONS

log = logging.getLogger(__name__)

MAX_BATCH = 128
PATIENCE_S = 5.0
"""How long a request waits for its answer before it is told to ask again."""

_ATTEMPTS = 5

_TRANSIENT = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UniqueViolation,  # another poster wrote the same request first: the next try finds its row
)


class _Waiting:
    """One posting in the queue, and the place where its answer appears."""

    __slots__ = ("_done", "_taken", "error", "outcome", "posting", "transaction_id")

    def __init__(self, posting: Posting) -> None:
        self.posting = posting
        self.transaction_id = new_id()
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self._taken = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()

    def take(self) -> bool:
        """Whoever takes it first, poster or impatient request, decides what becomes of it."""
        return self._taken.acquire(blocking=False)

    def answer(self, outcome: Outcome | None, error: Exception | None = None) -> None:
        self.outcome, self.error = outcome, error
        self._done.release()

    def wait(self, timeout_s: float) -> bool:
        return self._done.acquire(timeout=timeout_s)


class Poster:
    """The ledger's writer in this process. `post` may be called from any thread."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()
        self._connection: Connection | None = None
        self._issuer_id: UUID | None = None
        self._monies: Monies | None = None
        self._thread = threading.Thread(target=self._run, name="poster", daemon=True)
        self._thread.start()

    def post(self, posting: Posting, *, patience_s: float = PATIENCE_S) -> Outcome:
        """Post and wait for the answer, at most `patience_s` seconds.

        Raises TemporarilyUnavailable (nothing moved), RequestInProgress (another request of this name is being
        worked on) or OutcomeUnknown (ask again with the same name).
        """
        key = (posting.requester, posting.request_id)
        waiting = _Waiting(posting)
        self._count(key, 1)
        try:
            self._queue.put(waiting)
            if not waiting.wait(patience_s):
                raise self._impatience(waiting, key)
        finally:
            self._count(key, -1)
        if waiting.error is not None:
            raise waiting.error
        assert waiting.outcome is not None
        return waiting.outcome

    def close(self) -> None:
        """Answer what is waiting, then end the thread and its connection."""
        self._queue.put(None)
        self._thread.join()

    def _count(self, key: tuple[str, str], change: int) -> None:
        with self._counting:
            self._in_flight[key] += change
            if not self._in_flight[key]:
                del self._in_flight[key]

    def _impatience(self, waiting: _Waiting, key: tuple[str, str]) -> Exception:
        if self._in_flight[key] > 1:
            return RequestInProgress()
        return TemporarilyUnavailable() if waiting.take() else OutcomeUnknown()

    def _run(self) -> None:
        while True:
            batch, last = self._next_batch()
            if batch:
                self._post(batch)
            if last:
                self._disconnect()
                return

    def _next_batch(self) -> tuple[list[_Waiting], bool]:
        """Wait for one posting, then take what else is there. The flag says that the poster is to end."""
        batch: list[_Waiting] = []
        waiting = self._queue.get()
        while True:
            if waiting is None:
                return batch, True
            if waiting.take():
                batch.append(waiting)
            if len(batch) == MAX_BATCH:
                return batch, False
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                return batch, False

    def _post(self, batch: list[_Waiting]) -> None:
        """Post a batch, in pieces where the whole fails: one bad posting fails alone."""
        try:
            outcomes = self._try(batch)
        except Exception as error:
            self._disconnect()
            if len(batch) > 1 and not isinstance(error, TemporarilyUnavailable | OutcomeUnknown):
                for waiting in batch:
                    self._post([waiting])
                return
            if not isinstance(error, TemporarilyUnavailable | OutcomeUnknown):
                log.exception("a posting could not be posted")
            for waiting in batch:
                waiting.answer(None, error)
            return
        for waiting, outcome in zip(batch, outcomes, strict=True):
            waiting.answer(outcome)

    def _try(self, batch: list[_Waiting]) -> list[Outcome]:
        """Try a batch until it is committed. Raises what no further try would mend."""
        connection_lost = False
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._once(batch)
            except psycopg.errors.LockNotAvailable as error:
                # Somebody outside holds a row of one of them; the others must not wait for it again and again.
                self._rollback()
                if len(batch) > 1:
                    raise
                raise TemporarilyUnavailable from error
            except _TRANSIENT:
                self._rollback()
            except psycopg.OperationalError as error:
                log.warning("the ledger's connection failed (%s), attempt %d", type(error).__name__, attempt)
                connection_lost = connection_lost or self._connection is not None
                self._disconnect()
            if attempt < _ATTEMPTS:
                time.sleep(random.uniform(0.5, 1.0) * 0.02 * 3**attempt)  # noqa: S311  # jitter, not a secret
        raise OutcomeUnknown if connection_lost else TemporarilyUnavailable

    def _once(self, batch: list[_Waiting]) -> list[Outcome]:
        connection = self._connect()
        assert self._issuer_id is not None
        assert self._monies is not None
        postings = [(waiting.transaction_id, waiting.posting) for waiting in batch]
        self._know_monies_of(connection, batch)
        return post_batch(connection, issuer_id=self._issuer_id, monies=self._monies, batch=postings)

    def _connect(self) -> Connection:
        if self._connection is None:
            connection = psycopg.connect(self._database_url, autocommit=True, options=CONNECTION_OPTIONS)
            row = connection.execute("SELECT id FROM issuer").fetchone()
            if row is None:
                connection.close()
                raise TemporarilyUnavailable
            self._issuer_id = row[0]
            self._monies = Monies(connection, row[0])
            self._connection = connection
        return self._connection

    def _know_monies_of(self, connection: Connection, batch: list[_Waiting]) -> None:
        """Read the monies again when a posting names one that was added since."""
        assert self._monies is not None
        assert self._issuer_id is not None
        named = {getattr(waiting.posting, "money", None) for waiting in batch} - {None}
        if not named <= self._monies.id_of.keys():
            self._monies = Monies(connection, self._issuer_id)

    def _rollback(self) -> None:
        try:
            if self._connection is not None:
                self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
