"""Sealing: committed transactions, by position, become blocks; the blocks of a day that is over are signed.

It reads by position what is committed and gapless, so nothing can appear later in a sealed range. A block or a day is
one transaction of its own under an advisory lock: several workers may seal, none doubles, and one that dies leaves
nothing half. Payments are never waited for, and never wait.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app import clock
from app.wallet.proof import commitments, merkle, records

BLOCK = 1_024
"""The most transactions of a block: a proof hashes as many, and a tree of them is 10 high."""
SEAL_AFTER = timedelta(minutes=10)
"""How long a transaction waits for others to fill its block."""
SIGN_AFTER = timedelta(minutes=10)
"""How long after midnight a day is signed: by then its last block is sealed, and small steps of the clock are over."""

Row = TypeVar("Row")
Sign = Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
"""Signs a day's claims. Returns the JWS and the public key that checks it."""

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('kumiai proof ' || %(issuer)s::text, 0))"

HEADER = "issuer_id, number, day, first_position, last_position, root, previous"
_LAST_BLOCK = f"SELECT {HEADER} FROM proof_block WHERE issuer_id = %(issuer)s ORDER BY number DESC LIMIT 1"  # noqa: S608
_BLOCKS = f"""
    SELECT {HEADER} FROM proof_block
     WHERE issuer_id = %(issuer)s AND number BETWEEN %(first)s AND %(last)s ORDER BY number
"""  # noqa: S608
_UNSIGNED = f"""
    SELECT {HEADER} FROM proof_block
     WHERE issuer_id = %(issuer)s AND number > %(after)s
       AND day = (SELECT day FROM proof_block WHERE issuer_id = %(issuer)s AND number = %(after)s + 1)
     ORDER BY number
"""  # noqa: S608
_LAST_DAY = """
    SELECT day, last_block, statement FROM proof_day WHERE issuer_id = %(issuer)s ORDER BY last_block DESC LIMIT 1
"""
# One statement, one snapshot: what is committed up to here, and what the database's clock says.
_WAITING = """
    SELECT head.position - %(after)s AS count, clock_timestamp() AS now,
           (SELECT created_at FROM transaction
             WHERE issuer_id = %(issuer)s AND position = %(after)s + 1) AS oldest_at
      FROM issuer_head head WHERE head.issuer_id = %(issuer)s
"""
_LAST_BEFORE = """
    SELECT position FROM transaction
     WHERE issuer_id = %(issuer)s AND position BETWEEN %(first)s AND %(last)s AND created_at < %(before)s
     ORDER BY position DESC LIMIT 1
"""
# Every batch holds the head until it is committed. Whoever gets the head knows that none is under way.
_NONE_UNDER_WAY = "SELECT position FROM issuer_head WHERE issuer_id = %(issuer)s FOR SHARE SKIP LOCKED"

_INSERT_BLOCK = """
    INSERT INTO proof_block (issuer_id, number, day, first_position, last_position, root, previous, leaves, blinding)
    VALUES (%(issuer)s, %(number)s, %(day)s, %(first)s, %(last)s, %(root)s, %(previous)s, %(leaves)s, %(blinding)s)
"""
_INSERT_DAY = """
    INSERT INTO proof_day (issuer_id, day, first_block, last_block, statement, jwk)
    VALUES (%(issuer)s, %(day)s, %(first)s, %(last)s, %(statement)s, %(jwk)s)
"""


class Gap(Exception):
    """A position is missing among committed transactions: `kumiai ledger verify` says more. Nothing was sealed."""


@dataclass(frozen=True, slots=True)
class Block:
    """The header of a sealed block."""

    issuer_id: UUID
    number: int
    day: date
    first_position: int
    last_position: int
    root: bytes
    previous: bytes | None

    @property
    def size(self) -> int:
        return self.last_position - self.first_position + 1

    @property
    def header(self) -> dict[str, Any]:
        """What of it is hashed, and shown in a proof."""
        return {
            "issuer_id": str(self.issuer_id),
            "number": self.number,
            "day": self.day.isoformat(),
            "first_position": self.first_position,
            "last_position": self.last_position,
            "root": self.root.hex(),
            "previous": self.previous.hex() if self.previous else None,
        }

    @property
    def leaf(self) -> bytes:
        """Its leaf in its day; what the next block calls `previous`."""
        return commitments.block_leaf(self.header)


@dataclass(frozen=True, slots=True)
class _Day:
    day: date
    last_block: int
    statement: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    count: int
    now: datetime
    oldest_at: datetime | None

    @property
    def due(self) -> bool:
        return self.oldest_at is not None and (self.count >= BLOCK or self.now - self.oldest_at >= SEAL_AFTER)


def seal_next(connection: Connection[Any], *, issuer_id: UUID, zone: ZoneInfo) -> int | None:
    """Seal the next block where one is due; how many transactions are in it. None: none is, or another is at it.

    Raises Gap.
    """
    issuer = {"issuer": issuer_id}
    with connection.transaction():
        if not _locked(connection, issuer):
            return None
        last = _one(connection, Block, _LAST_BLOCK, issuer)
        after = last.last_position if last else 0
        waiting = _one(connection, _Waiting, _WAITING, {**issuer, "after": after})
        if waiting is None or waiting.count == 0:
            return None
        if waiting.oldest_at is None:
            raise Gap(f"position {after + 1} is missing")
        if not waiting.due:
            return None
        signed = _one(connection, _Day, _LAST_DAY, issuer)
        day = _day_of(waiting.oldest_at, zone=zone, last=last, signed=signed)
        return _seal(connection, issuer_id=issuer_id, day=day, zone=zone, last=last)


