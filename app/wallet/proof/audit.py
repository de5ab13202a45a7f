"""`kumiai ledger verify`, the sealed part: every transaction hashed again and compared with what was sealed of it.

Somebody with all rights to the database can switch triggers off and change an amount, and every sum with it so that
the books agree with themselves; the hash sealed before then says otherwise. Could they also seal and sign anew? Only
the statements that others have kept (GET /proof/days/…) are out of their reach.

One block is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row, dict_row, tuple_row

from app.wallet.proof import commitments, merkle, records, signature
from app.wallet.proof.sealing import HEADER, Block

_CHANGED = "a transaction is not what was sealed"
_BROKEN = "a block is not what was sealed"
_UNSIGNED = "a day's signed statement does not fit its blocks"

_BLOCKS = f"SELECT {HEADER} FROM proof_block ORDER BY issuer_id, number"  # noqa: S608
_HASHES = "SELECT leaves, blinding FROM proof_block WHERE issuer_id = %(issuer)s AND number = %(number)s"
_DAYS = "SELECT issuer_id, day, first_block, last_block, statement, jwk FROM proof_day ORDER BY issuer_id, day"
_BLOCKS_OF_DAY = f"""
    SELECT {HEADER} FROM proof_block
     WHERE issuer_id = %(issuer_id)s AND number BETWEEN %(first_block)s AND %(last_block)s ORDER BY number
"""  # noqa: S608


def differences(connection: Connection[Any]) -> Iterator[tuple[str, str]]:
    """The first difference of each kind, as a check and where it failed. Run it in one snapshot."""
    found: dict[str, str] = {}
    for check, where in (*_blocks(connection), *_days(connection)):
        found.setdefault(check, where)
    yield from found.items()


def _blocks(connection: Connection[Any]) -> Iterator[tuple[str, str]]:
    before: Block | None = None
    with connection.cursor("proof_blocks", row_factory=class_row(Block)) as blocks:
        for block in blocks.execute(_BLOCKS):
            follows = before if before and before.issuer_id == block.issuer_id else None
            if not _follows(block, follows):
                yield _BROKEN, f"block {block.number}: it does not follow from the one before"
            yield from _leaves(connection, block)
            before = block


def _follows(block: Block, before: Block | None) -> bool:
    if before is None:
        return (block.number, block.first_position, block.previous) == (1, 1, None)
    at = (before.number + 1, before.last_position + 1, before.leaf)
    return (block.number, block.first_position, block.previous) == at


def _leaves(connection: Connection[Any], block: Block) -> Iterator[tuple[str, str]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(_HASHES, {"issuer": block.issuer_id, "number": block.number}).fetchone()
    assert row is not None, "one snapshot"
    sealed = [row[0][i : i + 32] for i in range(0, len(row[0]), 32)]
    if len(sealed) != block.size or merkle.root(sealed) != block.root:
        yield _BROKEN, f"block {block.number}: its root is not over its leaves"
        return
    now = {
        record.position: record.leaf(row[1])
        for record in records.read(
            connection, issuer_id=block.issuer_id, first=block.first_position, last=block.last_position
        )
    }
    for position, leaf in enumerate(sealed, block.first_position):
        if now.get(position) != leaf:
            yield _CHANGED, f"block {block.number}, position {position}"
            return


def _days(connection: Connection[Any]) -> Iterator[tuple[str, str]]:
    before: dict[str, Any] | None = None
    with connection.cursor(row_factory=dict_row) as cursor:
        days = cursor.execute(_DAYS).fetchall()
    for day in days:
        follows = before if before and before["issuer_id"] == day["issuer_id"] else None
        if not _stands(connection, day, follows):
            yield _UNSIGNED, f"day {day['day']}"
        before = day


def _stands(connection: Connection[Any], day: dict[str, Any], before: dict[str, Any] | None) -> bool:
    """Whether a day's statement is signed, and says what its blocks and the day before it say."""
    with connection.cursor(row_factory=class_row(Block)) as cursor:
        blocks = cursor.execute(_BLOCKS_OF_DAY, day).fetchall()
    try:
        claims = signature.verified(day["statement"], jwk=day["jwk"])
    except (signature.BadSignature, signature.UnknownKey):
        return False
    says = {
        "issuer_id": str(day["issuer_id"]),
        "day": day["day"].isoformat(),
        "first_block": day["first_block"],
        "last_block": day["last_block"],
        "first_position": blocks[0].first_position if blocks else None,
        "last_position": blocks[-1].last_position if blocks else None,
        "root": merkle.root([block.leaf for block in blocks]).hex() if blocks else None,
        "previous": commitments.statement_hash(before["statement"]) if before else None,
    }
    return {name: claims.get(name) for name in says} == says and all(block.day == day["day"] for block in blocks)
