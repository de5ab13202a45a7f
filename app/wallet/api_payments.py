"""The resource API, version 1: payments and their refunds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, request

from app.oauth import cors
from app.oauth.protector import AnyOf, Bearer, current_access
from app.wallet import answers, examples, payments, refunds
from app.wallet.schemas import TransactionView
from app.wallet.schemas_payments import DryRunView, KeyUnlessDryHeader, PaymentBody, PaymentView, RefundBody
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale
from app.web.protection import protected_by

SIGN_IN_AGAIN: dict[str, Any] = {
    "schema": "Problem",
    "content_type": "application/problem+json",
    "description": "No valid token; or `insufficient_user_authentication`: the amount is above the issuer's step-up "
    "amount, and the member signed in longer ago than `max_age` of the `WWW-Authenticate` header allows.",
}
DRY_RUN: dict[str, Any] = {"schema": DryRunView(), "description": "Of a dry run: what would happen now."}

blueprint = Blueprint(
    "payments", __name__, url_prefix="/v1", description="Payments within the member's mandate, and their refunds."
)
blueprint.after_request(cors.allow_registered)


@blueprint.post("/payments")
@blueprint.arguments(KeyUnlessDryHeader(), location="headers")
@blueprint.arguments(PaymentBody())
@blueprint.response(201, TransactionView())
@blueprint.alt_response(200, **DRY_RUN, example=examples.DRY_RUN)
@blueprint.alt_response(401, **SIGN_IN_AGAIN)
@protected_by(Bearer("payment"))
def pay(headers: Mapping[str, Any], body: Mapping[str, Any]) -> Response:
    """Take a payment from the member, within the mandate they gave

    Make the Idempotency-Key and store it before you send. Where the reply is lost, or is 503, send the very same
    request again: it moves nothing twice, and answers what happened.

    A large payment may answer 401 `insufficient_user_authentication`: send the member through an authorization request
    with that `max_age`, then the very same request again with the new token.
    """
    outcome = payments.pay(answers.asked(headers, body))
    return answers.answer(outcome, headers, body, metadata=payments.metadata(body))


@blueprint.get("/payments/<uuid:payment_id>")
@blueprint.response(200, PaymentView(), example=examples.PAYMENT_WITH_REFUND)
@protected_by(
    AnyOf(
        Bearer("payment"),
        Bearer("payment", for_itself=True),
        Bearer("shop:read"),
        Bearer("shop:refund"),
        Bearer("till:refund"),
    )
)
def payment(payment_id: UUID) -> Response:
    """A payment, what went back of it, and what is left

    For the client that took it, for programs of the shop that was paid, and for its tills. A captured hold is a payment
    too, by the id of its capture. Another's payment is 404.
    """
    access = current_access()
    found = refunds.payment(
        payment_id=payment_id,
        access=access,
        locale=current_locale(),
        may_see_balance="balance" in access.scopes,
    )
    return json_response(found, status=200)


@blueprint.post("/payments/<uuid:payment_id>/refunds")
@blueprint.arguments(KeyUnlessDryHeader(), location="headers")
@blueprint.arguments(RefundBody())
@blueprint.response(201, TransactionView(), example=examples.REFUND)
@blueprint.alt_response(200, **DRY_RUN, example=examples.REFUND_DRY_RUN)
@protected_by(
    AnyOf(Bearer("payment"), Bearer("payment", for_itself=True), Bearer("shop:refund"), Bearer("till:refund"))
)
def refund(headers: Mapping[str, Any], body: Mapping[str, Any], payment_id: UUID) -> Response:
    """Give a payment back, all of it or part, as often as something is left

    The value goes back to where it came from, and the points that the part had earned are taken back. For the client
    that took the payment, for programs of the shop that was paid (`shop:refund`), and for its tills (`till:refund`).
    """
    outcome = refunds.refund(
        payment_id=payment_id,
        access=current_access(),
        request_id=answers.key(headers, body),
        path=request.path,
        body=body,
    )
    return answers.answer(outcome, headers, body, reverses=payment_id)
