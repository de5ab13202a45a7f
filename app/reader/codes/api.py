"""One-time codes at a till: show the shop's code with an amount, take a payment or cash by the code a member shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Response, request

from app.db import transaction
from app.issuer import mypage_url
from app.limits import knock
from app.oauth.protector import Bearer, current_access
from app.reader.terminals import Till, till_of
from app.wallet import directory, examples, ledger, views
from app.wallet.codes import service
from app.wallet.codes.api import status_view
from app.wallet.codes.schemas import CodeChargeBody, CodePaymentBody, CodeStatusView, ShopCodeBody, ShopCodeMade
from app.wallet.errors import LedgerRefusal
from app.wallet.postings import Charge, Declined, Payment, Posting, Refused
from app.wallet.schemas import IdempotencyHeader, TransactionView
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale
from app.web.protection import protected_by

blueprint = Blueprint("till_codes", __name__, url_prefix="/v1", description="One-time codes at a shop's terminal.")

SCANS_PER_MINUTE = 300
"""More than a till can read; a stolen one guesses no code of a minute's life."""


@blueprint.post("/shop-codes")
@blueprint.arguments(ShopCodeBody())
@blueprint.response(201, ShopCodeMade())
@protected_by(Bearer("till"))
def show(body: Mapping[str, Any]) -> dict[str, Any]:
    """A one-time code of this terminal's shop, with an amount, for a member to scan

    Show `url` as a QR code. Ask for its status until it is used, or cancel it.
    """
    till = _till()
    if body["money"] is not None and directory.money(body["money"]) is None:
        raise LedgerRefusal("money_not_accepted", money=body["money"])
    with transaction():
        made = service.show_shop_code(
            client_id=till.client_id,
            shop_id=till.shop_id,
            amount_yen=body["amount_yen"],
            money=body["money"],
            description=body["description"],
            ttl=timedelta(seconds=body["expires_in_s"]),
        )
    return {
        "id": str(made.id),
        "code": made.digits,
        "url": f"{mypage_url()}/pay?code={made.digits}",
        "expires_at": made.expires_at.isoformat(),
    }


@blueprint.get("/shop-codes/<uuid:code_id>")
@blueprint.response(200, CodeStatusView())
@protected_by(Bearer("till"))
def status(code_id: UUID) -> dict[str, Any]:
    """Whether a code of this terminal was paid, and why the last scan was not"""
    return status_view(service.by_id(code_id, client_id=current_access().client_id))


@blueprint.delete("/shop-codes/<uuid:code_id>")
@blueprint.response(200, CodeStatusView(), example=examples.CANCELLED_CODE)
@protected_by(Bearer("till"))
def cancel(code_id: UUID) -> dict[str, Any]:
    """Cancel a code of this terminal

    409 `code_used` where it was paid. Again it changes nothing.
    """
    client_id = current_access().client_id
    with transaction():
        service.cancel(code_id, client_id=client_id)
    return status_view(service.by_id(code_id, client_id=client_id))


@blueprint.post("/code-payments")
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(CodePaymentBody())
@blueprint.response(201, TransactionView(), example=examples.BY_CODE)
@protected_by(Bearer("till"))
def pay(headers: Mapping[str, Any], body: Mapping[str, Any]) -> Response:
    """Take a payment by the one-time code that a member shows

    Make the Idempotency-Key and store it before you send. It stays within what the member allowed the app that shows
    the code.
    """
    till, found = _till(), _scan(body["code"], purpose="payment")
    named = _named(headers, body)
    posting: Posting
    if found is None or found.member_id is None or found.grant_id is None:
        posting = Declined(**named, refused=Refused(code="code_unknown"))
    else:
        posting = Payment(
            **named,
            member_id=found.member_id,
            money=body["money"] or found.money or till.default_money,
            shop_id=till.shop_id,
            amount_yen=body["amount_yen"],
            controls=(till.id, found.grant_id),
            grant_id=found.grant_id,
            terminal_id=till.id,
            code_id=found.id,
            description=body["description"],
        )
    return _post(posting, found, description=body["description"])


@blueprint.post("/code-charges")
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(CodeChargeBody(), example=examples.CHARGE_BODY)
@blueprint.response(201, TransactionView(), example=examples.CHARGE)
@protected_by(Bearer("till:charge"))
def charge(headers: Mapping[str, Any], body: Mapping[str, Any]) -> Response:
    """Charge the wallet of the member who shows a one-time code, against cash paid at the till"""
    till, found = _till(), _scan(body["code"], purpose="charge")
    named = _named(headers, body)
    posting: Posting
    if found is None or found.member_id is None:
        posting = Declined(**named, refused=Refused(code="code_unknown"))
    else:
        posting = Charge(
            **named,
            member_id=found.member_id,
            money=body["money"] or found.money or till.default_money,
            amount_yen=body["amount_yen"],
            book="issued_by_cash",
            code_id=found.id,
            terminal_id=till.id,
        )
    return _post(posting, found)


def _till() -> Till:
    """The terminal that asks. Raises LedgerRefusal where it is none, or not any more."""
    till = till_of(current_access().client_id)
    if till is None:
        raise LedgerRefusal("terminal_revoked")
    return till


def _scan(code: str, *, purpose: str) -> service.Code | None:
    knock(door="till.scan", caller=current_access().client_id, limit=SCANS_PER_MINUTE, window_s=60)
    found = service.by_digits(code, side="member")
    return found if found is not None and found.purpose == purpose else None


def _named(headers: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "requester": current_access().client_id,
        "request_id": headers["idempotency_key"],
        "params_hash": ledger.params_hash({"path": request.path, "body": body}),
    }


def _post(posting: Posting, found: service.Code | None, *, description: str = "") -> Response:
    outcome = ledger.post(posting)
    service.keep_refusal(found.id if found else None, outcome)
    accepted = views.accepted(outcome, may_see_balance=True)  # shown to the member who is at the till
    shown = views.of_outcome(
        accepted,
        names=views.Names(current_locale()),
        request_id=posting.request_id,
        may_see_balance=True,
        description=description,
    )
    return json_response(shown, status=201, headers=views.hit_headers(accepted))
