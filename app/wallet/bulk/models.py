"""Rows of bulk jobs: an uploaded file, and its lines as they were understood, each with what became of it.

Nothing here is money: what moved is in the ledger, under the request `bulk:<job>:<line>`. A row only remembers the
ledger's answer, so that it can be read out as a file.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id

STATES = ("examining", "examined", "rejected", "running", "stopped", "done")
ROW_STATES = ("waiting", "bad", "accepted", "refused")
KINDS = ("grant", "correction", "take_back")
KEPT = timedelta(days=90)
"""How long the lines of a job are kept once it is over, and a job that nobody starts."""


class BulkJob(Base):
    """One uploaded file and how far it has come."""

    __tablename__ = "bulk_job"
    __table_args__ = (
        UniqueConstraint("client_id", "upload_key", postgresql_nulls_not_distinct=True),
        CheckConstraint(f"state IN {STATES}", name="state"),
        CheckConstraint("format IN ('csv', 'jsonl')", name="format"),
        CheckConstraint("encoding IN ('utf-8', 'utf-8-sig', 'cp932')", name="encoding"),
        CheckConstraint("size_bytes >= 0 AND lines >= 0 AND bad_lines >= 0", name="counts_not_negative"),
        CheckConstraint("accepted_lines >= 0 AND refused_lines >= 0 AND moved_yen >= 0", name="done_not_negative"),
        CheckConstraint("bad_lines + accepted_lines + refused_lines <= lines", name="done_are_lines"),
        CheckConstraint("moved_yen <= sum_yen", name="moved_is_of_sum"),
        CheckConstraint("(state = 'rejected') = (problem IS NOT NULL)", name="rejected_says_why"),
        CheckConstraint("state NOT IN ('running', 'stopped', 'done') OR started_at IS NOT NULL", name="started"),
        CheckConstraint("(state = 'done') = (finished_at IS NOT NULL)", name="finished"),
        Index("ix_bulk_job_to_do", "due_at", postgresql_where=text("state IN ('examining', 'running')")),
        # The same file moves value twice only where somebody said so.
        Index(
            "uq_bulk_job_file",
            "issuer_id",
            "file_sha256",
            unique=True,
            postgresql_where=text("started_at IS NOT NULL AND NOT same_file"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    client_id: Mapped[str | None] = mapped_column(ForeignKey("oauth_client.id"), comment="null: the office itself")
    upload_key: Mapped[str] = mapped_column(comment="the Idempotency-Key of its upload")
    file_sha256: Mapped[bytes]
    file_name: Mapped[str] = mapped_column(default="", server_default="")
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str]
    encoding: Mapped[str | None]
    state: Mapped[str] = mapped_column(default="examining", server_default="examining")
    problem: Mapped[dict[str, Any] | None] = mapped_column(comment="why the whole file was rejected")
    lines: Mapped[int] = mapped_column(Integer, default=0, server_default="0", comment="that say something")
    bad_lines: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    accepted_lines: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    refused_lines: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    sum_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0", comment="of all good lines")
    moved_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    sums: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, default=list, server_default=text("'[]'"), comment="good lines by money and kind"
    )
    same_file: Mapped[bool] = mapped_column(
        default=False, server_default="false", comment="started although the same file had been before"
    )
    notify: Mapped[str | None] = mapped_column(comment="whom to mail when it is done; blanked then")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    examined_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None] = mapped_column(comment="first")
    resumed_at: Mapped[datetime | None] = mapped_column(comment="last")
    resumed_lines: Mapped[int] = mapped_column(
        Integer, default=0, server_default="0", comment="how many were done when it was started last"
    )
    finished_at: Mapped[datetime | None]
    due_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="while leased: when the lease ends")
    lease: Mapped[int] = mapped_column(Integer, default=0, server_default="0", comment="the number of the last lease")


class BulkRow(Base):
    """One line of a file, by the number it has in an editor (of a record over several lines, the first)."""

    __tablename__ = "bulk_row"
    __table_args__ = (
        CheckConstraint(f"state IN {ROW_STATES}", name="state"),
        CheckConstraint(f"kind IN {KINDS}", name="kind"),
        CheckConstraint("amount_yen > 0", name="amount_positive"),
        CheckConstraint("(state = 'bad') = (problems IS NOT NULL)", name="bad_says_why"),
        CheckConstraint(
            "state = 'bad' OR num_nulls(member, money, amount_yen, kind, description, reference) = 0", name="complete"
        ),
        CheckConstraint("(state = 'accepted') = (transaction_id IS NOT NULL)", name="accepted_moved"),
        CheckConstraint("(state = 'refused') = (refusal IS NOT NULL)", name="refused_says_why"),
        Index("ix_bulk_row_bad", "job_id", "line", postgresql_where=text("problems IS NOT NULL")),
        {"postgresql_with": {"fillfactor": 70}},
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("bulk_job.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(Integer, primary_key=True)
    issuer_id: Mapped[UUID]
    state: Mapped[str]
    member: Mapped[str | None] = mapped_column(comment="as the file names them: id or address")
    member_id: Mapped[UUID | None] = mapped_column(comment="who that was when the file was examined")
    money: Mapped[str | None]
    amount_yen: Mapped[int | None] = mapped_column(BigInteger)
    kind: Mapped[str | None]
    expires_on: Mapped[date | None]
    description: Mapped[str | None]
    reference: Mapped[str | None] = mapped_column(comment="the file's own name of the line")
    problems: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    transaction_id: Mapped[UUID | None]
    balance_yen: Mapped[int | None] = mapped_column(BigInteger, comment="of the wallet, right after it")
    refusal: Mapped[str | None] = mapped_column(comment="the error's code")
    refusal_detail: Mapped[dict[str, Any] | None]
