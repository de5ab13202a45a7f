"""The resource API, version 1: holds, and moves between a member's monies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, current_app, request
from webargs.flaskparser import abort

from app.oauth import cors
from app.oauth.protector import Bearer, current_access
from app.wallet import answers, examples, holds, payments
from app.wallet.api_payments import DRY_RUN, SIGN_IN_AGAIN
from app.wallet.holds import AskedOfHold
from app.wallet.schemas import IdempotencyHeader, TransactionView
from app.wallet.schemas_payments import CaptureBody, HoldBody, HoldView, KeyUnlessDryHeader, MoveBody, ReleaseBody
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale
from app.web.protection import protected_by

blueprint = Blueprint(
    "holds",
    __name__,
    url_prefix="/v1",
    description="Value set aside for a shop until it is known what is to be paid; value moved between monies.",
)
blueprint.after_request(cors.allow_registered)


@blueprint.post("/holds")
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(HoldBody(), example=examples.HOLD_BODY)
@blueprint.response(201, TransactionView(), example=examples.HOLD)
@blueprint.alt_response(401, **SIGN_IN_AGAIN)
@protected_by(Bearer("payment"))
def hold(headers: Mapping[str, Any], body: Mapping[str, Any]) -> Response:
    """Set value of the member aside for a shop, within the mandate they gave

    It stays the member's, but nothing else can spend it. Capture it, all or part, or release it; after `expires_in_s`
    it is free again by itself. The answer's `id` is that of the hold.
    """
    most_s: int = current_app.extensions["kumiai.settings"].max_hold_s
    if body["expires_in_s"] > most_s:
        abort(422, messages={"json": {"expires_in_s": [f"Must be at most {most_s}."]}})
    outcome = payments.hold(answers.asked(headers, body))
    return answers.answer(outcome, headers, body, metadata=payments.metadata(body))


@blueprint.get("/holds/<uuid:hold_id>")
@blueprint.response(200, HoldView(), example=examples.HOLD_VIEW)
@protected_by(Bearer("payment"))
def shown(hold_id: UUID) -> Response:
    """A hold of this client, as it is now"""
    found = holds.hold(hold_id=hold_id, access=current_access(), locale=current_locale())
    return json_response(found, status=200)


@blueprint.post("/holds/<uuid:hold_id>/capture")
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(CaptureBody(), example=examples.CAPTURE_BODY)
@blueprint.response(201, TransactionView(), example=examples.CAPTURE)
@protected_by(Bearer("payment"))
def capture(headers: Mapping[str, Any], body: Mapping[str, Any], hold_id: UUID) -> Response:
    """Take a hold's value, all of it or part, once

    What is not taken is free again. A capture can be refunded as a payment can, by the id of this answer.
    """
    outcome = holds.capture(_asked(headers, body, hold_id))
    return answers.answer(outcome, headers, body, hold_id=hold_id)


@blueprint.post("/holds/<uuid:hold_id>/release")
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(ReleaseBody())
@blueprint.response(201, TransactionView(), example=examples.RELEASE)
@protected_by(Bearer("payment"))
def release(headers: Mapping[str, Any], body: Mapping[str, Any], hold_id: UUID) -> Response:
    """End a hold without a payment: its value is free again"""
    outcome = holds.release(_asked(headers, body, hold_id))
    return answers.answer(outcome, headers, body, hold_id=hold_id)


@blueprint.post("/moves")
@blueprint.arguments(KeyUnlessDryHeader(), location="headers")
@blueprint.arguments(MoveBody(), example=examples.MOVE_BODY)
@blueprint.response(201, TransactionView(), example=examples.MOVE)
@blueprint.alt_response(200, **DRY_RUN, example=examples.MOVE_DRY_RUN)
@protected_by(Bearer("move"))
def move(headers: Mapping[str, Any], body: Mapping[str, Any]) -> Response:
    """Make value of one of the member's monies value of another (マネー移動)

    Which monies may become which, and in what amounts, says `moves_to` of `/v1/monies`.
    """
    return answers.answer(payments.move(answers.asked(headers, body)), headers, body)


def _asked(headers: Mapping[str, Any], body: Mapping[str, Any], hold_id: UUID) -> AskedOfHold:
    return AskedOfHold(
        access=current_access(),
        request_id=headers["idempotency_key"],
        path=request.path,
        body=body,
        hold_id=hold_id,
    )
