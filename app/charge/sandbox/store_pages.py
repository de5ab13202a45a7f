"""The convenience store: the slip with its numbers, the machine or till where they are entered, the receipt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

import segno
from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from app.charge.sandbox import barcode, browser, payments
from app.charge.sandbox.chains import CHAINS, SLIP_MINUTES, Chain
from app.charge.sandbox.gateway import sandbox
from app.charge.sandbox.payments import Payment

store_pages = Blueprint("store", __name__)
store_pages.before_request(browser.check_form)

_PHONE_DIGITS = (10, 11)


@store_pages.get("/voucher/<payment_id>")
def voucher(payment_id: str) -> str:
    """What the customer takes along."""
    with sandbox().transaction() as db:
        payments.do_what_is_due(db)
        payment = payments.by_id(db, payment_id) if payment_id.isascii() else None
    if payment is None or payment.chain is None or payment.receipt_no is None:
        raise NotFound
    browser.speak(payment.locale)
    chain = CHAINS[payment.chain]
    code = segno.make_qr(f"{payment.company_code}{payment.receipt_no}", error="m") if chain.qr else None
    return render_template(
        "sandbox/voucher.html",
        payment=payment,
        chain=chain,
        barcode=barcode.code_128(payment.receipt_no) if chain.barcode else None,
        qr=code.svg_data_uri(border=4, scale=5) if code else None,
    )


@store_pages.get("/store")
def stores() -> str:
    """Which store to walk into."""
    return render_template("sandbox/stores.html", chains=CHAINS.values())


@store_pages.get("/store/<name>")
def counter(name: str) -> str:
    """The machine or the till, waiting for the numbers; those in the address are filled in."""
    return _counter(_chain(name), request.args)


@store_pages.post("/store/<name>")
def enter(name: str) -> AnyResponse | str:
    """The numbers were entered: what is to be paid; or it is paid."""
    chain = _chain(name)
    receipt_no, beside, problems = _read(chain, request.form)
    if problems:
        return Response(_counter(chain, request.form, problems), 422)
    with sandbox().transaction() as db:
        payments.do_what_is_due(db)
        payment = payments.at_the_store(db, chain=chain.name, receipt_no=receipt_no, **beside)
        received = payments.arrivals(db, payment.id) if payment else []
        if payment and payment.payable and request.form.get("pay"):
            payment = payments.pay(db, payment)
            received = payments.arrivals(db, payment.id)
    if payment is not None and received and request.form.get("pay"):  # also where the button was pressed twice
        return browser.see(url_for("store.receipt", received_id=received[0].id))
    if payment is None or not payment.payable:
        return Response(_counter(chain, request.form, {"": _why_not(payment)}), 422)
    return render_template(
        "sandbox/counter_confirm.html", chain=chain, payment=payment, given=request.form, minutes=SLIP_MINUTES
    )


@store_pages.get("/store/receipt/<received_id>")
def receipt(received_id: str) -> str:
    with sandbox().transaction() as db:
        row = db.execute("SELECT * FROM received WHERE id = ?", (received_id,)).fetchone()
        payment = payments.by_id(db, row["payment_id"]) if row else None
    if payment is None or payment.chain is None:
        raise NotFound
    return render_template("sandbox/receipt.html", arrival=row, payment=payment, chain=CHAINS[payment.chain])


def _chain(name: str) -> Chain:
    chain = CHAINS.get(name)
    if chain is None:
        raise NotFound
    return chain


def _counter(chain: Chain, given: Mapping[str, str], problems: Mapping[str, str] | None = None) -> str:
    return render_template("sandbox/counter.html", chain=chain, given=given, problems=problems or {})


def _read(chain: Chain, form: Mapping[str, str]) -> tuple[str, dict[str, str | None], dict[str, str]]:
    """The number, what goes with it, and what is wrong: keys of sentences, by field."""
    receipt_no = _digits(form, "receipt_no")
    given: dict[str, str | None] = {"phone": None, "company_code": None}
    problems = {}
    if len(receipt_no) != chain.digits:
        problems["receipt_no"] = "counter.digits_wrong"
    if chain.by_phone:
        given["phone"] = _digits(form, "phone")
        if len(given["phone"] or "") not in _PHONE_DIGITS:
            problems["phone"] = "counter.phone_wrong"
    if chain.company_code is not None:
        given["company_code"] = _digits(form, "company_code")
        if len(given["company_code"] or "") != len(chain.company_code):
            problems["company_code"] = "counter.company_code_wrong"
    return receipt_no, given, problems


def _digits(form: Mapping[str, str], name: str) -> str:
    """Full-width digits, spaces and hyphens are as good."""
    text = unicodedata.normalize("NFKC", form.get(name, "")[:40])
    digits = re.sub(r"[\s\u2010-\u2015\u30fc-]", "", text)
    return digits if re.fullmatch("[0-9]+", digits) else ""


def _why_not(payment: Payment | None) -> str:
    state = "unknown" if payment is None else "expired" if payment.state == "pending" else payment.state
    return f"counter.refused.{state}"
