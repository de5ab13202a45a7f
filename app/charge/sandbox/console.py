"""The console: what came in, what was told, and every case that can be made to happen."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from flask import Blueprint, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from app.charge.sandbox import browser, cards, checkout, events, faults, payments, storage, wire
from app.charge.sandbox.chains import CHAINS
from app.charge.sandbox.gateway import sandbox
from app.charge.sandbox.payments import Payment
from app.charge.sandbox.wire import ApiError

console = Blueprint("console", __name__)
console.before_request(browser.check_form)

_SHOWN = 30


@console.get("/")
def home() -> str:
    """What this is, and where everything is."""
    return render_template("sandbox/home.html", test_cards=cards.TEST_CARDS, chains=CHAINS.values())


@console.get("/console")
def overview() -> str:
    with sandbox().transaction() as db:
        payments.do_what_is_due(db)
        return render_template(
            "sandbox/console.html",
            payments=payments.newest(db, limit=_SHOWN),
            events=[(event, events.attempts(db, event.id)) for event in events.of(db, limit=_SHOWN)],
            calls=db.execute("SELECT * FROM call ORDER BY seq DESC LIMIT ?", (_SHOWN,)).fetchall(),
            faults=faults.waiting(db),
            groups=faults.GROUPS,
            operations=faults.OPERATIONS,
            webhook_url=sandbox().webhook_url(db),
            problem=None,
        )


@console.get("/console/payments/<payment_id>")
def detail(payment_id: str) -> str:
    """One payment, and what can be done to it."""
    with sandbox().transaction() as db:
        payments.do_what_is_due(db)
        payment = _payment(db, payment_id)
        return render_template(
            "sandbox/payment.html",
            payment=payment,
            chain=CHAINS.get(payment.chain or ""),
            arrivals=payments.arrivals(db, payment_id),
            events=[(event, events.attempts(db, event.id)) for event in events.of(db, payment_id)],
            faults=[fault for fault in faults.waiting(db) if fault.payment_id == payment_id],
            groups={name: kinds for name, kinds in faults.GROUPS.items() if _fits(name, payment)},
            operations=faults.OPERATIONS,
            test_cards=cards.TEST_CARDS,
            failures=cards.FAILURES,
        )


def _fits(group: str, payment: Payment) -> bool:
    return group != "card" or payment.method == "card"


@console.post("/console/payments/<payment_id>")
def act(payment_id: str) -> AnyResponse:
    """Play the customer, the store or the bank."""
    act = _ACTIONS.get(request.form.get("action", ""))
    with sandbox().transaction() as db:
        payment = _payment(db, payment_id)
        if act is not None:
            act(db, payment)
    return browser.see(url_for("console.detail", payment_id=payment_id))


def _pay(db: sqlite3.Connection, payment: Payment) -> None:
    if payment.payable:
        payments.pay(db, payment)


def _pay_late(db: sqlite3.Connection, payment: Payment) -> None:
    payments.pay(db, payments.expire(db, payment))


def _pay_other(db: sqlite3.Connection, payment: Payment) -> None:
    text = request.form.get("amount_yen", "")
    if text.isascii() and text.isdigit() and 0 < int(text[:9]) <= wire.MAX_CARD_YEN:
        payments.pay(db, payment, amount_yen=int(text[:9]))


def _fail(db: sqlite3.Connection, payment: Payment) -> None:
    failure = request.form.get("failure", "")
    if failure in cards.FAILURES:
        payments.fail(db, payment, failure)


def _card(db: sqlite3.Connection, payment: Payment) -> None:
    chosen = cards.BY_NAME.get(request.form.get("card", ""))
    if chosen is not None and payment.method == "card":
        mark = cards.fingerprint(chosen.number, key=storage.secret(db))
        checkout.submit(db, payment, chosen, fingerprint=mark)


def _made_up(db: sqlite3.Connection, payment: Payment) -> None:
    events.emit(db, "payment.paid", payment_id=payment.id, order_id=payment.order_id)


_ACTIONS: dict[str, Callable[[sqlite3.Connection, Payment], Any]] = {
    "pay": _pay,
    "pay_late": _pay_late,
    "pay_twice": lambda db, payment: payments.pay(db, payment, times=2),
    "pay_other": _pay_other,
    "expire": payments.expire,
    "fail": _fail,
    "card": _card,
    "cancel": payments.cancel,
    "made_up": _made_up,
}


@console.post("/console/faults")
def add_fault() -> AnyResponse:
    """Have something go wrong, for one payment or the next ones."""
    form = request.form
    kind, payment_id = form.get("kind", ""), form.get("payment_id") or None
    if kind not in faults.KINDS or (form.get("operation") or None) not in (None, *faults.OPERATIONS):
        raise NotFound
    with sandbox().transaction() as db:
        if payment_id is not None:
            _payment(db, payment_id)
        times, seconds, amount_yen = (_number(form.get(name)) for name in ("times", "seconds", "amount_yen"))
        faults.add(
            db,
            kind,
            payment_id=payment_id,
            operation=form.get("operation") or None,
            times=1 if times is None else times,
            seconds=seconds,
            amount_yen=amount_yen or None,
        )
    return _back(payment_id)


@console.post("/console/faults/remove")
def remove_faults() -> AnyResponse:
    """One, or without a number all."""
    with sandbox().transaction() as db:
        faults.remove(db, _number(request.form.get("seq")))
    return _back(request.form.get("payment_id") or None)


@console.post("/console/events/send")
def send() -> AnyResponse:
    """Send one event again, or all that wait, now."""
    with sandbox().transaction() as db:
        events.send_now(db, request.form.get("event_id") or None)
    return _back(request.form.get("payment_id") or None)


@console.post("/console/webhook-url")
def webhook_url() -> AnyResponse | str:
    """Where webhooks go; empty: they wait."""
    url = request.form.get("url", "").strip()
    try:
        url = wire.checked_webhook_url(url)
    except ApiError:
        return browser.trouble("webhook_url", 422)
    with sandbox().transaction() as db:
        storage.set_setting(db, "webhook_url", url)
    return _back(None)


def _back(payment_id: str | None) -> AnyResponse:
    return browser.see(url_for("console.detail", payment_id=payment_id) if payment_id else url_for("console.overview"))


def _number(text: str | None) -> int | None:
    """A whole number of up to six digits; None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 6 else None


def _payment(db: sqlite3.Connection, payment_id: str) -> Payment:
    found = payments.by_id(db, payment_id) if payment_id.isascii() else None
    if found is None:
        raise NotFound
    return found
