"""The API that plays the customer, the store and bad luck: for tests, and for whatever the console can do.

It has the same key as the merchant's API. A real gateway has no such thing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from app.charge.sandbox import cards, checkout, events, faults, payments, storage, wire
from app.charge.sandbox.api import answered, authenticate, existing
from app.charge.sandbox.gateway import sandbox
from app.charge.sandbox.payments import Payment
from app.charge.sandbox.wire import ApiError, Fields

script = Blueprint("script", __name__, url_prefix="/test")
script.before_request(authenticate)

_NEWEST = 200
_MAX_SEQ = 2**63 - 1
"""SQLite counts no further."""
_KINDS = tuple(f"payment.{state}" for state in ("pending", "paid", "failed", "cancelled", "expired"))


@script.get("/payments")
def list_payments() -> Response:
    """The newest payments."""
    with sandbox().transaction() as db:
        found = payments.newest(db, state=request.args.get("state"), limit=_NEWEST)
        return answered({"payments": [_dump(db, each) for each in found]})


@script.get("/payments/<payment_id>")
def one_payment(payment_id: str) -> Response:
    """A payment with its events."""
    with sandbox().transaction() as db:
        return answered(_dump(db, existing(db, payment_id)))


@script.post("/payments/<payment_id>/pay")
def pay(payment_id: str) -> Response:
    """The money arrives now: of another amount, more than once, or too late, where the body says so."""
    fields = _fields()
    amount_yen = fields.optional_whole("amount_yen", least=1, most=wire.MAX_CARD_YEN)
    times = fields.optional_whole("times", least=1, most=10) or 1
    late = fields.flag("late")
    fields.done()
    with sandbox().transaction() as db:
        payment = existing(db, payment_id)
        if late:
            payment = payments.expire(db, payment)
        elif not payment.payable and not payments.arrivals(db, payment_id):
            raise ApiError(409, "not_payable", "it is over; say `late` to have it paid nevertheless", field="late")
        return answered(_dump(db, payments.pay(db, payment, amount_yen=amount_yen, times=times)))


@script.post("/payments/<payment_id>/expire")
def expire(payment_id: str) -> Response:
    """Its time is over: a slip nobody paid, a card page that was left."""
    return _do(payment_id, payments.expire)


@script.post("/payments/<payment_id>/fail")
def fail(payment_id: str) -> Response:
    fields = _fields()
    failure = fields.one_of("failure", cards.FAILURES, default="card_declined")
    return _do(payment_id, lambda db, payment: payments.fail(db, payment, failure), fields)


@script.post("/payments/<payment_id>/card")
def card(payment_id: str) -> Response:
    """The customer enters one of the test cards, by its name: no number comes here."""
    fields = _fields()
    chosen = cards.BY_NAME[fields.one_of("card", tuple(cards.BY_NAME))]
    return _do(payment_id, lambda db, payment: _submit(db, payment, chosen), fields)


@script.post("/payments/<payment_id>/challenge")
def challenge(payment_id: str) -> Response:
    """The customer answers the bank: rightly, wrongly (three times), or not at all."""
    fields = _fields()
    reply = fields.one_of("answer", ("right", "wrong", "cancel"), default="right")

    def act(db: sqlite3.Connection, payment: Payment) -> Payment:
        if reply == "cancel":
            return checkout.give_up_challenge(db, payment)
        if reply == "right":
            return checkout.answer(db, payment, payment.challenge_code or "")
        for _ in range(checkout.CODES_ALLOWED):
            payment = checkout.answer(db, payment, "wrong")
        return payment

    return _do(payment_id, act, fields)


@script.post("/payments/<payment_id>/events")
def made_up_event(payment_id: str) -> Response:
    """An event that says something, whether or not it is so."""
    fields = _fields()
    kind = fields.one_of("kind", _KINDS)
    fields.done()
    with sandbox().transaction() as db:
        payment = existing(db, payment_id)
        event = events.emit(db, kind, payment_id=payment.id, order_id=payment.order_id)
        return answered(wire.dump_event(db, event), 201)


@script.get("/faults")
def list_faults() -> Response:
    with sandbox().transaction() as db:
        return answered({"faults": [wire.dump_fault(fault) for fault in faults.waiting(db)]})


@script.post("/faults")
def add_fault() -> Response:
    """Have something go wrong: for one payment or order, or for the next `times` (0: until it is taken away)."""
    fields = _fields()
    kind = fields.one_of("kind", faults.KINDS)
    payment_id, order_id = fields.optional_text("payment_id", most=64), fields.optional_text("order_id", most=64)
    operation = fields.one_of("operation", faults.OPERATIONS, default="")
    times = fields.optional_whole("times", least=0, most=1_000)
    seconds = fields.optional_seconds("seconds")
    amount_yen = fields.optional_whole("amount_yen", least=1, most=wire.MAX_CARD_YEN)
    fields.done()
    with sandbox().transaction() as db:
        fault = faults.add(
            db,
            kind,
            payment_id=payment_id,
            order_id=order_id,
            operation=operation or None,
            times=1 if times is None else times,
            seconds=seconds,
            amount_yen=amount_yen,
        )
        return answered(wire.dump_fault(fault), 201)


@script.delete("/faults")
def remove_faults() -> Response:
    with sandbox().transaction() as db:
        faults.remove(db)
    return Response(status=204)


@script.delete("/faults/<int:seq>")
def remove_fault(seq: int) -> Response:
    with sandbox().transaction() as db:
        faults.remove(db, min(seq, _MAX_SEQ))
    return Response(status=204)


@script.get("/events")
def list_events() -> Response:
    """The newest events with the log of their delivery; of one payment with `payment_id`."""
    with sandbox().transaction() as db:
        found = events.of(db, request.args.get("payment_id"), limit=_NEWEST)
        return answered({"events": [wire.dump_event(db, event) for event in found]})


@script.get("/events/<event_id>/message")
def event_message(event_id: str) -> Response:
    """The event as it is sent, freshly signed: for whoever wants to deliver it by hand."""
    with sandbox().transaction() as db:
        event = _event(db, event_id)
    headers = events.headers(event, secret=sandbox().settings.webhook_secret)
    return answered({"headers": headers, "body": event.body})


@script.post("/events/<event_id>/send")
def send_event(event_id: str) -> Response:
    """Send it (again) now, withheld or delivered though it was."""
    with sandbox().transaction() as db:
        _event(db, event_id)
        events.send_now(db, event_id)
        return answered(wire.dump_event(db, _event(db, event_id)))


@script.post("/events/send")
def send_waiting() -> Response:
    """Send all that wait now, without waiting for the back-off."""
    with sandbox().transaction() as db:
        return answered({"sent": events.send_now(db)})


@script.post("/events/withhold")
def withhold_waiting() -> Response:
    """None of those that wait is sent any more, unless it is asked for by its id."""
    with sandbox().transaction() as db:
        return answered({"withheld": events.withhold(db)})


@script.get("/calls")
def list_calls() -> Response:
    """What the merchant's server asked, newest first, and what went wrong with it on purpose."""
    with sandbox().transaction() as db:
        rows = db.execute("SELECT * FROM call ORDER BY seq DESC LIMIT ?", (_NEWEST,))
        return answered({"calls": [{**row, "at": wire.instant(row["at"])} for row in map(dict, rows)]})


