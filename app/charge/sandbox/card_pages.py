"""The hosted card page, the bank's question (3-D Secure), and the way back to the merchant."""

from __future__ import annotations

from flask import Blueprint, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from app.charge.sandbox import browser, card_form, cards, checkout, payments, storage
from app.charge.sandbox.card_form import CardForm
from app.charge.sandbox.gateway import sandbox
from app.charge.sandbox.payments import Payment

card_pages = Blueprint("card", __name__, url_prefix="/pay")
card_pages.before_request(browser.check_form)


@card_pages.get("/<payment_id>")
def enter(payment_id: str) -> Response | str:
    """The form; once the payment is over, what became of it."""
    payment = _payment(payment_id)
    chosen = cards.BY_NAME.get(request.args.get("fill", ""))
    return _page(payment, card_form.filled(chosen) if chosen else CardForm())


@card_pages.post("/<payment_id>")
def submit(payment_id: str) -> Response | str:
    """Take the card. What was typed is forgotten here, but for brand, last four digits and fingerprint."""
    payment, form = _payment(payment_id), card_form.read(request.form)
    if payment.payable and payment.checkout == "entering":
        if form.problems:
            return _page(payment, form)
        with sandbox().transaction() as db:
            mark = cards.fingerprint(form.card.number, key=storage.secret(db))
            payment = checkout.submit(db, payments.again(db, payment), form.card, fingerprint=mark)
    return _onward(payment)


@card_pages.get("/<payment_id>/challenge")
def challenge(payment_id: str) -> Response | str:
    """The bank asks whether it is really the customer."""
    payment = _payment(payment_id)
    return _onward(payment) if _over(payment) else _challenge_page(payment)


@card_pages.post("/<payment_id>/challenge")
def answer(payment_id: str) -> Response | str:
    payment = _payment(payment_id)
    with sandbox().transaction() as db:
        payment = payments.again(db, payment)
        if request.form.get("give_up"):
            payment = checkout.give_up_challenge(db, payment)
        else:
            payment = checkout.answer(db, payment, request.form.get("code", "").strip()[:20])
    return _onward(payment) if _over(payment) else _challenge_page(payment)


@card_pages.post("/<payment_id>/leave")
def leave(payment_id: str) -> Response:
    """Back to the merchant without paying."""
    payment = _payment(payment_id)
    with sandbox().transaction() as db:
        payment = checkout.leave(db, payments.again(db, payment))
    return browser.see(payment.return_url or "/")


def _payment(payment_id: str) -> Payment:
    with sandbox().transaction() as db:
        payments.do_what_is_due(db)
        found = payments.by_id(db, payment_id) if payment_id.isascii() else None
    if found is None or found.return_url is None:
        raise NotFound
    browser.speak(found.locale)
    browser.leads_away()
    return found


def _over(payment: Payment) -> bool:
    return not payment.payable or payment.checkout != "challenge"


def _onward(payment: Payment) -> Response:
    """To the bank's question, or back to the merchant."""
    if _over(payment):
        return browser.see(payment.return_url or "/")
    return browser.see(url_for("card.challenge", payment_id=payment.id))


def _page(payment: Payment, form: CardForm) -> Response | str:
    if payment.payable and payment.checkout == "challenge":
        return _onward(payment)
    if not payment.payable or payment.checkout != "entering":
        return render_template("sandbox/over.html", payment=payment)
    page = render_template(
        "sandbox/card.html", payment=payment, form=form, test_cards=cards.TEST_CARDS, brands=cards.BRANDS
    )
    return Response(page, 422 if form.problems else 200, mimetype="text/html")


def _challenge_page(payment: Payment) -> Response:
    left = checkout.CODES_ALLOWED - payment.wrong_codes
    page = render_template("sandbox/challenge.html", payment=payment, left=left, wrong=payment.wrong_codes > 0)
    return Response(page, 422 if request.method == "POST" else 200, mimetype="text/html")
