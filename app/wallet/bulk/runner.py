"""Runs bulk jobs in the background: examines new files, and posts the lines of started ones slice by slice.

Several may run. A job is leased, and the lease is renewed with every slice; a worker that dies leaves it to run out.
That two ever work on one job at once is harmless all the same: the request of a line is always called
`bulk:<job>:<line>`, so that the ledger moves its value once and answers the same again, and a row is marked once.

Between slices it rests as long as the slice took: payments at lunch wait for one slice at most, and have half of the
ledger's time to themselves.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import ARRAY, Integer, Row, TextClause, Uuid, bindparam, text

from app.db import DATABASE_AWAY, session, transaction
from app.issuer import issuer_today
from app.wallet import ledger
from app.wallet.bulk import announce
from app.wallet.bulk import statements as sql
from app.wallet.documents import document
from app.wallet.errors import LedgerRefusal
from app.wallet.postings import SYSTEM, Accepted, Adjustment, Declined, Outcome, Posting, Refused

log = logging.getLogger("kumiai.bulk")

SLICE = 64
LEASE_S = 10
LATEST_EXPIRY = timedelta(days=3660)
_LOOK_EVERY_S = 1.0
_AGAIN_AFTER_S = 1.0
_LEASE_FOR = {"lease_for": timedelta(seconds=LEASE_S)}

_BOOKS = {"correction": "corrected", "take_back": "corrected"}
_NEW_WALLETS = text(sql.NEW_WALLETS).bindparams(bindparam("lines", type_=ARRAY(Integer())))
_NEW_LOTS = text(sql.NEW_LOTS).bindparams(bindparam("wallets", type_=ARRAY(Uuid())))


@dataclass(slots=True)
class _Job:
    """A job in this worker's hands, and how far it has come with it."""

    id: UUID
    lease: int
    state: str
    client_id: str | None
    file_name: str
    after: int = 0


class BulkRunner:
    """One worker's bulk jobs, one at a time. `rest` is how long it rests after a slice, in times of the slice."""

    def __init__(self, app: Flask, *, rest: float = 1.0) -> None:
        self._app = app
        self._rest = rest
        self._stopping = threading.Event()
        self._job: _Job | None = None
        self._outcomes: list[tuple[int, Outcome]] = []

    def stop(self) -> None:
        """Finish the slice in hand, then return from `run`."""
        self._stopping.set()

    def run(self) -> None:
        """Work until `stop`. A lost database is waited for."""
        while not self._stopping.is_set():
            try:
                if not self.work():
                    self._stopping.wait(_LOOK_EVERY_S)
            except (*DATABASE_AWAY, LedgerRefusal) as error:
                self._again(type(error).__name__)
            except Exception:  # whatever is wrong with one job, the others go on
                log.exception("a bulk job failed")
                self._again("a failure of our own")
                self._job = None  # its lease runs out
        self._give_back()

    def work(self) -> bool:
        """One step of one job: examine it, or post a slice of it. False when there is nothing to do."""
        with self._app.app_context():
            if self._job is None:
                self._job = self._lease()
            if self._job is None:
                return False
            if self._job.state == "examining":
                self._examine(self._job)
            else:
                self._slice(self._job)
            return True

    def _lease(self) -> _Job | None:
        with transaction():
            row = _run(sql.LEASE, **_LEASE_FOR).one_or_none()
        return None if row is None else _Job(*row)

    def _examine(self, job: _Job) -> None:
        today = issuer_today()
        with transaction():
            if self._holds(job):
                _run(sql.ANALYZE)
                _run(sql.JUDGE, job=job.id, today=today, latest=today + LATEST_EXPIRY)
                _run(sql.EXAMINED, job=job.id)
        self._job = None

    def _slice(self, job: _Job) -> None:
        rows = self._mark_and_take(job)
        if self._job is None:
            return
        if not rows:
            self._finish(job)
            return
        began_s = time.monotonic()
        outcomes = ledger.post_many([_posting(job, row) for row in rows])
        self._outcomes = list(zip((row.line for row in rows), outcomes, strict=True))
        job.after = rows[-1].line
        self._stopping.wait(self._rest * (time.monotonic() - began_s))

    def _mark_and_take(self, job: _Job) -> list[Row[Any]]:
        """Remember what became of the last slice, and take the next, if the job is still ours and still runs."""
        with transaction():
            if self._outcomes:
                marks = document(_mark(line, outcome) for line, outcome in self._outcomes)
                _run(sql.MARK, job=job.id, outcomes=marks)
            rows: list[Row[Any]] = []
            held = self._holds(job)
            if held:
                rows = list(_run(sql.NEXT, job=job.id, after=job.after, most=SLICE).all())
                _open_wallets(job, [row.line for row in rows])
        self._outcomes = []
        if not held:
            self._job = None
        return rows

    def _finish(self, job: _Job) -> None:
        with transaction():
            if _run(sql.FINISH, job=job.id, lease=job.lease).one_or_none() is not None:
                announce.announce(job.id)
                self._job = None
            else:
                job.after = 0  # something was left, or the job is not ours any more: the next step finds out

    def _holds(self, job: _Job) -> bool:
        held = _run(sql.HOLD, job=job.id, lease=job.lease, state=job.state, **_LEASE_FOR)
        return held.one_or_none() is not None

    def _again(self, why: str) -> None:
        """Begin the slice again: what was posted of it is answered from its row."""
        log.warning("bulk work was interrupted (%s); trying again", why)
        self._outcomes = []
        if self._job is not None:
            self._job.after = 0
        self._stopping.wait(_AGAIN_AFTER_S)

    def _give_back(self) -> None:
        job = self._job
        if job is None:
            return
        try:
            with self._app.app_context(), transaction():
                if self._outcomes:
                    marks = document(_mark(line, outcome) for line, outcome in self._outcomes)
                    _run(sql.MARK, job=job.id, outcomes=marks)
                _run(sql.GIVE_BACK, job=job.id, lease=job.lease)
        except DATABASE_AWAY:
            log.warning("no database at the end; the lease of bulk job %s runs out by itself", job.id)


