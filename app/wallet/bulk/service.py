"""Bulk jobs as their clients see and steer them: show, start, stop, discard. The work itself is in runner.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, update

from app import clock
from app.db import session
from app.errors import NotFound
from app.wallet.bulk import statements as sql
from app.wallet.bulk.errors import BulkHasBadLines, BulkResultsGone, BulkSameFile, BulkStateWrong, BulkSumDiffers
from app.wallet.bulk.models import KEPT, BulkJob, BulkRow

OFFICE = None
"""Whose jobs those are that the office uploads itself. It sees every client's as well."""


def job_of(job_id: UUID, *, client_id: str | None) -> BulkJob:
    """A client's job. Raises NotFound for another's as for none; the office may see all."""
    job = session().get(BulkJob, job_id)
    if job is None or (client_id is not OFFICE and job.client_id != client_id):
        raise NotFound
    return job


def jobs() -> Sequence[BulkJob]:
    """The newest jobs, whoever uploaded them."""
    return session().scalars(select(BulkJob).order_by(BulkJob.id.desc()).limit(20)).all()


def view(job: BulkJob) -> dict[str, Any]:
    """A job as every reader sees it. Inside a transaction."""
    done_lines = job.accepted_lines + job.refused_lines
    return {
        "id": str(job.id),
        "state": job.state,
        "file_name": job.file_name,
        "file_sha256": job.file_sha256.hex(),
        "size_bytes": job.size_bytes,
        "format": job.format,
        "encoding": {"utf-8-sig": "utf-8", "cp932": "shift_jis"}.get(job.encoding or "", job.encoding),
        "same_file_started_at": _iso(_same_file_started_at(job)),
        "problem": job.problem,
        "lines": job.lines,
        "bad_lines": job.bad_lines,
        "good_lines": job.lines - job.bad_lines if job.examined_at else 0,
        "done_lines": done_lines,
        "accepted_lines": job.accepted_lines,
        "refused_lines": job.refused_lines,
        "sum_yen": job.sum_yen,
        "moved_yen": job.moved_yen,
        "left_sum_yen": _left(job).sum_yen if job.state in ("examined", "running", "stopped") else 0,
        "sums": job.sums,
        "rest_s": _rest_s(job),
        "created_at": _iso(job.created_at),
        "examined_at": _iso(job.examined_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
        "results_until": _iso(job.finished_at + KEPT) if job.finished_at else None,
    }


def check_results(job: BulkJob) -> None:
    """Raises BulkResultsGone where the lines are not kept any more."""
    if job.finished_at is not None and clock.now() > job.finished_at + KEPT:
        raise BulkResultsGone


def start(
    job_id: UUID,
    *,
    client_id: str | None,
    expected_sum_yen: int,
    skip_bad_lines: bool = False,
    same_file: bool = False,
    notify: str | None = None,
) -> BulkJob:
    """Let an examined or stopped job run; one that runs already is left alone. Inside a transaction.

    Raises BulkStateWrong, BulkHasBadLines, BulkSumDiffers and BulkSameFile, each of which the caller may answer by
    saying more.
    """
    job = _locked(job_id, client_id=client_id)
    if job.state == "running":
        return job
    if job.state not in ("examined", "stopped"):
        raise BulkStateWrong(state=job.state)
    if job.bad_lines and not skip_bad_lines:
        raise BulkHasBadLines(bad_lines=job.bad_lines)
    left = _left(job)
    if left.sum_yen != expected_sum_yen:
        raise BulkSumDiffers(sum_yen=left.sum_yen)
    if job.started_at is None:
        _check_file(job, same_file=same_file)
        job.started_at = clock.now()
    job.state = "running"
    job.resumed_at = clock.now()
    job.resumed_lines = job.accepted_lines + job.refused_lines
    job.notify = notify or job.notify
    session().execute(update(BulkJob).where(BulkJob.id == job.id).values(due_at=func.clock_timestamp()))
    session().flush()
    return job


def stop(job_id: UUID, *, client_id: str | None) -> BulkJob:
    """Let a running job go no further than the slice in hand. What has moved stays. Raises BulkStateWrong."""
    job = _locked(job_id, client_id=client_id)
    if job.state not in ("running", "stopped"):
        raise BulkStateWrong(state=job.state)
    job.state = "stopped"
    session().flush()
    return job


def discard(job_id: UUID, *, client_id: str | None) -> None:
    """Be rid of a job that never started, and of its lines. Raises BulkStateWrong of one that did: it may have moved
    lines that it does not know of yet.
    """
    job = _locked(job_id, client_id=client_id)
    if job.started_at is not None:
        raise BulkStateWrong(state=job.state)
    session().execute(delete(BulkRow).where(BulkRow.job_id == job_id))
    session().execute(delete(BulkJob).where(BulkJob.id == job_id))


def bad_rows(job_id: UUID, *, after: int, limit: int) -> tuple[list[tuple[int, dict[str, Any]]], int | None]:
    """One page of lines and what is wrong with each, and the line to go on after (None at the end)."""
    bad = select(BulkRow.line, BulkRow.problems).where(BulkRow.job_id == job_id, BulkRow.problems.is_not(None))
    rows = session().execute(bad.where(BulkRow.line > after).order_by(BulkRow.line).limit(limit + 1)).all()
    found = [(line, problem) for line, problems in rows[:limit] for problem in problems]
    return found, rows[limit - 1].line if len(rows) > limit else None


def _locked(job_id: UUID, *, client_id: str | None) -> BulkJob:
    job = job_of(job_id, client_id=client_id)
    session().refresh(job, with_for_update={"key_share": True})
    return job


def _left(job: BulkJob) -> Any:
    return session().execute(text(sql.LEFT), {"job": job.id}).one()


def _check_file(job: BulkJob, *, same_file: bool) -> None:
    """That the same file is not run twice by mistake. Two that begin at once come one after the other."""
    session().execute(select(func.pg_advisory_xact_lock(func.hashtextextended(job.file_sha256.hex(), 0))))
    before = _same_file_started_at(job)
    if before is not None and not same_file:
        raise BulkSameFile(started_at=_iso(before))
    job.same_file = before is not None


def _same_file_started_at(job: BulkJob) -> datetime | None:
    others = (
        BulkJob.issuer_id == job.issuer_id,
        BulkJob.file_sha256 == job.file_sha256,
        BulkJob.id != job.id,
        BulkJob.started_at.is_not(None),
    )
    return session().scalar(select(func.max(BulkJob.started_at)).where(*others))


def _rest_s(job: BulkJob) -> int | None:
    """How many seconds more, at the pace since it was started last; None where there is no telling."""
    done_lines = job.accepted_lines + job.refused_lines
    since = done_lines - job.resumed_lines
    if job.state != "running" or job.resumed_at is None or since <= 0:
        return None
    left_lines = job.lines - job.bad_lines - done_lines
    return round((clock.now() - job.resumed_at).total_seconds() / since * left_lines)


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