@script.put("/webhook-url")
def set_webhook_url() -> Response:
    """Where webhooks go from now on; without `url` they wait."""
    url = wire.read_webhook_url(request.get_data())
    with sandbox().transaction() as db:
        storage.set_setting(db, "webhook_url", url)
    return answered({"url": url})


def _do(
    payment_id: str, work: Callable[[sqlite3.Connection, Payment], Payment], fields: Fields | None = None
) -> Response:
    (fields or _fields()).done()
    with sandbox().transaction() as db:
        return answered(_dump(db, work(db, existing(db, payment_id))))


def _submit(db: sqlite3.Connection, payment: Payment, chosen: cards.TestCard) -> Payment:
    if payment.method != "card":
        raise ApiError(409, "not_a_card_payment", "this is a slip")
    return checkout.submit(db, payment, chosen, fingerprint=cards.fingerprint(chosen.number, key=storage.secret(db)))


def _fields() -> Fields:
    return Fields(request.get_data())


def _event(db: sqlite3.Connection, event_id: str) -> events.StoredEvent:
    found = events.by_id(db, event_id)
    if found is None:
        raise ApiError(404, "not_found", "there is no such event")
    return found


def _dump(db: sqlite3.Connection, payment: Payment) -> dict[str, Any]:
    return {
        **wire.dump_payment(db, payment, url=sandbox().settings.url),
        "checkout": payment.checkout,
        "challenge_code": payment.challenge_code if payment.checkout == "challenge" else None,
        "events": [wire.dump_event(db, event) for event in reversed(events.of(db, payment.id))],
    }
