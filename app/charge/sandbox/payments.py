"""Payments: what a merchant asked for, what the customer did, what is told of it."""

from __future__ import annotations

import json
import secrets
import sqlite3
import string
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from app.charge.sandbox import events, faults
from app.charge.sandbox.chains import CHAINS

CARD_PAGE_S = 30 * 60
"""So long a card can be entered."""
_OVER = "state = 'pending' AND ends_at < :now AND checkout IS NOT 'processing'"


class OrderConflict(Exception):
    """The merchant used this order id before, for something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a merchant asks for. `ends_at` only for a slip (seconds since 1970)."""

    order_id: str
    method: str
    amount_yen: int
    description: str
    locale: str
    email: str | None = None
    return_url: str | None = None
    chain: str | None = None
    name: str | None = None
    name_kana: str | None = None
    phone: str | None = None
    ends_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A row of `payment`."""

    seq: int
    id: str
    order_id: str
    asked: str
    method: str
    amount_yen: int
    description: str
    locale: str
    state: str
    failure: str | None
    created_at: float
    ends_at: float
    email: str | None
    return_url: str | None
    checkout: str | None
    outcome: str | None
    challenge_code: str | None
    wrong_codes: int
    card_brand: str | None
    card_last4: str | None
    card_fingerprint: str | None
    chain: str | None
    name: str | None
    name_kana: str | None
    phone: str | None
    receipt_no: str | None
    company_code: str | None

    @property
    def payable(self) -> bool:
        """Whether the customer can still pay it, as far as its own time goes."""
        return self.state == "pending" and time.time() <= self.ends_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Money that reached us."""

    seq: int
    id: str
    payment_id: str
    amount_yen: int
    fee_yen: int
    received_at: float


def _new_id() -> str:
    """141 random bits in letters only: among digits, now and then, some would look like a card number (wire.py)."""
    return "pay_" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(30))


def create(db: sqlite3.Connection, asked: Asked) -> tuple[Payment, bool]:
    """The payment of an order, and whether it is new. Raises OrderConflict."""
    said = json.dumps(asdict(asked), ensure_ascii=False)
    if (earlier := by_order(db, asked.order_id)) is not None:
        if earlier.asked != said:
            raise OrderConflict(asked.order_id)
        return earlier, False
    now = time.time()
    row = {
        **asdict(asked),
        "id": _new_id(),
        "asked": said,
        "state": "pending",
        "created_at": now,
        "ends_at": asked.ends_at if asked.ends_at is not None else now + CARD_PAGE_S,
        "checkout": "entering" if asked.method == "card" else None,
        **_numbers(db, asked),
    }
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    made = db.execute(f"INSERT INTO payment ({names}) VALUES ({values}) RETURNING *", row)  # noqa: S608  # our own names
    payment = Payment(**made.fetchone())
    _tell(db, payment, "payment.pending")
    return payment, True


def _numbers(db: sqlite3.Connection, asked: Asked) -> dict[str, str | None]:
    if asked.chain is None:
        return {}
    chain = CHAINS[asked.chain]
    taken = "SELECT 1 FROM payment WHERE chain = ? AND receipt_no = ? AND (phone = ? OR ?)"
    number = chain.new_number()
    while db.execute(taken, (chain.name, number, asked.phone, not chain.by_phone)).fetchone():
        number = chain.new_number()
    return {"receipt_no": number, "company_code": chain.company_code}


def by_id(db: sqlite3.Connection, id_: str) -> Payment | None:
    return _one(db, "id = ?", id_)


def by_order(db: sqlite3.Connection, order_id: str) -> Payment | None:
    return _one(db, "order_id = ?", order_id)


def at_the_store(
    db: sqlite3.Connection, *, chain: str, receipt_no: str, phone: str | None, company_code: str | None
) -> Payment | None:
    """The slip of these numbers, each exactly as this chain has it."""
    kind = CHAINS[chain]
    found = _one(db, "chain = ? AND receipt_no = ? AND (phone = ? OR ?)", chain, receipt_no, phone, not kind.by_phone)
    return found if found and found.company_code == (company_code or None) else None


def _one(db: sqlite3.Connection, where: str, *values: object) -> Payment | None:
    row = db.execute(f"SELECT * FROM payment WHERE {where}", values).fetchone()  # noqa: S608  # our own words
    return Payment(**row) if row else None


def newest(db: sqlite3.Connection, *, state: str | None = None, limit: int = 50) -> list[Payment]:
    rows = db.execute(
        "SELECT * FROM payment WHERE ? IS NULL OR state = ? ORDER BY seq DESC LIMIT ?", (state, state, limit)
    )
    return [Payment(**row) for row in rows]


def arrivals(db: sqlite3.Connection, payment_id: str) -> list[Arrival]:
    rows = db.execute("SELECT * FROM received WHERE payment_id = ? ORDER BY seq", (payment_id,))
    return [Arrival(**row) for row in rows]


