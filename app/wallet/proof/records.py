"""What is sealed of a transaction: its own row and its transfers, read by position, as the sections of its leaf."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from app.wallet.proof import commitments
from app.wallet.proof.commitments import SECTIONS

_INSTANT = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

_TRANSACTIONS = f"""
    SELECT t.position, t.id::text, t.issuer_id::text, t.kind, m.code, t.amount_yen, t.shop_id::text, s.code,
           t.reverses::text, t.hold_id::text, {_INSTANT.format("t.created_at")},
           t.member_id::text, t.requester, t.request_id, t.grant_id::text, t.terminal_id::text, t.card_id::text,
           t.description, t.metadata, {_INSTANT.format("t.taken_at")}
      FROM transaction t
      LEFT JOIN money m ON m.id = t.money_id
      LEFT JOIN shop s ON s.id = t.shop_id
     WHERE t.issuer_id = %(issuer)s AND t.position BETWEEN %(first)s AND %(last)s
     ORDER BY t.position
"""  # noqa: S608  # nothing but our own words

_TRANSFERS = """
    SELECT t.position, f.line, m.code, f.debit_account_id, f.credit_account_id, f.amount_yen, f.debit_after_yen,
           f.credit_after_yen
      FROM transaction t
      JOIN transfer f ON f.transaction_id = t.id
      LEFT JOIN money m ON m.id = f.money_id
     WHERE t.issuer_id = %(issuer)s AND t.position BETWEEN %(first)s AND %(last)s
     ORDER BY t.position, f.line
"""

_RECEIPT = (
    *("position", "id", "issuer_id", "kind", "money", "amount_yen", "shop_id", "shop"),
    *("reverses", "hold_id", "created_at"),
)
_DETAILS = (
    *("member_id", "requester", "request_id", "grant_id", "terminal_id", "card_id"),
    *("description", "metadata", "taken_at"),
)
_METADATA = _DETAILS.index("metadata")
_TRANSFER = (
    *("line", "money", "debit_account_id", "credit_account_id", "amount_yen"),
    *("debit_after_yen", "credit_after_yen"),
)
"""The names in each section, in the order of the columns above."""


@dataclass(frozen=True, slots=True)
class Record:
    """One transaction as it is sealed."""

    position: int
    contents: tuple[dict[str, Any], ...]
    """By section, in the order of `SECTIONS`."""

    def leaf(self, blinding: bytes) -> bytes:
        """Its leaf in a block of that secret."""
        return commitments.transaction_leaf(self.digests(blinding))

    def digests(self, blinding: bytes) -> list[bytes]:
        """The hash of each section."""
        return [
            commitments.section_digest(self.nonce(blinding, section), content)
            for section, content in zip(SECTIONS, self.contents, strict=True)
        ]

    def nonce(self, blinding: bytes, section: str) -> bytes:
        """The nonce of one section."""
        return commitments.nonce(blinding, position=self.position, section=section)


def read(connection: Connection[Any], *, issuer_id: UUID, first: int, last: int) -> Iterator[Record]:
    """The transactions of these positions, in their order. A position that is missing is left out."""
    where = {"issuer": issuer_id, "first": first, "last": last}
    with connection.cursor(row_factory=tuple_row) as cursor:
        transfers = {
            position: [dict(zip(_TRANSFER, row[1:], strict=True)) for row in rows]
            for position, rows in groupby(cursor.execute(_TRANSFERS, where).fetchall(), key=itemgetter(0))
        }
        for row in cursor.execute(_TRANSACTIONS, where):
            yield _record(row, transfers.get(row[0], []))


def _record(row: tuple[Any, ...], transfers: list[dict[str, Any]]) -> Record:
    receipt, details = row[: len(_RECEIPT)], list(row[len(_RECEIPT) :])
    details[_METADATA] = _texts(details[_METADATA])
    contents = (
        dict(zip(_RECEIPT, receipt, strict=True)),
        dict(zip(_DETAILS, details, strict=True)),
        {"transfers": transfers},
    )
    return Record(position=row[0], contents=contents)


def _texts(metadata: Any) -> Any:
    """Metadata holds texts. Whatever else it should hold one day is sealed as its JSON text: sealing never stops."""
    if isinstance(metadata, dict):
        return {name: value if isinstance(value, str) else _json(value) for name, value in metadata.items()}
    return _json(metadata)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
