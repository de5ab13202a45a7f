"""Word that a job is done."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, update

from app import outbox
from app.db import session
from app.messaging.compose import compose_mail
from app.money import format_yen
from app.wallet.bulk.models import BulkJob


def announce(job_id: UUID) -> None:
    """Tell who wanted to know, with the transaction that ends the job: once, then the address is forgotten."""
    job = session().scalars(select(BulkJob).where(BulkJob.id == job_id)).one()
    if job.notify is None:
        return
    mail = compose_mail(
        to=job.notify,
        message="bulk_done",
        locale="ja",
        file_name=job.file_name or str(job.id),
        job_id=str(job.id),
        accepted_lines=job.accepted_lines,
        refused_lines=job.refused_lines,
        moved=format_yen(job.moved_yen),
    )
    outbox.emit("mail", mail)
    session().execute(update(BulkJob).where(BulkJob.id == job_id).values(notify=None))
