"""Word that a job is done."""

from __future__ import annotations

from uuid import UUID

from flask import current_app
from sqlalchemy import select, update

from app import outbox
from app.db import session
from app.messaging.compose import compose_mail
from app.money import format_yen
from app.wallet.bulk.models import BulkJob
from app.wallet.webhooks.event_types import BULK_DONE
from app.wallet.webhooks.events import tell_client


def announce(job_id: UUID) -> None:
    """Tell who wanted to know, with the transaction that ends the job: by webhook, and once by mail."""
    job = session().scalars(select(BulkJob).where(BulkJob.id == job_id)).one()
    if job.client_id is not None:
        counts = {"lines": job.lines, "accepted_lines": job.accepted_lines, "refused_lines": job.refused_lines}
        data = {"job_id": str(job.id), "moved_yen": job.moved_yen, **counts}
        tell_client(BULK_DONE, client_id=job.client_id, subject=job.id, data=data)
    if job.notify is None:
        return
    mail = compose_mail(
        to=job.notify,
        message="bulk_done",
        locale=current_app.extensions["kumiai.settings"].default_locale,  # nobody said what the office reads
        file_name=job.file_name or str(job.id),
        job_id=str(job.id),
        accepted_lines=job.accepted_lines,
        refused_lines=job.refused_lines,
        moved=format_yen(job.moved_yen),
    )
    outbox.emit("mail", mail)
    session().execute(update(BulkJob).where(BulkJob.id == job_id).values(notify=None))