def pay(db: sqlite3.Connection, payment: Payment, *, amount_yen: int | None = None, times: int = 1) -> Payment:
    """The customer's money arrives, whatever state the payment is in. Faults that concern it happen.

    Each arrival is told of by an event of its own.
    """
    about = {"payment_id": payment.id, "order_id": payment.order_id}
    if amount_yen is None and (fault := faults.take(db, ("amount_differs",), **about)):
        amount_yen = fault.amount_yen or max(payment.amount_yen - 100, 1)
    if faults.take(db, ("paid_twice",), **about):
        times = max(times, 2)
    for _ in range(times):
        _receive(db, payment, amount_yen or payment.amount_yen)
    return again(db, payment)


def _receive(db: sqlite3.Connection, payment: Payment, amount_yen: int) -> None:
    db.execute(
        "INSERT INTO received (id, payment_id, amount_yen, fee_yen, received_at) VALUES (?, ?, ?, ?, ?)",
        (
            f"rcv_{secrets.token_hex(12)}",
            payment.id,
            amount_yen,
            fee_yen(payment.method, amount_yen),
            time.time(),
        ),
    )
    _become(db, payment, "paid", checkout="done" if payment.method == "card" else None)


def pay_later(db: sqlite3.Connection, payment: Payment, seconds: float) -> None:
    """The money arrives after so many seconds."""
    db.execute("INSERT INTO later (payment_id, due_at) VALUES (?, ?)", (payment.id, time.time() + seconds))


def fail(db: sqlite3.Connection, payment: Payment, failure: str) -> Payment:
    """It will not be paid, and this is why. Nothing happens to a payment that is over."""
    if payment.state == "pending":
        _become(db, payment, "failed", failure=failure, checkout="done" if payment.method == "card" else None)
    return again(db, payment)


def cancel(db: sqlite3.Connection, payment: Payment) -> Payment:
    """The merchant takes it back. A payment that is over stays as it is."""
    if payment.state != "pending":
        return payment
    fault = faults.take(db, faults.CANCELLING, payment_id=payment.id, order_id=payment.order_id)
    if fault and fault.kind == "paid_before_cancel":
        return pay(db, payment)
    db.execute("DELETE FROM later WHERE payment_id = ?", (payment.id,))
    _become(db, payment, "cancelled")
    if fault:
        pay_later(db, payment, fault.lasts_s)
    return again(db, payment)


def expire(db: sqlite3.Connection, payment: Payment) -> Payment:
    """Its time is over now, whatever the clock says."""
    if payment.state == "pending":
        db.execute("UPDATE payment SET ends_at = min(ends_at, ?) WHERE id = ?", (time.time(), payment.id))
        _become(db, payment, "expired", failure="abandoned" if payment.method == "card" else None)
    return again(db, payment)


def do_what_is_due(db: sqlite3.Connection) -> None:
    """Money that was to arrive later arrives; what ran out expires."""
    now = time.time()
    for row in db.execute("DELETE FROM later WHERE due_at <= ? RETURNING payment_id", (now,)).fetchall():
        payment = by_id(db, row["payment_id"])
        assert payment is not None
        pay(db, payment)
    for row in db.execute(f"SELECT * FROM payment WHERE {_OVER}", {"now": now}).fetchall():  # noqa: S608  # our own words
        expire(db, Payment(**row))


def next_due_at(db: sqlite3.Connection) -> float | None:
    """When `do_what_is_due` has something to do next."""
    nexts = (
        "SELECT min(due_at) FROM later",
        "SELECT min(ends_at) FROM payment WHERE state = 'pending' AND checkout IS NOT 'processing'",
    )
    return min((due_at for look in nexts if (due_at := db.execute(look).fetchone()[0]) is not None), default=None)


def fee_yen(method: str, amount_yen: int) -> int:
    """What we keep: 3.6 % of a card payment, rounded down; a fixed amount at a store."""
    if method == "card":
        return amount_yen * 36 // 1000
    return 150 if amount_yen < 10_000 else 250 if amount_yen < 50_000 else 480


def received_between(db: sqlite3.Connection, begin: float, end: float) -> Iterator[sqlite3.Row]:
    """Arrivals with their payment's `order_id` and `method`."""
    yield from db.execute(
        "SELECT received.*, payment.order_id, payment.method FROM received JOIN payment ON payment.id = payment_id"
        " WHERE received_at >= ? AND received_at < ? ORDER BY received.seq",
        (begin, end),
    )


def again(db: sqlite3.Connection, payment: Payment) -> Payment:
    """The payment as it is now."""
    found = by_id(db, payment.id)
    assert found is not None
    return found


def _become(
    db: sqlite3.Connection, payment: Payment, state: str, *, failure: str | None = None, checkout: str | None = None
) -> None:
    db.execute(
        "UPDATE payment SET state = ?, failure = ?, checkout = coalesce(?, checkout) WHERE id = ?",
        (state, failure, checkout, payment.id),
    )
    _tell(db, payment, f"payment.{state}")


def _tell(db: sqlite3.Connection, payment: Payment, kind: str) -> None:
    events.emit(db, kind, payment_id=payment.id, order_id=payment.order_id)
