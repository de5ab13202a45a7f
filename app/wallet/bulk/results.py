"""What became of each line, as a file: CSV for spreadsheets, or JSON lines. Streamed, whatever its size."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.db import autocommit
from app.wallet.bulk.models import BulkRow

COLUMNS = (
    "line",
    "reference",
    "member",
    "money",
    "kind",
    "amount_yen",
    "expires_on",
    "description",
    "state",
    "code",
    "reason",
    "transaction_id",
    "balance_yen",
)
_PAGE = 1_000
_FORMULA_BEGINS = tuple("=+-@\t\r")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

Say = Callable[[dict[str, Any]], str]
"""The sentence for a problem or a refusal (its `code` and detail)."""


def as_csv(job_id: UUID, *, say: Say) -> Iterator[str]:
    """With a BOM, so that Excel reads it as UTF-8, and nothing in it is taken for a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    out.write("\ufeff")
    writer.writerow(COLUMNS)
    for page in _pages(job_id):
        writer.writerows([harmless(line[name]) for name in COLUMNS] for line in map(_shown(say), page))
        yield _taken(out)
    yield _taken(out)


def as_json_lines(job_id: UUID, *, say: Say) -> Iterator[str]:
    for page in _pages(job_id):
        yield "".join(_ENCODER.encode(line) + "\n" for line in map(_shown(say), page))


def harmless(value: Any) -> Any:
    """A cell as a spreadsheet may have it: text that it might run as a formula gets an apostrophe before it.

    Full-width signs count as well; a spreadsheet in Japanese takes them for the others.
    """
    if isinstance(value, str) and unicodedata.normalize("NFKC", value[:1]).startswith(_FORMULA_BEGINS):
        return f"'{value}"
    return value


def _pages(job_id: UUID) -> Iterator[list[Any]]:
    """All lines, a thousand at a time, each page by its own read: a slow reader holds no transaction open."""
    after = 0
    while True:
        query = select(BulkRow.__table__).where(BulkRow.job_id == job_id, BulkRow.line > after)
        with autocommit().connect() as connection:
            page = list(connection.execute(query.order_by(BulkRow.line).limit(_PAGE)))
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after = page[-1].line


def _shown(say: Say) -> Callable[[Any], dict[str, Any]]:
    def shown(row: Any) -> dict[str, Any]:
        wrong = row.problems or ([{**row.refusal_detail, "code": row.refusal}] if row.refusal else [])
        return {
            "line": row.line,
            "reference": row.reference,
            "member": row.member,
            "money": row.money,
            "kind": row.kind,
            "amount_yen": row.amount_yen,
            "expires_on": row.expires_on.isoformat() if row.expires_on else None,
            "description": row.description,
            "state": row.state,
            "code": wrong[0]["code"] if wrong else None,
            "reason": " ".join(map(say, wrong)) or None,
            "transaction_id": str(row.transaction_id) if row.transaction_id else None,
            "balance_yen": row.balance_yen,
        }

    return shown


def _taken(out: io.StringIO) -> str:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text
