"""Paying by card: the card is entered, perhaps 3-D Secure asks, and it comes to something."""

from __future__ import annotations

import secrets
import sqlite3

from app.charge.sandbox import faults, payments
from app.charge.sandbox.cards import PAID, SLOW, TestCard
from app.charge.sandbox.payments import Payment

CODES_ALLOWED = 3
SLOW_S = 5.0


def submit(db: sqlite3.Connection, payment: Payment, card: TestCard, *, fingerprint: str) -> Payment:
    """The customer sent a card. The second of two sendings does nothing."""
    if not payment.payable or payment.checkout != "entering":
        return payment
    fault = faults.take(db, faults.CARD, payment_id=payment.id, order_id=payment.order_id)
    wrong = fault.kind if fault else None
    outcome = {"card_declined": "card_declined", "three_ds_failed": "three_ds_failed", "card_slow": SLOW}.get(
        wrong or "", card.outcome
    )
    asks = card.challenge or wrong in ("three_ds_failed", "abandoned")
    db.execute(
        "UPDATE payment SET checkout = 'challenge', outcome = ?, challenge_code = ?, card_brand = ?, card_last4 = ?,"
        " card_fingerprint = ? WHERE id = ?",
        (outcome, f"{secrets.randbelow(10**6):06}", card.brand, card.last4, fingerprint, payment.id),
    )
    entered = payments.again(db, payment)
    if wrong == "abandoned":
        return payments.expire(db, entered)
    return entered if asks else _conclude(db, entered, fault.lasts_s if fault and wrong == "card_slow" else SLOW_S)


def answer(db: sqlite3.Connection, payment: Payment, code: str) -> Payment:
    """The customer answers the bank. Three wrong codes are a no."""
    if not payment.payable or payment.checkout != "challenge":
        return payment
    if payment.challenge_code is not None and secrets.compare_digest(code.encode(), payment.challenge_code.encode()):
        return _conclude(db, payment, SLOW_S)
    db.execute("UPDATE payment SET wrong_codes = wrong_codes + 1 WHERE id = ?", (payment.id,))
    if payment.wrong_codes + 1 >= CODES_ALLOWED:
        return payments.fail(db, payment, "three_ds_failed")
    return payments.again(db, payment)


def give_up_challenge(db: sqlite3.Connection, payment: Payment) -> Payment:
    """The customer cancels at the bank."""
    return payments.fail(db, payment, "three_ds_cancelled") if payment.checkout == "challenge" else payment


def leave(db: sqlite3.Connection, payment: Payment) -> Payment:
    """The customer goes back to the shop instead of paying."""
    return payments.fail(db, payment, "customer_left") if payment.checkout in ("entering", "challenge") else payment


def _conclude(db: sqlite3.Connection, payment: Payment, slow_s: float) -> Payment:
    if payment.outcome == PAID:
        return payments.pay(db, payment)
    if payment.outcome == SLOW:
        db.execute("UPDATE payment SET checkout = 'processing' WHERE id = ?", (payment.id,))
        payments.pay_later(db, payment, slow_s)
        return payments.again(db, payment)
    return payments.fail(db, payment, payment.outcome or "card_declined")
