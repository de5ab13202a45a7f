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
from collections.abc import Sequence
from uuid import UUID

import psycopg

from app.db import ENDS_WITH_ITS_HOST
from app.ids import new_id
from app.settings import Settings
from app.wallet.batch import post_batch
from app.wallet.errors import OutcomeUnknown, RequestInProgress, TemporarilyUnavailable
from app.wallet.postings import Outcome, Posting
from app.wallet.rulebook import Connection, Rulebook, RulesChanged
from app.wallet.statements import CONNECTION_OPTIONS

log = logging.getLogger(__name__)

MAX_BATCH = 128
PATIENCE_S = 5.0
"""How long a request waits for its answer before it is told to ask again."""

PATIENCE_MANY_S = 30.0
"""How long a request of many postings waits."""

_ATTEMPTS = 5

_TRANSIENT = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UniqueViolation,  # another poster wrote the same request first: the next try finds its row
    RulesChanged,
)


class _Waiting:
    """One posting in the queue, and the place where its answer appears."""

    __slots__ = ("_done", "_taken", "error", "outcome", "perhaps_sent", "posting", "transaction_id")

    def __init__(self, posting: Posting) -> None:
        self.posting = posting
        self.transaction_id = new_id()
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.perhaps_sent = False  # a connection was lost over it: PostgreSQL may be committing it even now
        self._taken = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()

    @property
    def key(self) -> tuple[str, str]:
        return self.posting.requester, self.posting.request_id

    def take(self) -> bool:
        """Whoever takes it first, poster or impatient request, decides what becomes of it."""
        return self._taken.acquire(blocking=False)

    def answer(self, outcome: Outcome | None, error: Exception | None = None) -> None:
        self.outcome, self.error = outcome, error
        self._done.release()

    def wait(self, timeout_s: float) -> bool:
        return self._done.acquire(timeout=timeout_s)


class Poster:
    """The ledger's writer in this process. `post` may be called from any thread.

    Days and months of its ceilings begin in `time_zone`, the issuer's.
    """

    def __init__(
        self, database_url: str, *, time_zone: str = Settings.time_zone, options: str = CONNECTION_OPTIONS
    ) -> None:
        self._database_url = database_url
        self._time_zone = time_zone
        self._options = options
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._undecided: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()
        self._connection: Connection | None = None
        self._issuer_id: UUID | None = None
        self._rulebook: Rulebook | None = None
        self._thread = threading.Thread(target=self._run, name="poster", daemon=True)
        self._thread.start()

    def post(self, posting: Posting, *, patience_s: float = PATIENCE_S) -> Outcome:
        """Post and wait for the answer, at most `patience_s` seconds.

        Raises TemporarilyUnavailable (this sending was withdrawn, and no other of its name is under way here),
        RequestInProgress (another one is) or OutcomeUnknown (this one still is): ask again with the same name.
        """
        return self._outcome(*self._send([posting]), patience_s=patience_s)

    def post_many(self, postings: Sequence[Posting], *, patience_s: float = PATIENCE_MANY_S) -> list[Outcome]:
        """Post all of them, in order, and wait for every answer, at most `patience_s` seconds in all.

        Raises what the first unanswered one would: send all again with the same names; what was decided is answered
        from its row.
        """
        deadline_s = time.monotonic() + patience_s
        sent = self._send(postings)
        outcomes: list[Outcome] = []
        failure: Exception | None = None
        for waiting in sent:
            try:
                outcomes.append(self._outcome(waiting, patience_s=max(0, deadline_s - time.monotonic())))
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return outcomes

    def _send(self, postings: Sequence[Posting]) -> list[_Waiting]:
        sent = [_Waiting(posting) for posting in postings]
        self._count(sent, 1)
        for waiting in sent:
            self._queue.put(waiting)
        return sent

    def _outcome(self, waiting: _Waiting, *, patience_s: float) -> Outcome:
        if not waiting.wait(patience_s):
            if waiting.take():
                self._count([waiting], -1)
                raise RequestInProgress if self._undecided[waiting.key] else TemporarilyUnavailable
            if not waiting.wait(0):
                raise OutcomeUnknown
        if waiting.error is not None:
            raise waiting.error
        assert waiting.outcome is not None
        return waiting.outcome

    def close(self) -> None:
        """Answer what is waiting, then end the thread and its connection."""
        self._queue.put(None)
        self._thread.join()

    def _count(self, sendings: Sequence[_Waiting], change: int) -> None:
        """Sendings of one name that are neither answered nor withdrawn, whoever still waits for them."""
        undecided = self._undecided
        with self._counting:
            for waiting in sendings:
                key = waiting.key
                left = undecided.get(key, 0) + change
                if left:
                    undecided[key] = left
                else:
                    del undecided[key]

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
            self._count(batch, -1)
            for waiting in batch:
                waiting.answer(None, OutcomeUnknown() if waiting.perhaps_sent else error)
            return
        self._count(batch, -1)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            waiting.answer(outcome)

    def _try(self, batch: list[_Waiting]) -> list[Outcome]:
        """Try a batch until it is committed. Raises what no further try would mend."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._once(batch)
            except psycopg.errors.LockNotAvailable as error:
                # Somebody outside holds a row of one of them; the others must not wait for it again and again.
                self._rollback()
                if len(batch) > 1:
                    raise
                raise TemporarilyUnavailable from error
            except psycopg.errors.CheckViolation:
                # A rule or the day may have changed between the decision and the write. Once more, then one by one.
                self._rollback()
                if attempt > 1:
                    raise
            except _TRANSIENT:
                self._rollback()
            except psycopg.OperationalError as error:
                log.warning("the ledger's connection failed (%s), attempt %d", type(error).__name__, attempt)
                if self._connection is not None:
                    for waiting in batch:
                        waiting.perhaps_sent = True
                self._disconnect()
            if attempt < _ATTEMPTS:
                time.sleep(random.uniform(0.5, 1.0) * 0.02 * 3**attempt)  # noqa: S311  # jitter, not a secret
        raise TemporarilyUnavailable

    def _once(self, batch: list[_Waiting]) -> list[Outcome]:
        connection = self._connect()
        assert self._issuer_id is not None
        assert self._rulebook is not None
        postings = [(waiting.transaction_id, waiting.posting) for waiting in batch]
        return post_batch(
            connection, issuer_id=self._issuer_id, time_zone=self._time_zone, rulebook=self._rulebook, batch=postings
        )

    def _connect(self) -> Connection:
        if self._connection is None:
            connection = psycopg.connect(
                self._database_url, **ENDS_WITH_ITS_HOST, autocommit=True, options=self._options
            )
            row = connection.execute("SELECT id FROM issuer").fetchone()
            if row is None:
                connection.close()
                raise TemporarilyUnavailable
            self._issuer_id = row[0]
            self._rulebook = Rulebook(connection, row[0])
            self._connection = connection
        return self._connection

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
