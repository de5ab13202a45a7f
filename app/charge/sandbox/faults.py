"""What goes wrong on purpose: asked for in the console or by script, for one payment or for the next ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

API_BEFORE = ("api_500", "api_slow")
API_AFTER = ("api_500_after", "api_timeout", "api_cut")
"""The work was done, and the answer does not say so."""
CARD = ("card_declined", "three_ds_failed", "card_slow", "abandoned")
PAYING = ("paid_twice", "amount_differs")
CANCELLING = ("paid_before_cancel", "paid_after_cancel")
WEBHOOK = ("webhook_late", "webhook_twice", "webhook_out_of_order", "webhook_never")
GROUPS = {"card": CARD, "paying": PAYING, "cancelling": CANCELLING, "webhook": WEBHOOK, "api": API_BEFORE + API_AFTER}
KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)
OPERATIONS = ("create", "get", "find", "cancel", "settlement")
SECONDS = {"api_slow": 5.0, "api_timeout": 60.0, "webhook_late": 30.0, "paid_after_cancel": 0.0, "card_slow": 5.0}
"""How long each takes where nobody said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`times` 0: until it is taken away. `payment_id`, `order_id` and `operation` narrow it where they are given.

    `amount_yen` is what arrives instead of what was asked (amount_differs).
    """

    seq: int
    kind: str
    payment_id: str | None
    order_id: str | None
    operation: str | None
    times: int
    seconds: float | None
    amount_yen: int | None

    @property
    def lasts_s(self) -> float:
        return SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds


def add(
    db: sqlite3.Connection,
    kind: str,
    *,
    payment_id: str | None = None,
    order_id: str | None = None,
    operation: str | None = None,
    times: int = 1,
    seconds: float | None = None,
    amount_yen: int | None = None,
) -> Fault:
    assert kind in KINDS
    values = (kind, payment_id, order_id, operation, times, seconds, amount_yen)
    columns = "kind, payment_id, order_id, operation, times, seconds, amount_yen"
    added = db.execute(f"INSERT INTO fault ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING *", values)  # noqa: S608
    return Fault(**added.fetchone())


def waiting(db: sqlite3.Connection) -> list[Fault]:
    """What is still to happen, oldest first."""
    return [Fault(**row) for row in db.execute("SELECT * FROM fault ORDER BY seq")]


def remove(db: sqlite3.Connection, seq: int | None = None) -> None:
    """Take one away, or all."""
    db.execute("DELETE FROM fault WHERE ? IS NULL OR seq = ?", (seq, seq))


def take(
    db: sqlite3.Connection,
    kinds: Collection[str],
    *,
    payment_id: str | None = None,
    order_id: str | None = None,
    operation: str | None = None,
) -> Fault | None:
    """The oldest of these kinds that is meant for this; one use of it is gone."""
    for fault in waiting(db):
        if (
            fault.kind in kinds
            and fault.payment_id in (None, payment_id)
            and fault.order_id in (None, order_id)
            and fault.operation in (None, operation)
        ):
            _use(db, fault)
            return fault
    return None


def _use(db: sqlite3.Connection, fault: Fault) -> None:
    if fault.times == 1:
        remove(db, fault.seq)
    elif fault.times > 1:
        db.execute("UPDATE fault SET times = times - 1 WHERE seq = ?", (fault.seq,))
