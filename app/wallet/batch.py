"""One batch against the database: lock → decide → write, in one transaction and two round trips.

`post_batch` either commits the whole batch or raises with nothing written. It begins again by itself only where the
office has changed the rules meanwhile; every other failure is tried again by `app.wallet.poster`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.wallet.books import Decision, NewTransaction, SameAs
from app.wallet.decide import decide
from app.wallet.locking import Reader
from app.wallet.postings import Accepted, Outcome, Posting
from app.wallet.rulebook import Connection, Rulebook, RulesChanged
from app.wallet.writing import write

Batch = Sequence[tuple[UUID, Posting]]

_MOST_CHANGES = 10
"""After so many changes of the rules during one batch, it is given back to the poster."""


def post_batch(
    connection: Connection, *, issuer_id: UUID, time_zone: str, rulebook: Rulebook, batch: Batch, repeats: bool = True
) -> list[Outcome]:
    """Lock, decide, write and commit one batch. Returns one outcome per posting. Raises psycopg.Error, unwritten.

    Days and months begin in `time_zone`. Without `repeats` nobody looks whether a request was answered before: where
    one was, its name is taken, which raises psycopg.errors.UniqueViolation.

    A failed COMMIT leaves open whether it was written; the same batch again finds out, since requests that were
    written answer from their rows.
    """
    for _ in range(_MOST_CHANGES):
        try:
            reader = Reader(connection, issuer_id=issuer_id, time_zone=time_zone, rulebook=rulebook, repeats=repeats)
            return _post_once(reader, batch)
        except RulesChanged:
            connection.execute("ROLLBACK")
    raise RulesChanged


def _post_once(reader: Reader, batch: Batch) -> list[Outcome]:
    connection = reader.connection
    with connection.pipeline():
        connection.execute("BEGIN")
        books = reader.read([posting for _, posting in batch])
        decision = decide(books, batch)
        head = write(
            connection,
            issuer_id=reader.issuer_id,
            time_zone=reader.time_zone,
            day=books.today,
            batch=batch,
            decision=decision,
        )
        connection.execute("COMMIT")
    return _outcomes(decision, head.fetchone() if head else None)


def _outcomes(decision: Decision, head: tuple[Any, ...] | None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    position, created_at = head if head else (0, datetime.now(UTC))
    for ruling in decision.rulings:
        if isinstance(ruling, SameAs):
            outcomes.append(replace(outcomes[ruling.index], hit=True))
        elif isinstance(ruling, NewTransaction):
            position += 0 if ruling.dry_run else len(ruling.before) + 1
            place = 0 if ruling.dry_run else position
            outcomes.append(_accepted(ruling, position=place, created_at=created_at))
        else:
            outcomes.append(ruling)
    return outcomes


def _accepted(new: NewTransaction, *, position: int, created_at: datetime) -> Accepted:
    return Accepted(
        transaction_id=new.id,
        position=position,
        kind=new.kind,
        amount_yen=new.amount_yen,
        money=new.money,
        member_id=new.member_id,
        shop_id=new.shop_id,
        created_at=created_at,
        balance_yen=new.balance_yen,
        parts=new.parts,
        points_yen=new.points_yen,
        points_missing_yen=new.points_missing_yen,
    )
