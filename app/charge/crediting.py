"""Money that arrived is credited once, whatever was told of it, in whatever order, by however many.

`settle` asks the gateway and follows what it says. In three steps: what arrived is recorded under the order's lock,
with its number and whether it is late; the ledger posts it under the gateway's own name for it; it is marked. What dies
in between is taken up by the next who comes: the record and the ledger's request are there, or are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.charge import notices, rules
from app.charge.models import OPEN, PAID, ChargeOrder, ChargeReceived
from app.charge.ports import Found, Gateway, GatewayState, SettledLine
from app.db import session, transaction
from app.ids import keyed_hash
from app.issuer import current_issuer, issuer_zone
from app.wallet import directory, ledger, reservations
from app.wallet.postings import SYSTEM, Accepted, Charge, Outcome, Refused
from app.wallet.webhooks.event_types import CHARGE_OF_STATE
from app.wallet.webhooks.events import emit_event

LOOK_AFTER_END = timedelta(days=3)
"""How long a slip that is over is still looked at: some stores report late."""

_ENDS = {GatewayState.FAILED: "failed", GatewayState.CANCELLED: "cancelled", GatewayState.EXPIRED: "expired"}
BOOKS = {"card": "issued_by_card", "konbini": "issued_by_konbini"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Money that arrived: the gateway, and its own name for it."""

    gateway: str
    id: str


def settle(gateway: Gateway, ref: str) -> bool:
    """Look a payment up and follow what the gateway says. Returns whether it is one of ours.

    Raises GatewayUnavailable and GatewayRefused, and what `ledger.post` raises: come again.
    """
    found = gateway.lookup(ref)
    with transaction():
        is_ours, waiting = _record(gateway.name, found)
    for key in waiting:
        credit(key)
    return is_ours


def credit(key: Key) -> None:
    """Credit what waits, or put it on suspense. Raises what `ledger.post` raises."""
    with transaction():
        judged = _judge(key)
    if judged is None:
        return
    outcome = ledger.post(judged) if isinstance(judged, Charge) else judged
    with transaction():
        mark(key, outcome)


def mark(key: Key, outcome: Outcome) -> None:
    """Write down what became of it, once, with the order's new state, a mail, and an event."""
    row = session().get(ChargeReceived, (key.gateway, key.id))
    assert row is not None
    order = locked(row.order_id) if row.order_id is not None else None
    session().refresh(row, with_for_update=True)
    if row.state != "waiting":
        return
    if isinstance(outcome, Accepted):
        row.state, row.transaction_id = "credited", outcome.transaction_id
    else:
        row.state, row.reason = "suspense", outcome.code
    session().flush()
    if order is not None:
        _follow(order, row)


def end(order: ChargeOrder, state: str, *, failure: str | None = None) -> None:
    """An order is over without money: its room is free again, who was to pay is forgotten. The caller holds its lock.

    Where money has arrived all the same, nothing happens: whoever credits it ends the order.
    """
    if order.state not in OPEN or _count(order.id):
        return
    order.state, order.failure, order.ended_at, order.contact_sealed = state, failure, clock.now(), None
    _free(order)
    order.due_at = next_look(order)
    tell(order)


def next_look(order: ChargeOrder) -> datetime | None:
    """When the worker asks the gateway next, if nobody does before."""
    now = clock.now()
    if order.state in PAID or order.gateway_ref is None:
        return None
    if order.state in OPEN:
        return now + timedelta(seconds=20 if order.method == "card" else 300)
    assert order.ended_at is not None
    if order.method == "card" or now > order.ended_at + LOOK_AFTER_END:
        return None
    return now + timedelta(hours=1)


def tell(order: ChargeOrder) -> None:
    """Have the webhooks of whoever the payer let know tell of the order's state."""
    data = {
        "charge_id": str(order.id),
        "state": order.state,
        "method": order.method,
        "amount_yen": order.amount_yen,
        "money": {"code": directory.money_by_id(order.money_id).code},
    }
    emit_event(CHARGE_OF_STATE[order.state], member_id=order.payer_id, data=data)


def _record(name: str, found: Found) -> tuple[bool, list[Key]]:
    """Write down what arrived, and what became of an order without money. Returns whether it is one of ours, and what
    waits to be credited. What names no order of ours belongs to somebody else at the same account.
    """
    order = _order_of(name, found)
    if order is None and found.order_id is None:
        return False, []
    if order is not None:
        order.looked_at = clock.now()
        if found.card is not None and order.card_hash is None:
            order.card_brand, order.card_last4 = found.card.brand[:40], found.card.last4[:4]
            order.card_hash = _card_hash(name, found.card.fingerprint)
    for one in sorted(found.received, key=lambda one: (one.received_at, one.id)):
        values: dict[str, Any] = {
            "gateway": name,
            "id": one.id,
            "issuer_id": current_issuer().id,
            "gateway_ref": found.ref,
            "amount_yen": one.amount_yen,
            "received_at": one.received_at,
            **_place(order, one.received_at),
        }
        session().execute(insert(ChargeReceived).values(values).on_conflict_do_nothing())
    if order is not None:
        if not found.received and found.state in _ENDS:
            end(order, _ENDS[found.state], failure=found.failure)
        else:
            order.due_at = next_look(order)
    session().flush()
    query = select(ChargeReceived.id).where(
        ChargeReceived.gateway == name, ChargeReceived.gateway_ref == found.ref, ChargeReceived.state == "waiting"
    )
    ids = session().scalars(query.order_by(ChargeReceived.number)).all()
    return order is not None, [Key(gateway=name, id=one) for one in ids]


