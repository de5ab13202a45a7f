"""A member's month: what there was at its beginning, everything that happened, what is there at its end.

The two balances are those of the ledger at these positions (app/wallet/as_of.py); that what lies between adds up to
their difference is checked each time, so no statement says what the books do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from app import clock
from app.db import autocommit
from app.errors import DomainError, NotFound
from app.issuer import current_issuer, issuer_zone
from app.wallet import as_of, directory
from app.wallet.directory import MoneyEntry, ShopEntry
from app.wallet.instants import LEAST, beginning
from app.wallet.models import Transaction
from app.wallet.statement import movements

MAX_ROWS = 10_000


class StatementTooLong(DomainError):
    """More transactions in a month than fit a statement; the history has them all."""

    code = "statement_too_long"
    status = 422


class DoesNotAddUp(Exception):
    """The books disagree with themselves: `kumiai ledger verify` says where. No statement is made of them."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction did to one wallet, and what was in it then."""

    money: MoneyEntry
    amount_yen: int
    balance_yen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One transaction. A hold and its release change nothing."""

    id: UUID
    position: int
    kind: str
    created_at: datetime
    amount_yen: int
    description: str
    shop: ShopEntry | None
    reverses: UUID | None
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One money over the month. `expiring`: of what is there at the end, what is good until which day."""

    money: MoneyEntry
    opening_yen: int
    closing_yen: int
    expiring: Mapping[date, int]


@dataclass(frozen=True, slots=True)
class Total:
    """What one kind of transaction did to one money in all."""

    kind: str
    money: MoneyEntry
    count: int
    amount_yen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A month, from its first instant to its last, or (not `complete`) to now."""

    month: date
    begins_at: datetime
    ends_at: datetime
    complete: bool
    holdings: Sequence[Holding]
    lines: Sequence[Line]

    def totals(self) -> list[Total]:
        """By money and kind, in the order of the monies and of first appearance."""
        sums: dict[tuple[str, str], list[int]] = {}
        for line in self.lines:
            for change in line.changes:
                total = sums.setdefault((change.money.code, line.kind), [0, 0])
                total[0] += 1
                total[1] += change.amount_yen
        return [
            Total(kind, holding.money, *sums[code, kind])
            for holding in self.holdings
            for code, kind in sums
            if code == holding.money.code
        ]


def statement(*, member_id: UUID, month: str) -> Statement:
    """A member's statement of `YYYY-MM`. Raises NotFound for what is no month, or has not begun; StatementTooLong."""
    first = _first_day(month)
    begins_at, ends_at = beginning(first, issuer_zone()), beginning(_next(first), issuer_zone()) - LEAST
    with autocommit().connect() as connection:
        issuer_id, now = current_issuer().id, clock.now()
        if begins_at > now:
            raise NotFound
        after = as_of.position_by(connection, issuer_id=issuer_id, at=begins_at - LEAST)
        upto, complete = _end(connection, issuer_id=issuer_id, ends_at=ends_at)
        opening = as_of.wallets(connection, member_id=member_id, position=after)
        closing = as_of.wallets(connection, member_id=member_id, position=upto)
        lines = _lines(connection, member_id, after=after, upto=upto, opening=opening)
    _check(opening, closing, lines)
    return Statement(
        month=first,
        begins_at=begins_at,
        ends_at=ends_at if complete else now,
        complete=complete,
        holdings=_holdings(opening, closing),
        lines=lines,
    )


def _end(connection: Connection, *, issuer_id: UUID, ends_at: datetime) -> tuple[int, bool]:
    """The last position of a month, and whether the month is over."""
    try:
        return as_of.position_at(connection, issuer_id=issuer_id, at=ends_at), True
    except as_of.InTheFuture:
        return as_of.position_by(connection, issuer_id=issuer_id), False


def _first_day(month: str) -> date:
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        raise NotFound from None
    if not 2000 <= first.year <= 9000:
        raise NotFound
    return first


def _next(first: date) -> date:
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def _lines(
    connection: Connection, member_id: UUID, *, after: int, upto: int, opening: Mapping[int, as_of.Lots]
) -> list[Line]:
    rows = connection.execute(
        select(*COLUMNS)
        .where(Transaction.member_id == member_id, Transaction.position > after, Transaction.position <= upto)
        .order_by(Transaction.position.desc())
        .limit(MAX_ROWS + 1)
    ).all()
    if len(rows) > MAX_ROWS:
        raise StatementTooLong(max=MAX_ROWS)
    changes = movements.changes(connection, member_id=member_id, after=after, upto=upto)
    balances = {money_id: lots.balance_yen for money_id, lots in opening.items()}
    return [line(row, changes.get(row.position, {}), balances) for row in reversed(rows)]


COLUMNS = (
    Transaction.id,
    Transaction.position,
    Transaction.kind,
    Transaction.created_at,
    Transaction.amount_yen,
    Transaction.description,
    Transaction.shop_id,
    Transaction.reverses,
)


def line(row: Row[*tuple[Any, ...]], changes: Mapping[int, int], balances: dict[int, int]) -> Line:
    """A transaction as a line; `balances` go on with it."""
    shown = []
    for money_id, yen in changes.items():
        balances[money_id] = balances.get(money_id, 0) + yen
        shown.append(Change(directory.money_by_id(money_id), yen, balances[money_id]))
    return Line(
        id=row.id,
        position=row.position,
        kind=row.kind,
        created_at=row.created_at,
        amount_yen=row.amount_yen,
        description=row.description,
        shop=directory.shop_by_id(row.shop_id) if row.shop_id else None,
        reverses=row.reverses,
        changes=shown,
    )


def _check(opening: Mapping[int, as_of.Lots], closing: Mapping[int, as_of.Lots], lines: Sequence[Line]) -> None:
    balances = {money_id: lots.balance_yen for money_id, lots in opening.items()}
    for line in lines:
        for change in line.changes:
            balances[change.money.id] = change.balance_yen
    if any(lots.balance_yen != balances.get(money_id, 0) for money_id, lots in closing.items()):
        raise DoesNotAddUp("what was there, and what moved, is not what is there")


def _holdings(opening: Mapping[int, as_of.Lots], closing: Mapping[int, as_of.Lots]) -> list[Holding]:
    monies = sorted(map(directory.money_by_id, closing), key=lambda money: (money.position, money.code))
    return [
        Holding(
            money=money,
            opening_yen=opening[money.id].balance_yen if money.id in opening else 0,
            closing_yen=closing[money.id].balance_yen,
            expiring=dict(sorted(closing[money.id].expiring.items())),
        )
        for money in monies
    ]