def sign_next(
    connection: Connection[Any], *, issuer_id: UUID, issuer_url: str, zone: ZoneInfo, sign: Sign
) -> date | None:
    """Sign the next day where one is over and all of it is sealed. None: none is, or another is at it."""
    issuer = {"issuer": issuer_id}
    day = _day_that_is_over(connection, issuer, zone=zone)
    if day is None:
        return None
    with connection.transaction():
        if not _locked(connection, issuer):
            return None
        signed, blocks = _unsigned(connection, issuer)
        if not blocks or blocks[0].day != day:
            return None  # another was faster, and what is unsigned now is a day that may not be over
        statement, jwk = sign(_claims(blocks, signed, issuer_url=issuer_url, zone=zone))
        values = {"day": day, "first": blocks[0].number, "last": blocks[-1].number}
        connection.execute(_INSERT_DAY, {**issuer, **values, "statement": statement, "jwk": Jsonb(jwk)})
        return day


def blocks_between(connection: Connection[Any], *, issuer_id: UUID, first: int, last: int) -> list[Block]:
    """The headers of these blocks, by number."""
    return _many(connection, Block, _BLOCKS, {"issuer": issuer_id, "first": first, "last": last})


def ends_at(day: date, zone: ZoneInfo) -> datetime:
    """The midnight that ends a day of the issuer."""
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone)


def _seal(connection: Connection[Any], *, issuer_id: UUID, day: date, zone: ZoneInfo, last: Block | None) -> int:
    first = last.last_position + 1 if last else 1
    within = {"issuer": issuer_id, "first": first, "last": first + BLOCK - 1}
    row = connection.execute(_LAST_BEFORE, {**within, "before": ends_at(day, zone)}).fetchone()
    assert row is not None, "the oldest that waits is of this day"
    blinding = secrets.token_bytes(32)
    leaves, position = [], first - 1
    for record in records.read(connection, issuer_id=issuer_id, first=first, last=row[0]):
        if record.position != position + 1:
            break
        position = record.position
        leaves.append(record.leaf(blinding))
    if position != row[0]:
        raise Gap(f"position {position + 1} is missing")
    values = {"number": last.number + 1 if last else 1, "day": day, "first": first, "last": position}
    hashes = {"root": merkle.root(leaves), "previous": last.leaf if last else None, "leaves": b"".join(leaves)}
    connection.execute(_INSERT_BLOCK, {"issuer": issuer_id, **values, **hashes, "blinding": blinding})
    return len(leaves)


def _day_of(oldest_at: datetime, *, zone: ZoneInfo, last: Block | None, signed: _Day | None) -> date:
    """The day of the next block. After a step back of the clock, what comes late counts to the next unsigned day."""
    days = [oldest_at.astimezone(zone).date()]
    if last:
        days.append(last.day)
    if signed:
        days.append(signed.day + timedelta(days=1))
    return max(days)


def _unsigned(connection: Connection[Any], issuer: dict[str, UUID]) -> tuple[_Day | None, list[Block]]:
    """The last day that is signed, and the blocks of the one after it."""
    signed = _one(connection, _Day, _LAST_DAY, issuer)
    return signed, _many(connection, Block, _UNSIGNED, {**issuer, "after": signed.last_block if signed else 0})


def _day_that_is_over(connection: Connection[Any], issuer: dict[str, UUID], *, zone: ZoneInfo) -> date | None:
    """The day to be signed next, if nothing more can be added to it."""
    _, blocks = _unsigned(connection, issuer)
    if not blocks:
        return None
    day, after = blocks[0].day, blocks[-1].last_position
    waiting = _one(connection, _Waiting, _WAITING, {**issuer, "after": after})
    if waiting is None or waiting.now < ends_at(day, zone) + SIGN_AFTER:
        return None
    if waiting.oldest_at is not None:
        return day if waiting.oldest_at >= ends_at(day, zone) else None
    row = connection.execute(_NONE_UNDER_WAY, issuer).fetchone()
    return day if row is not None and row[0] == after else None


def _claims(blocks: list[Block], signed: _Day | None, *, issuer_url: str, zone: ZoneInfo) -> dict[str, Any]:
    first, last = blocks[0], blocks[-1]
    return {
        "iss": issuer_url,
        "iat": int(clock.now().timestamp()),
        "issuer_id": str(first.issuer_id),
        "day": first.day.isoformat(),
        "time_zone": zone.key,
        "first_position": first.first_position,
        "last_position": last.last_position,
        "first_block": first.number,
        "last_block": last.number,
        "root": merkle.root([block.leaf for block in blocks]).hex(),
        "previous": commitments.statement_hash(signed.statement) if signed else None,
    }


def _locked(connection: Connection[Any], issuer: dict[str, UUID]) -> bool:
    row = connection.execute(_LOCK, issuer).fetchone()
    return row is not None and bool(row[0])


def _one(connection: Connection[Any], of: type[Row], query: str, values: dict[str, Any]) -> Row | None:
    with connection.cursor(row_factory=class_row(of)) as cursor:
        return cursor.execute(query, values).fetchone()


def _many(connection: Connection[Any], of: type[Row], query: str, values: dict[str, Any]) -> list[Row]:
    with connection.cursor(row_factory=class_row(of)) as cursor:
        return cursor.execute(query, values).fetchall()
