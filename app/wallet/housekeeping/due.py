"""Value that expired leaves its wallets, holds that ran out end, what nobody needs is deleted.

Everything is found by an index, a batch at a time, and named by what it is (`expiry:<wallet>:<day>`,
`hold-expired:<hold>`): whoever dies between any two steps, runs twice or runs beside payments moves nothing twice.
Called in an app context, outside of a transaction, with a connection in autocommit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import count
from typing import Any
from uuid import UUID

import psycopg

from app.wallet import ledger
from app.wallet.postings import SYSTEM, Accepted, Expiry, Outcome, Posting, Refused, Release

Connection = psycopg.Connection[Any]

BATCH = 1_000
CODES_KEPT_DAYS = 30
NOTICES_KEPT_DAYS = 30

# By date and id, so that what stays (held, say) is passed over once and not looked at again.
_EXPIRED = {
    "lot": """
SELECT a.expires_on, a.id, w.id, w.member_id, m.code
  FROM (SELECT expires_on, id, wallet_id, money_id FROM account
         WHERE expires_on < %(today)s AND (expires_on, id) > (%(day)s, %(id)s::bigint) AND posted_yen > pending_yen
         ORDER BY expires_on, id
         LIMIT %(batch)s) a
  JOIN wallet w ON w.id = a.wallet_id
  JOIN money m ON m.id = a.money_id
 ORDER BY a.expires_on, a.id
""",
    "undated": """
SELECT w.expires_on, w.id, w.id, w.member_id, m.code
  FROM wallet w
  JOIN money m ON m.id = w.money_id
 WHERE w.expires_on < %(today)s AND (w.expires_on, w.id) > (%(day)s, %(id)s::uuid)
   AND (SELECT posted_yen > pending_yen FROM account WHERE wallet_id = w.id AND expires_on IS NULL)
 ORDER BY w.expires_on, w.id
 LIMIT %(batch)s
""",
}
_FIRST = {"lot": 0, "undated": UUID(int=0)}

_RUN_OUT = """
SELECT expires_at, id FROM hold
 WHERE state = 'held' AND expires_at <= clock_timestamp() AND (expires_at, id) > (%(day)s, %(id)s::uuid)
 ORDER BY expires_at, id
 LIMIT %(batch)s
"""

_OLD = (
    """
DELETE FROM one_time_code WHERE id = ANY (ARRAY(
    SELECT id FROM one_time_code WHERE expires_at < now() - %(kept)s * interval '1 day'
     ORDER BY expires_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED))
""",
    """
DELETE FROM expiry_notice n USING (
    SELECT account_id, expires_on FROM expiry_notice WHERE expires_on < current_date - %(kept)s
     ORDER BY expires_on LIMIT %(batch)s FOR UPDATE SKIP LOCKED) old
 WHERE (n.account_id, n.expires_on) = (old.account_id, old.expires_on)
""",
)


def expire(connection: Connection, *, today: date, batch: int = BATCH) -> Iterator[int]:
    """Take what expired before `today` out of its wallets; yields, a batch at a time, from how many value left.

    What is held stays until its hold ends. Raises what `ledger.post_many` raises.
    """
    for which, query in _EXPIRED.items():
        for rows in _pages(connection, query, first=(date.min, _FIRST[which]), batch=batch, today=today):
            wallets = {wallet_id: (member_id, money) for _, _, wallet_id, member_id, money in rows}
            postings = [_expiry(key, member_id, money, today) for key, (member_id, money) in wallets.items()]
            yield _post(postings)


def end_holds(connection: Connection, *, batch: int = BATCH) -> Iterator[int]:
    """Release the holds whose time is over; yields how many, a batch at a time. Raises as `ledger.post_many`."""
    for rows in _pages(connection, _RUN_OUT, first=("-infinity", UUID(int=0)), batch=batch):
        yield _release_all([hold_id for _, hold_id in rows])


def delete_old(connection: Connection, *, batch: int = BATCH) -> Iterator[int]:
    """Delete one-time codes and notices that were over long ago; yields how many, a batch at a time."""
    for statement, kept in zip(_OLD, (CODES_KEPT_DAYS, NOTICES_KEPT_DAYS), strict=True):
        while deleted := connection.execute(statement, {"kept": kept, "batch": batch}).rowcount:
            yield deleted


def _pages(
    connection: Connection, query: str, *, first: tuple[Any, Any], batch: int, **values: Any
) -> Iterator[list[Any]]:
    """The rows of a query, in the order of their first two columns."""
    day, last_id = first
    while rows := connection.execute(query, {"day": day, "id": last_id, "batch": batch, **values}).fetchall():
        yield rows
        if len(rows) < batch:
            return
        day, last_id = rows[-1][:2]


def _post(postings: Sequence[Posting]) -> int:
    """How many moved something that an earlier run had not moved."""
    outcomes = ledger.post_many(postings)
    return sum(isinstance(outcome, Accepted) and not outcome.hit for outcome in outcomes)


def _expiry(wallet_id: UUID, member_id: UUID, money: str, today: date) -> Expiry:
    name = f"expiry:{wallet_id}:{today.isoformat()}"
    return Expiry(
        requester=SYSTEM,
        request_id=name,
        params_hash=ledger.params_hash({"expiry": name}),
        member_id=member_id,
        money=money,
    )


def _release_all(holds: Sequence[UUID]) -> int:
    """How many ended. A hold that an earlier release came too early for (the clock was set back) gets another name,
    since a refusal is the answer to its name for ever."""
    ended = 0
    for attempt in count(1):
        outcomes = ledger.post_many([_release(hold_id, attempt) for hold_id in holds])
        ended += sum(isinstance(outcome, Accepted) and not outcome.hit for outcome in outcomes)
        holds = [hold_id for hold_id, outcome in zip(holds, outcomes, strict=True) if _came_too_early(outcome)]
        if not holds:
            break
    return ended


def _came_too_early(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and outcome.hit and outcome.code == "hold_not_expired"


def _release(hold_id: UUID, attempt: int) -> Release:
    name = f"hold-expired:{hold_id}" + (f":{attempt}" if attempt > 1 else "")
    return Release(
        requester=SYSTEM,
        request_id=name,
        params_hash=ledger.params_hash({"release": name}),
        hold_id=hold_id,
        expired=True,
    )
