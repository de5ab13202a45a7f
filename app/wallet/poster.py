"""The group-commit poster: one per process, the only writer of the ledger.

Requests put their postings in a queue and wait. The poster's thread takes whatever is waiting (at most 500, and it
never waits for more), posts it as one transaction on its own connection, and wakes them. While a commit is in
flight the next batch forms by itself: light load means batches of one, a lunch rush means large ones.

What fails is tried again, invisibly and a bounded number of times. That is always safe: a request that was
written answers from its row. The first try does not look for such rows, since nearly every request is new: one that is
not finds its name taken, and only then are they read.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Sequence
from uuid import UUID

import psycopg

from app.db import ENDS_WITH_ITS_HOST
from app.ids import new_id
from app.settings import Settings
from app.wallet.batch import Batch, post_batch
from app.wallet.errors import OutcomeUnknown, RequestInProgress, TemporarilyUnavailable
from app.wallet.postings import Outcome, Posting
from app.wallet.rulebook import Connection, Rulebook, RulesChanged
from app.wallet.statements import CONNECTION_OPTIONS

log = logging.getLogger(__name__)

GATHER_S = 0.006
"""How long it waits for more where the last batch was a crowd: they share what a commit costs. Fewer never wait."""
CROWD, ENOUGH = 4, 32
"""So many sendings at once are a crowd; for more than so many postings it does not wait."""
MAX_BATCH = 500
"""As many as one request may bring: what they share, from locks to the commit, is then paid for once."""

PATIENCE_S = 5.0
"""How long a request waits for its answer before it is told to ask again."""

PATIENCE_MANY_S = 30.0
"""How long a request of many postings waits."""

_ATTEMPTS = 5

_TRANSIENT = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    RulesChanged,
)


class _Sending:
    """Postings that were sent together, which are posted together, and the place where their answers appear."""

    __slots__ = ("_done", "_taken", "error", "named", "outcomes", "perhaps_sent")

    def __init__(self, postings: Sequence[Posting]) -> None:
        self.named = [(new_id(), posting) for posting in postings]
        """Each with the id of its transaction."""
        self.outcomes: Sequence[Outcome] = ()
        self.error: Exception | None = None
        self.perhaps_sent = False  # a connection was lost over it: PostgreSQL may be committing it even now
        self._taken = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()

    def names(self) -> set[tuple[str, str]]:
        return {(posting.requester, posting.request_id) for _, posting in self.named}

    def take(self) -> bool:
        """Whoever takes it first, poster or impatient request, decides what becomes of it."""
        return self._taken.acquire(blocking=False)

    def answer(self, outcomes: Sequence[Outcome], error: Exception | None = None) -> None:
        self.outcomes, self.error = outcomes, error
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
        self._queue: queue.SimpleQueue[_Sending | None] = queue.SimpleQueue()
        self._held_over: _Sending | None = None
        self._crowded = False
        self._undecided: set[_Sending] = set()
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
        return self._outcomes(self._send([posting]), patience_s=patience_s)[0]

    def post_many(self, postings: Sequence[Posting], *, patience_s: float = PATIENCE_MANY_S) -> list[Outcome]:
        """Post all of them, in order, and wait for every answer, at most `patience_s` seconds in all.

        Raises what the first unanswered ones would: send all again with the same names; what was decided is answered
        from its row.
        """
        deadline_s = time.monotonic() + patience_s
        sent = [self._send(postings[i : i + MAX_BATCH]) for i in range(0, len(postings), MAX_BATCH)]
        outcomes: list[Outcome] = []
        failure: Exception | None = None
        for sending in sent:
            try:
                outcomes += self._outcomes(sending, patience_s=max(0, deadline_s - time.monotonic()))
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return outcomes

    def _send(self, postings: Sequence[Posting]) -> _Sending:
        sending = _Sending(postings)
        self._undecided.add(sending)
        self._queue.put(sending)
        return sending

    def _outcomes(self, sending: _Sending, *, patience_s: float) -> Sequence[Outcome]:
        if not sending.wait(patience_s):
            if sending.take():
                self._undecided.discard(sending)
                raise RequestInProgress if self._is_under_way(sending) else TemporarilyUnavailable
            if not sending.wait(0):
                raise OutcomeUnknown
        if sending.error is not None:
            raise sending.error
        return sending.outcomes

    def close(self) -> None:
        """Answer what is waiting, then end the thread and its connection."""
        self._queue.put(None)
        self._thread.join()

    def _is_under_way(self, withdrawn: _Sending) -> bool:
        """Whether another sending with one of these names is undecided, whoever still waits for it."""
        names = withdrawn.names()
        return any(not names.isdisjoint(sending.names()) for sending in self._undecided.copy())

    def _run(self) -> None:
        while True:
            batch, last = self._next_batch()
            if batch:
                self._post(batch)
            if last:
                self._disconnect()
                return

    def _next_batch(self) -> tuple[list[_Sending], bool]:
        """Wait for one sending, then take what else is there and fits. The flag says that the poster is to end."""
        batch: list[_Sending] = []
        size = 0
        sending = self._held_over or self._queue.get()
        self._held_over = None
        until_s = time.monotonic() + (GATHER_S if self._crowded else 0)
        while sending is not None:
            if size and size + len(sending.named) > MAX_BATCH:
                self._held_over = sending
                return batch, False
            if sending.take():
                batch.append(sending)
                size += len(sending.named)
            try:
                sending = self._next(until_s if size < ENOUGH else 0)
            except queue.Empty:
                self._crowded = len(batch) >= CROWD
                return batch, False
        return batch, True

    def _next(self, until_s: float) -> _Sending | None:
        """What is there, or comes until then. Raises queue.Empty."""
        left_s = until_s - time.monotonic()
        return self._queue.get(timeout=left_s) if left_s > 0 else self._queue.get_nowait()

    def _post(self, batch: list[_Sending]) -> None:
        """Post a batch; where the whole fails, piece by piece: one bad posting fails alone."""
        try:
            outcomes = iter(self._try(batch, [named for sending in batch for named in sending.named]))
        except Exception as error:
            self._disconnect()
            self._post_in_pieces(batch, error)
            return
        for sending in batch:
            self._answer(sending, [next(outcomes) for _ in sending.named])

    def _post_in_pieces(self, batch: list[_Sending], error: Exception) -> None:
        hopeless = isinstance(error, TemporarilyUnavailable | OutcomeUnknown)
        if len(batch) > 1 and not hopeless:
            for sending in batch:
                self._post([sending])
            return
        for sending in batch:
            if hopeless or len(sending.named) == 1:
                if not hopeless:
                    log.exception("a posting could not be posted")
                self._answer(sending, (), error)
            else:
                self._answer(sending, *self._one_by_one(sending))

    def _one_by_one(self, sending: _Sending) -> tuple[list[Outcome], Exception | None]:
        """What became of each posting that could be posted; and the first failure among the others."""
        outcomes: list[Outcome] = []
        failure: Exception | None = None
        for named in sending.named:
            try:
                outcomes += self._try([sending], [named])
            except Exception as error:
                self._disconnect()
                if not isinstance(error, TemporarilyUnavailable | OutcomeUnknown):
                    log.exception("a posting could not be posted")
                failure = failure or error
        return outcomes, failure

    def _answer(self, sending: _Sending, outcomes: Sequence[Outcome], error: Exception | None = None) -> None:
        self._undecided.discard(sending)
        sending.answer(outcomes, OutcomeUnknown() if error is not None and sending.perhaps_sent else error)

    def _try(self, sendings: list[_Sending], batch: Batch) -> list[Outcome]:
        """Try a batch, of these sendings, until it is committed. Raises what no further try would mend."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._once(batch, repeats=attempt > 1)
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
            except psycopg.errors.UniqueViolation:  # a name that is taken: the next try finds its row
                self._rollback()
                if attempt == 1:
                    continue
            except _TRANSIENT:
                self._rollback()
            except psycopg.OperationalError as error:
                log.warning("the ledger's connection failed (%s), attempt %d", type(error).__name__, attempt)
                if self._connection is not None:
                    for sending in sendings:
                        sending.perhaps_sent = True
                self._disconnect()
            if attempt < _ATTEMPTS:
                time.sleep(random.uniform(0.5, 1.0) * 0.02 * 3**attempt)  # noqa: S311  # jitter, not a secret
        raise TemporarilyUnavailable

    def _once(self, batch: Batch, *, repeats: bool) -> list[Outcome]:
        connection = self._connect()
        assert self._issuer_id is not None
        assert self._rulebook is not None
        return post_batch(
            connection,
            issuer_id=self._issuer_id,
            time_zone=self._time_zone,
            rulebook=self._rulebook,
            batch=batch,
            repeats=repeats,
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
