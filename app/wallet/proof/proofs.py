"""Puts proof files together, and hands out the signed days. All by key, of rows that never change."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from app import clock
from app.db import autocommit
from app.errors import NotFound
from app.issuer import current_issuer, issuer_zone
from app.wallet.errors import LedgerRefusal
from app.wallet.proof import merkle, records, sealing
from app.wallet.proof.commitments import FORMAT, SECTIONS
from app.wallet.proof.records import Record
from app.wallet.proof.sealing import Block

_log = logging.getLogger("kumiai.proof")

OWN = ("receipt", "details")
"""What a member is shown of their own transaction. The accounts it moved, and a shop's takings after it, are not."""
RECEIPT = ("receipt",)
"""What anyone may see who is shown the receipt."""
_LATE = 60
"""Seconds to wait where a day should have been signed by now."""

_FIND = """
    SELECT position, created_at FROM transaction
     WHERE id = %(id)s AND issuer_id = %(issuer)s AND (%(member)s::uuid IS NULL OR member_id = %(member)s)
"""
_BLOCK = """
    SELECT number, first_position, last_position, leaves, blinding FROM proof_block
     WHERE issuer_id = %(issuer)s AND first_position <= %(position)s AND last_position >= %(position)s
     ORDER BY first_position DESC LIMIT 1
"""
_DAY = "SELECT day, first_block, last_block, statement, jwk FROM proof_day WHERE issuer_id = %(issuer)s"
_DAY_OF_BLOCK = f"{_DAY} AND last_block >= %(number)s ORDER BY last_block LIMIT 1"
_DAY_OF_DATE = f"{_DAY} AND day = %(day)s"
_LATEST_DAY = f"{_DAY} ORDER BY last_block DESC LIMIT 1"
_KEYS = "SELECT jwk FROM proof_day WHERE issuer_id = %(issuer)s GROUP BY jwk ORDER BY min(day)"


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A block as far as a proof from within it needs."""

    number: int
    first_position: int
    last_position: int
    leaves: bytes
    blinding: bytes

    def all_leaves(self) -> list[bytes]:
        return [self.leaves[i : i + 32] for i in range(0, len(self.leaves), 32)]


@dataclass(frozen=True, slots=True)
class Day:
    """A signed day."""

    day: date
    first_block: int
    last_block: int
    statement: str
    jwk: dict[str, Any]

    def view(self) -> dict[str, Any]:
        """As anyone may keep it."""
        return {"day": self.day.isoformat(), "statement": self.statement, "key": self.jwk}


def proof(*, transaction_id: UUID, sections: Sequence[str], member_id: UUID | None = None) -> dict[str, Any]:
    """The proof file of a transaction (of this member), in which these sections are shown and the others hidden.

    Raises NotFound, and LedgerRefusal: `proof_not_ready` before its day is signed, `record_changed` where the
    transaction is not any more what was sealed.
    """
    with _connection() as connection:
        issuer = {"issuer": current_issuer().id}
        row = connection.execute(_FIND, {**issuer, "id": transaction_id, "member": member_id}).fetchone()
        if row is None:
            raise NotFound
        position, created_at = row
        block = _one(connection, _Sealed, _BLOCK, {**issuer, "position": position})
        day = _one(connection, Day, _DAY_OF_BLOCK, {**issuer, "number": block.number}) if block else None
        if block is None or day is None:
            raise LedgerRefusal("proof_not_ready", retry_after_s=_ready_in_s(created_at))
        blocks = sealing.blocks_between(
            connection, issuer_id=current_issuer().id, first=day.first_block, last=day.last_block
        )
        record = _record(connection, position, block)
    return _file(record, sealed=block, blocks=blocks, day=day, sections=sections)


def latest_day() -> Day:
    """The last day that is signed. Raises NotFound."""
    return _day(_LATEST_DAY)


def signed_day(day: date) -> Day:
    """A signed day. Raises NotFound."""
    return _day(_DAY_OF_DATE, day=day)


def every_key() -> list[dict[str, Any]]:
    """The public half of every key that ever signed a day, the oldest first."""
    with _connection() as connection:
        return [jwk for (jwk,) in connection.execute(_KEYS, {"issuer": current_issuer().id})]


def _record(connection: Connection[Any], position: int, block: _Sealed) -> Record:
    """The transaction as it is now, which must be what was sealed."""
    (record,) = records.read(connection, issuer_id=current_issuer().id, first=position, last=position)
    start = 32 * (position - block.first_position)
    if record.leaf(block.blinding) != block.leaves[start : start + 32]:
        _log.error("position %s is not what was sealed in block %s", position, block.number)
        raise LedgerRefusal("record_changed")
    return record


def _file(record: Record, *, sealed: _Sealed, blocks: list[Block], day: Day, sections: Sequence[str]) -> dict[str, Any]:
    block = blocks[sealed.number - day.first_block]
    transaction = {}
    for section, content, digest in zip(SECTIONS, record.contents, record.digests(sealed.blinding), strict=True):
        if section in sections:
            transaction[section] = {"nonce": record.nonce(sealed.blinding, section).hex(), "content": content}
        else:
            transaction[section] = {"digest": digest.hex()}
    in_block = merkle.path(sealed.all_leaves(), record.position - sealed.first_position)
    in_day = merkle.path([each.leaf for each in blocks], sealed.number - day.first_block)
    return {
        "format": FORMAT,
        "transaction": transaction,
        "block": {"header": block.header, "path": [each.hex() for each in in_block]},
        "day": {"path": [each.hex() for each in in_day], "statement": day.statement},
        "key": day.jwk,
    }


def _ready_in_s(created_at: datetime) -> int:
    """Seconds until the day of a transaction should be signed."""
    zone = issuer_zone()
    ready_at = sealing.ends_at(created_at.astimezone(zone).date(), zone) + sealing.SIGN_AFTER
    return max(int((ready_at - clock.now()).total_seconds()), 0) + _LATE


def _day(query: str, **values: Any) -> Day:
    with _connection() as connection:
        found = _one(connection, Day, query, {"issuer": current_issuer().id, **values})
    if found is None:
        raise NotFound
    return found


def _one(connection: Connection[Any], of: type[sealing.Row], query: str, values: dict[str, Any]) -> sealing.Row | None:
    with connection.cursor(row_factory=class_row(of)) as cursor:
        return cursor.execute(query.encode(), values).fetchone()


@contextmanager
def _connection() -> Iterator[Connection[Any]]:
    """psycopg's own, of the pool for reading: what seals reads the same rows with it."""
    with autocommit().connect() as connection:
        own = connection.connection.driver_connection
        assert isinstance(own, Connection)
        yield own