def record_settled(order: ChargeOrder, line: SettledLine) -> None:
    """Write down what only the gateway's settlement file tells of: to be posted; of another amount, for the office."""
    order = locked(order.id)
    _free(order)
    fits = line.amount_yen == order.amount_yen + order.fee_yen
    received_at = datetime.combine(line.settled_on, time(12), issuer_zone())
    values = {
        "gateway": order.gateway,
        "id": line.received_id,
        "issuer_id": order.issuer_id,
        "gateway_ref": line.ref,
        "amount_yen": line.amount_yen,
        "received_at": received_at,
        **_place(order, received_at),
        **({} if fits else {"state": "suspense", "reason": "amount_differs"}),
    }
    session().execute(insert(ChargeReceived).values(values).on_conflict_do_nothing())
    if not fits:
        row = session().get_one(ChargeReceived, (order.gateway, line.received_id))
        _follow(order, row)


def _place(order: ChargeOrder | None, received_at: datetime) -> dict[str, Any]:
    """The number of what arrives for an order, under its lock; without an order it waits for the office."""
    if order is None:
        return {"state": "suspense", "reason": "order_unknown"}
    number = _count(order.id) + 1
    late = order.state not in (*OPEN, *PAID) or (order.pay_until is not None and received_at > order.pay_until)
    return {"order_id": order.id, "number": number, "late": late and number == 1}


def _count(order_id: UUID) -> int:
    """How often money has arrived for an order."""
    query = select(func.count()).select_from(ChargeReceived).where(ChargeReceived.order_id == order_id)
    return int(session().scalars(query).one())


def _order_of(name: str, found: Found) -> ChargeOrder | None:
    """The order of a payment, locked: by its ref, or by its id where the answer that told the ref was lost."""
    by_ref = (ChargeOrder.gateway == name, ChargeOrder.gateway_ref == found.ref)
    order = session().scalar(select(ChargeOrder).where(*by_ref).with_for_update())
    if order is None and found.order_id is not None:
        by_id = (ChargeOrder.gateway == name, ChargeOrder.id == found.order_id)
        order = session().scalar(select(ChargeOrder).where(*by_id).with_for_update())
        if order is not None and order.gateway_ref is None:
            order.gateway_ref = found.ref
    return order


def _judge(key: Key) -> Charge | Refused | None:
    """The posting for what waits, or why it cannot be posted; None: somebody else was faster."""
    row = session().get(ChargeReceived, (key.gateway, key.id))
    if row is None or row.state != "waiting":
        return None
    assert row.order_id is not None
    order = session().get(ChargeOrder, row.order_id)
    assert order is not None
    if row.amount_yen != order.amount_yen + order.fee_yen:
        return Refused(code="amount_differs")
    if not rules.passes_new_card_limit(rules.rules(), order):
        return Refused(code="new_card")
    if row.number != 1 and _first_waits(order.id):
        return None  # in their order: whoever credits the first comes to this one
    as_agreed = row.number == 1 and order.state in OPEN
    return posting(order, key, as_agreed=as_agreed)


def _first_waits(order_id: UUID) -> bool:
    first = (ChargeReceived.order_id == order_id, ChargeReceived.number == 1, ChargeReceived.state == "waiting")
    return session().scalar(select(ChargeReceived.id).where(*first)) is not None


def posting(order: ChargeOrder, key: Key, *, as_agreed: bool) -> Charge:
    """What credits an order's amount. `as_agreed`: whatever became of the wallet since (ledger.md, rule 7)."""
    name = f"charge:{key.gateway}:{key.id}"
    return Charge(
        requester=SYSTEM,
        request_id=name,
        params_hash=ledger.params_hash({"charge": name, "order": str(order.id)}),
        member_id=order.member_id,
        money=directory.money_by_id(order.money_id).code,
        amount_yen=order.amount_yen,
        book=BOOKS[order.method],
        agreed_before=as_agreed,
        reserved_yen=order.reserved_yen if as_agreed else 0,
        metadata={"charge_id": str(order.id), "gateway": key.gateway, "received_id": key.id},
    )


def _follow(order: ChargeOrder, row: ChargeReceived) -> None:
    """The order's state follows what arrived."""
    if order.state in OPEN:
        if row.state == "credited":
            order.reserved_yen = 0  # the ledger gave the room back with the posting
        else:
            _free(order)
    state = _state_by(row)
    if order.state != state:
        order.state = state
        order.ended_at = order.ended_at or clock.now()
        order.contact_sealed = None
        order.due_at = None
        tell(order)
    notices.arrived(order, row)


def _state_by(row: ChargeReceived) -> str:
    if row.number != 1:
        return "duplicate_paid"
    return "late_paid" if row.late else "paid"


def _free(order: ChargeOrder) -> None:
    if order.reserved_yen:
        reservations.release(member_id=order.member_id, money_id=order.money_id, amount_yen=order.reserved_yen)
        order.reserved_yen = 0


def locked(order_id: UUID) -> ChargeOrder:
    """An order as it is now, under its lock. Needs a transaction."""
    query = select(ChargeOrder).where(ChargeOrder.id == order_id).with_for_update()
    row: ChargeOrder = session().scalars(query.execution_options(populate_existing=True)).one()
    return row


def _card_hash(gateway: str, fingerprint: str) -> bytes:
    pepper: bytes = current_app.extensions["kumiai.settings"].card_pepper
    return keyed_hash(pepper, purpose="charge card", value=f"{gateway}\0{fingerprint}")
