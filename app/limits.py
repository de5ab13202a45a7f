"""Limits on strangers: counters in PostgreSQL rows, one per door, caller and window.

Used where somebody without a session can knock: sign-in, code entry, the token endpoint. Web processes keep
no state, so a second process or host counts in the same rows. Callers are hashed: no address is stored.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from flask import current_app
from psycopg import Connection
from sqlalchemy import Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.db import Base, autocommit, in_transaction
from app.errors import TooManyRequests
from app.ids import keyed_hash


class FloodCounter(Base):
    """How often one caller knocked at one door in one window."""

    __tablename__ = "flood_counter"
    __table_args__ = (Index(None, "window_ends_at"),)

    door: Mapped[str] = mapped_column(primary_key=True)
    caller_hash: Mapped[bytes] = mapped_column(primary_key=True)
    window_ends_at: Mapped[datetime] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(Integer)


# Once the limit is reached the row is not written any more: a flood leaves no dead rows behind.
_KNOCK = text("""
    INSERT INTO flood_counter (door, caller_hash, window_ends_at, count)
    VALUES (:door, :caller_hash, :window_ends_at, 1)
    ON CONFLICT (door, caller_hash, window_ends_at)
    DO UPDATE SET count = flood_counter.count + 1 WHERE flood_counter.count < :limit
    RETURNING count
""")
_GIVE_BACK = text("""
    UPDATE flood_counter SET count = count - 1
     WHERE door = :door AND caller_hash = :caller_hash AND window_ends_at = :window_ends_at AND count > 0
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where one caller may knock `limit` times in each window of `window_s` seconds."""

    name: str
    caller: str
    limit: int
    window_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """A knock that was counted, as `give_back` finds it again."""

    door: str
    caller_hash: bytes
    window_ends_at: datetime


def knock_at(*doors: Door) -> list[Knock]:
    """Knock at each door; put the narrowest first, so that a caller it stops counts at no wider one.

    Raises TooManyRequests where one of them stays shut, with nothing counted at the others.
    """
    counted: list[Knock] = []
    try:
        for door in doors:
            counted.append(knock(door=door.name, caller=door.caller, limit=door.limit, window_s=door.window_s))
    except TooManyRequests:
        give_back(counted)
        raise
    return counted


def knock(*, door: str, caller: str, limit: int, window_s: int) -> Knock:
    """Count one knock of `caller` at `door`; the first `limit` in each window of `window_s` seconds may pass.

    Call it before `transaction()`. It commits by itself, so whatever is refused afterwards the knock stays counted,
    and nobody waits for another's transaction to end. Raises TooManyRequests (retry_after_s).
    """
    assert not in_transaction(), "knock before the transaction: its roll-back must not undo the count"
    now_s = clock.now().timestamp()
    ends_s = (math.floor(now_s / window_s) + 1) * window_s
    knocked = Knock(
        door=door,
        caller_hash=_caller_hash(door=door, caller=caller),
        window_ends_at=datetime.fromtimestamp(ends_s, UTC),
    )
    with autocommit().connect() as connection:
        if connection.execute(_KNOCK, {**asdict(knocked), "limit": limit}).one_or_none() is None:
            raise TooManyRequests(retry_after_s=math.ceil(ends_s - now_s))
    return knocked


def give_back(knocks: Iterable[Knock]) -> None:
    """Uncount knocks that turned out to be no guesses, so that only failures add up.

    Every guess is counted before it is tried, so guesses made at the same moment do not get past the limit together.
    """
    assert not in_transaction(), "a knock is given back after the commit: until then it may still fail"
    with autocommit().connect() as connection:
        for each in knocks:
            connection.execute(_GIVE_BACK, asdict(each))


def network(address: str | None) -> str:
    """The caller behind a client address: the address itself, or its /64 in IPv6, where one home holds 2^64 of them."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def forget_past_windows(connection: Connection[Any]) -> None:
    """Delete counters whose window is over. The worker calls it now and then, on its own connection."""
    connection.execute("DELETE FROM flood_counter WHERE window_ends_at < now()")


def _caller_hash(*, door: str, caller: str) -> bytes:
    key: bytes = current_app.extensions["kumiai.settings"].secret_key
    return keyed_hash(key, purpose=f"flood:{door}", value=caller)
