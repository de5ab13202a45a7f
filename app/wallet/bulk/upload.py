"""A file comes in: kept on disk while it is read, never whole in memory, and its rows go to PostgreSQL by COPY."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db import session
from app.ids import new_id, same
from app.issuer import current_issuer
from app.wallet.bulk.errors import BulkTooManyJobs
from app.wallet.bulk.models import BulkJob
from app.wallet.bulk.problems import FileProblem
from app.wallet.bulk.reading import rows
from app.wallet.bulk.text_file import MAX_FILE_BYTES, encoding_of
from app.wallet.errors import LedgerRefusal

MAX_OPEN_JOBS = 50
"""Jobs of one client that are neither done nor rejected."""

_CHUNK_BYTES = 64 * 1024
_IN_MEMORY_BYTES = 512 * 1024
_COPY = """
    COPY bulk_row (job_id, line, issuer_id, state, member, money, amount_yen, kind, expires_on, description, reference,
                   problems) FROM STDIN
"""


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class FileTooLarge(Exception):
    """More than MAX_FILE_BYTES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An uploaded file, on this machine for as long as it is being read."""

    content: BinaryIO
    sha256: bytes
    size_bytes: int


@contextmanager
def received(stream: Stream) -> Iterator[Received]:
    """All of a stream. Raises FileTooLarge. Outside every transaction: a sender may take minutes."""
    digest = hashlib.sha256()
    size_bytes = 0
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as content:
        while chunk := stream.read(_CHUNK_BYTES):
            size_bytes += len(chunk)
            if size_bytes > MAX_FILE_BYTES:
                raise FileTooLarge
            digest.update(chunk)
            content.write(chunk)
        yield Received(content=content, sha256=digest.digest(), size_bytes=size_bytes)  # type: ignore[arg-type]


def upload(
    file: Received,
    *,
    client_id: str | None,
    upload_key: str,
    file_format: str,
    file_name: str,
) -> tuple[UUID, bool]:
    """Make a job of a file; returns its id, and whether an earlier upload of this name had made it already.

    What cannot be used at all makes a job, too: one that is rejected and says why. Raises LedgerRefusal
    (`request_id_conflict`) where another file came under this name before, and BulkTooManyJobs.
    """
    job_id = new_id()
    values = {
        "id": job_id,
        "issuer_id": current_issuer().id,
        "client_id": client_id,
        "upload_key": upload_key,
        "file_sha256": file.sha256,
        "file_name": file_name,
        "size_bytes": file.size_bytes,
        "format": file_format,
    }
    made = insert(BulkJob).values(**values).on_conflict_do_nothing(index_elements=["client_id", "upload_key"])
    if session().scalar(made.returning(BulkJob.id)) is None:
        return _known(file, client_id=client_id, upload_key=upload_key, file_format=file_format), True
    _check_open_jobs(client_id)
    _read(job_id, file, file_format=file_format)
    return job_id, False


def _known(file: Received, *, client_id: str | None, upload_key: str, file_format: str) -> UUID:
    named = BulkJob.client_id.is_(None) if client_id is None else BulkJob.client_id == client_id
    job = session().scalars(select(BulkJob).where(named, BulkJob.upload_key == upload_key)).one()
    if not same(job.file_sha256, file.sha256) or job.format != file_format:
        raise LedgerRefusal("request_id_conflict")
    return job.id


def _check_open_jobs(client_id: str | None) -> None:
    mine = BulkJob.client_id == client_id, BulkJob.state.not_in(("done", "rejected"))
    if (session().scalar(select(func.count()).where(*mine)) or 0) > MAX_OPEN_JOBS:
        raise BulkTooManyJobs


def _read(job_id: UUID, file: Received, *, file_format: str) -> None:
    found: dict[str, object]
    try:
        encoding = encoding_of(file.content)
        with session().begin_nested():  # a file that breaks off leaves no rows
            found = {"encoding": encoding, "lines": _copy(job_id, file, file_format=file_format, encoding=encoding)}
    except FileProblem as refused:
        found = {"state": "rejected", "problem": refused.stored}
    session().execute(update(BulkJob).where(BulkJob.id == job_id).values(**found))


def _copy(job_id: UUID, file: Received, *, file_format: str, encoding: str) -> int:
    issuer_id, count = current_issuer().id, 0
    connection = session().connection().connection.driver_connection
    assert connection is not None
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row in rows(file.content, file_format=file_format, encoding=encoding):
            copy.write_row(
                (
                    job_id,
                    row.line,
                    issuer_id,
                    "bad" if row.problems else "waiting",
                    row.member,
                    row.money,
                    row.amount_yen,
                    row.kind,
                    row.expires_on,
                    row.description,
                    row.reference,
                    Jsonb(row.problems) if row.problems else None,
                )
            )
            count += 1
    return count
