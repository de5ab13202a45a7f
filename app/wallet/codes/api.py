"""One-time codes for members' apps: show the member's own code, pay by a shop's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, request
from webargs.flaskparser import abort

from app.db import transaction
from app.limits import knock
from app.oauth import cors
from app.oauth.errors import InsufficientScope
from app.oauth.protector import Access, Bearer, current_access
from app.wallet import answers, directory, examples, ledger, payments, views
from app.wallet.api_payments import SIGN_IN_AGAIN
from app.wallet.codes import service
from app.wallet.codes.schemas import (
    CodeStatusView,
    MemberCodeBody,
    MemberCodeView,
    PayByCodeBody,
    ScannedQuery,
    ScannedView,
)
from app.wallet.errors import STATUS_OF, LedgerRefusal
from app.wallet.postings import Declined, Payment, Posting, Refused
from app.wallet.schemas import IdempotencyHeader, TransactionView
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale, translate
from app.web.protection import protected_by

blueprint = Blueprint(
    "codes", __name__, url_prefix="/v1", description="One-time codes: a member's for a till, a shop's for a member."
)
blueprint.after_request(cors.allow_registered)

SHOWN_PER_MINUTE = 60
SCANS_PER_MINUTE = 300


@blueprint.post("/codes")
@blueprint.arguments(MemberCodeBody())
@blueprint.response(201, MemberCodeView())
@protected_by(Bearer())
def show(body: Mapping[str, Any]) -> dict[str, Any]:
    """A one-time code of the member, to be shown to a till

    It is good for a minute and for one payment (or one charge). Ask for the next one after `rotate_after_s`. Needs the
    scope `payment`, or `charge` for that purpose; what is paid by it stays within the mandate.
    """
    access = current_access()
    if access.member_id is None or access.grant_id is None or body["purpose"] not in access.scopes:
        raise InsufficientScope(scheme=access.scheme, scope=body["purpose"])
    if body["money"] is not None and directory.money(body["money"]) is None:
        raise LedgerRefusal("money_not_accepted", money=body["money"])
    knock(door="code.show", caller=str(access.grant_id), limit=SHOWN_PER_MINUTE, window_s=60)
    with transaction():
        made = service.show_member_code(
            client_id=access.client_id,
            member_id=access.member_id,
            grant_id=access.grant_id,
            purpose=body["purpose"],
            money=body["money"],
        )
    return {
        "id": str(made.id),
        "code": made.digits,
        "expires_at": made.expires_at.isoformat(),
        "rotate_after_s": service.ROTATES_AFTER_S,
    }


@blueprint.get("/codes/<uuid:code_id>")
@blueprint.response(200, CodeStatusView(), example=examples.MEMBERS_CODE)
@protected_by(Bearer())
def status(code_id: UUID) -> dict[str, Any]:
    """What became of a code that this client asked for"""
    return status_view(_own(code_id))


@blueprint.delete("/codes/<uuid:code_id>")
@blueprint.response(200, CodeStatusView(), example=examples.MEMBERS_CODE | examples.CANCELLED_CODE)
@protected_by(Bearer())
def cancel(code_id: UUID) -> dict[str, Any]:
    """Cancel a code that this client asked for

    409 `code_used` where it has paid. Again it changes nothing.
    """
    _own(code_id)
    with transaction():
        service.cancel(code_id, client_id=current_access().client_id)
    return status_view(_own(code_id))


@blueprint.get("/shop-codes/scanned")
@blueprint.arguments(ScannedQuery(), location="query")
@blueprint.response(200, ScannedView())
@protected_by(Bearer("payment"))
def scanned(query: Mapping[str, Any]) -> dict[str, Any]:
    """What a shop's code asks for, before the member pays"""
    found = _scan(current_access(), query["code"])
    if found is None or found.shop_id is None:
        raise LedgerRefusal("code_unknown")
    return {
        "shop": directory.shop_by_id(found.shop_id).view(current_locale()),
        "amount_yen": found.amount_yen,
        "money": found.money,
        "description": found.description,
        "status": found.status,
        "expires_at": found.expires_at.isoformat(),
    }


