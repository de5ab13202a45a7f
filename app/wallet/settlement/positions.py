"""Where in the issuer's order a day ends."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from app.db import autocommit
from app.issuer import issuer_zone
from app.wallet.models import IssuerHead, Transaction
from app.wallet.settlement.errors import SettlementDayInFuture


@dataclass(frozen=True, slots=True)
class Cut:
    """A day of the issuer's, and the last position that belongs to it or to a day before."""

    day: date
    position: int


def cut(*, issuer_id: UUID, day: date | None) -> Cut:
    """The last position created on `day` or before; for today (or None), the last there is now.

    The head is read with a lock that a batch in flight holds against it: so no transaction that is dated before this
    moment can still be on its way, and none comes later with a lower position. The lock ends with the statement.
    Raises SettlementDayInFuture.
    """
    zone = issuer_zone()
    now = func.greatest(func.clock_timestamp(), IssuerHead.created_at)
    head: Any = select(IssuerHead.position, now).where(IssuerHead.issuer_id == issuer_id).with_for_update(read=True)
    with autocommit().connect() as connection:
        found = connection.execute(head).one_or_none()
        # The head comes with the first money. Before that nothing has happened.
        position, instant = found or (0, connection.execute(select(func.clock_timestamp())).scalar_one())
        today = instant.astimezone(zone).date()
        if day is None or day == today:
            return Cut(today, position)
        if day > today:
            raise SettlementDayInFuture(day=day.isoformat(), today=today.isoformat())
        return Cut(day, _last_before(connection, issuer_id, position, _midnight_after(day, zone)))


def _midnight_after(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), zone)


def _last_before(connection: Connection, issuer_id: UUID, head: int, instant: datetime) -> int:
    """The last position created before `instant`, by halving: positions are gapless and time never runs backwards."""

    def created_at(position: int) -> datetime:
        query = select(Transaction.created_at).filter_by(issuer_id=issuer_id, position=position)
        return connection.execute(query).scalar_one()

    return bisect_left(range(1, head + 1), instant, key=created_at)
