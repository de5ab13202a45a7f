"""Balances at any past instant, each by index seeks whose number does not depend on how long the ledger is.

An instant becomes a position, by halving the ledger's positions: they are gapless, and `created_at` never runs
backwards along them, so no index on the time is needed. A transfer keeps the balances of both its accounts after it;
a balance at a position is that of the account's last transfer up to there.

`created_at` is taken under the lock of the issuer's head, some moments before others can see it. So where an instant
is not before all that can be seen, the batch that is under way is waited for: else the same question would have
another answer a moment later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

_HEAD = "SELECT position, created_at, clock_timestamp() AS now FROM issuer_head WHERE issuer_id = :issuer"
_HEAD_BY_KEY = text(_HEAD)
_HEAD_AFTER_WHAT_IS_UNDER_WAY = text(f"{_HEAD} FOR SHARE")

# Of two positions the lower one is at or before the instant (0: before everything), the upper one is the last that
# may be. The middle one halves what is between them.
LAST_POSITION = text("""
    WITH RECURSIVE halving (low, high) AS (
        SELECT CAST(0 AS bigint), CAST(:head AS bigint)
        UNION ALL
        SELECT CASE WHEN t.created_at <= :at THEN t.position ELSE h.low END,
               CASE WHEN t.created_at <= :at THEN h.high ELSE t.position - 1 END
          FROM halving h
         CROSS JOIN LATERAL (
               SELECT position, created_at FROM transaction
                WHERE issuer_id = :issuer AND position = (h.low + h.high + 1) / 2
             ) AS t
         WHERE h.low < h.high
    )
    SELECT low FROM halving WHERE low = high
""")

_BALANCES = """
    SELECT a.money_id, a.book, a.expires_on, coalesce(last.after_yen, 0) AS balance_yen
      FROM account a
      LEFT JOIN LATERAL (
           SELECT side.after_yen FROM (
               (SELECT position, line, debit_after_yen AS after_yen FROM transfer
                 WHERE debit_account_id = a.id AND position <= :position
                 ORDER BY position DESC, line DESC LIMIT 1)
               UNION ALL
               (SELECT position, line, credit_after_yen FROM transfer
                 WHERE credit_account_id = a.id AND position <= :position
                 ORDER BY position DESC, line DESC LIMIT 1)
           ) AS side ORDER BY side.position DESC, side.line DESC LIMIT 1
         ) AS last ON true
"""
OF_MEMBER = text(f"{_BALANCES} JOIN wallet w ON w.id = a.wallet_id WHERE w.member_id = :member")
OF_SHOP = text(f"{_BALANCES} WHERE a.shop_id = :shop")
OF_BOOKS = text(f"{_BALANCES} WHERE a.issuer_id = :issuer AND a.money_id = :money AND a.book IS NOT NULL")
_SHOPS_OF_ISSUER = "(SELECT id FROM shop WHERE issuer_id = :issuer)"
OF_SHOPS = text(f"{_BALANCES} WHERE a.shop_id IN {_SHOPS_OF_ISSUER} AND a.money_id = :money")


class InTheFuture(ValueError):
    """An instant that has not come: what is true then nobody knows."""


@dataclass(frozen=True, slots=True)
class Lots:
    """What a wallet held: in all, and how much of it until which day (lots without a date are not among them)."""

    balance_yen: int
    expiring: Mapping[Any, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Circulation:
    """What of a money was issued, has come back, and was still in members' wallets; issued - recovered = unused.

    A book account below zero has issued so much on balance; one above zero has taken it back, as the takings of
    shops have.
    """

    books: Mapping[str, int]
    takings_yen: int

    @property
    def issued_yen(self) -> int:
        return -sum(yen for yen in self.books.values() if yen < 0)

    @property
    def recovered_yen(self) -> int:
        return self.takings_yen + sum(yen for yen in self.books.values() if yen > 0)

    @property
    def unused_yen(self) -> int:
        return self.issued_yen - self.recovered_yen


def position_at(connection: Connection, *, issuer_id: UUID, at: datetime) -> int:
    """The last position at an instant, for ever the same; 0 before the first. Raises InTheFuture."""
    head = _head(connection, _HEAD_BY_KEY, issuer_id)
    if head is None:
        return 0
    if at > head.now:
        raise InTheFuture(at)
    if at >= head.created_at:
        head = _head(connection, _HEAD_AFTER_WHAT_IS_UNDER_WAY, issuer_id) or head
    return _last_position(connection, head, issuer_id=issuer_id, at=at)


def position_by(connection: Connection, *, issuer_id: UUID, at: datetime | None = None) -> int:
    """The last position that can be seen now, and is not after `at`: an end for pages, which may grow."""
    head = _head(connection, _HEAD_BY_KEY, issuer_id)
    if head is None or at is None:
        return head.position if head else 0
    return _last_position(connection, head, issuer_id=issuer_id, at=at)


def wallets(connection: Connection, *, member_id: UUID, position: int) -> dict[int, Lots]:
    """A member's wallets right after a position, by money."""
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(OF_MEMBER, {"member": member_id, "position": position}):
        found[row.money_id].append(row)
    return {
        money_id: Lots(
            sum(row.balance_yen for row in rows),
            {row.expires_on: row.balance_yen for row in rows if row.expires_on and row.balance_yen},
        )
        for money_id, rows in found.items()
    }


def takings(connection: Connection, *, shop_id: UUID, position: int) -> dict[int, int]:
    """A shop's takings right after a position, in yen by money."""
    rows = connection.execute(OF_SHOP, {"shop": shop_id, "position": position})
    return {row.money_id: row.balance_yen for row in rows}


def circulation(connection: Connection, *, issuer_id: UUID, money_id: int, position: int) -> Circulation:
    """A money right after a position."""
    values = {"issuer": issuer_id, "money": money_id, "position": position}
    books = {row.book: row.balance_yen for row in connection.execute(OF_BOOKS, values)}
    return Circulation(books=books, takings_yen=sum(row.balance_yen for row in connection.execute(OF_SHOPS, values)))


def _head(connection: Connection, query: Any, issuer_id: UUID) -> Row[Any] | None:
    return connection.execute(query, {"issuer": issuer_id}).one_or_none()


def _last_position(connection: Connection, head: Row[Any], *, issuer_id: UUID, at: datetime) -> int:
    if at >= head.created_at:
        return int(head.position)
    found = connection.scalar(LAST_POSITION, {"issuer": issuer_id, "head": head.position, "at": at})
    return int(found or 0)