@blueprint.post("/payments/by-code")
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(PayByCodeBody())
@blueprint.response(201, TransactionView(), example=examples.BY_CODE)
@blueprint.alt_response(401, **SIGN_IN_AGAIN)
@protected_by(Bearer("payment"))
def pay(headers: Mapping[str, Any], body: Mapping[str, Any]) -> Response:
    """Pay what a shop's code asks for, out of the member's wallet, within the mandate

    A code pays once, whoever scans it. A refusal leaves it open, and tells the till why. A large amount may answer 401
    `insufficient_user_authentication`, as any payment.
    """
    access = current_access()
    key = headers["idempotency_key"]
    found = _scan(access, body["code"])
    if found is not None and found.amount_yen is not None:
        payments.check_sign_in(answers.asked(headers, body), amount_yen=found.amount_yen)
    posting = _payment(access, key, body, found)
    outcome = ledger.post(posting)
    service.keep_refusal(found.id if found else None, outcome)
    may_see_balance = "balance" in access.scopes
    accepted = views.accepted(outcome, may_see_balance=may_see_balance)
    shown = views.of_outcome(
        accepted,
        names=views.Names(current_locale()),
        request_id=key,
        may_see_balance=may_see_balance,
        description=found.description if found else "",
    )
    return json_response(shown, status=201, headers=views.hit_headers(accepted))


def status_view(code: service.Code) -> dict[str, Any]:
    """A code as whoever asked for it sees it."""
    refusal = None
    if code.last_refusal is not None:
        refusal = {
            "code": code.last_refusal,
            "status": STATUS_OF[code.last_refusal],
            "title": translate(f"error.{code.last_refusal}"),
        }
    return {
        "id": str(code.id),
        "purpose": code.purpose,
        "status": code.status,
        "amount_yen": code.amount_yen,
        "expires_at": code.expires_at.isoformat(),
        "transaction_id": str(code.used_by) if code.used_by else None,
        "last_refusal": refusal,
        "last_refused_at": code.last_refused_at.isoformat() if code.last_refused_at else None,
    }


def _own(code_id: UUID) -> service.Code:
    """A code of this client; with a member's token, of this member."""
    access = current_access()
    found = service.by_id(code_id, client_id=access.client_id)
    if access.member_id is not None and found.member_id != access.member_id:
        raise LedgerRefusal("code_unknown")
    return found


def _scan(access: Access, code: str) -> service.Code | None:
    knock(door="code.scan", caller=str(access.member_id), limit=SCANS_PER_MINUTE, window_s=60)
    return service.by_digits(code, side="shop")


def _payment(access: Access, key: str, body: Mapping[str, Any], found: service.Code | None) -> Posting:
    assert access.member_id is not None
    assert access.grant_id is not None
    params = {"path": request.path, "member": str(access.member_id), "body": body}
    named: dict[str, Any] = {
        "requester": access.client_id,
        "request_id": key,
        "params_hash": ledger.params_hash(params),
    }
    if found is None or found.shop_id is None or found.amount_yen is None:
        return Declined(**named, member_id=access.member_id, refused=Refused(code="code_unknown"))
    money = found.money or body["money"]
    if money is None:
        abort(422, messages={"json": {"money": ["Say which money to pay with."]}})
    if found.shop_id not in access.client_shops:
        refused = Refused(code="mandate_exceeded", detail={"limit": "shops"})
        return Declined(**named, member_id=access.member_id, refused=refused)
    if directory.money(money) is None or (body["money"] is not None and body["money"] != money):
        refused = Refused(code="money_not_accepted", detail={"money": body["money"]})
        return Declined(**named, member_id=access.member_id, refused=refused)
    return Payment(
        **named,
        member_id=access.member_id,
        money=money,
        shop_id=found.shop_id,
        amount_yen=found.amount_yen,
        controls=(access.grant_id,),
        grant_id=access.grant_id,
        money_only=body["strategy"] == "money_only",
        code_id=found.id,
        description=found.description,
    )