def request_id(job_id: UUID, line: int) -> str:
    """The name under which the ledger knows a line, for ever."""
    return f"bulk:{job_id}:{line}"


def requester(client_id: str | None) -> str:
    """In whose name a job's lines are posted: its client's, or the system's for what the office uploads."""
    return client_id or SYSTEM


def _posting(job: _Job, row: Row[Any]) -> Posting:
    asked = {
        "requester": requester(job.client_id),
        "request_id": request_id(job.id, row.line),
        "params_hash": ledger.params_hash(
            {
                "member_id": str(row.member_id),
                "money": row.money,
                "amount_yen": row.amount_yen,
                "kind": row.kind,
                "expires_on": row.expires_on.isoformat() if row.expires_on else None,
                "description": row.description,
                "reference": row.reference,
            }
        ),
        "member_id": row.member_id,
    }
    if row.member_is_closed:
        return Declined(**asked, refused=Refused(code="wallet_closed", detail={"money": row.money}))
    book = _BOOKS.get(row.kind) or ("points_granted" if row.backing == "free" else "granted")
    return Adjustment(
        **asked,
        money=row.money,
        amount_yen=row.amount_yen,
        book=book,
        takes_back=row.kind == "take_back",
        expires_on=row.expires_on,
        description=row.description,
        metadata={"bulk_job": str(job.id), "reference": row.reference},
    )


def _mark(line: int, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Accepted):
        return {
            "line": line,
            "state": "accepted",
            "transaction_id": str(outcome.transaction_id),
            "balance_yen": outcome.balance_yen,
        }
    return {"line": line, "state": "refused", "refusal": outcome.code, "refusal_detail": dict(outcome.detail)}


def _open_wallets(job: _Job, lines: list[int]) -> None:
    """A grant opens the wallet that a member does not have yet: a whole faculty gets its first points."""
    opened = session().scalars(_NEW_WALLETS, {"job": job.id, "lines": lines}).all() if lines else ()
    if opened:
        session().execute(_NEW_LOTS, {"wallets": list(opened)})


def _run(statement: str, **parameters: Any) -> Any:
    return session().execute(_text(statement), parameters)


def _text(statement: str) -> TextClause:
    return text(statement)
