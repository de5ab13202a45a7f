"""The API of terminals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request
from webargs.flaskparser import abort

from app.oauth.protector import Bearer, current_access
from app.reader import service
from app.reader.schemas import TapBody, TapHeaders
from app.wallet import examples, views
from app.wallet.schemas import TransactionView
from app.web.arguments import Blueprint
from app.web.locale import current_locale
from app.web.protection import protected_by

blueprint = Blueprint("reader", __name__, url_prefix="/v1", description="Student cards touched at a shop's terminal.")


@blueprint.post("/taps")
@blueprint.arguments(TapHeaders, location="headers")
@blueprint.arguments(TapBody)
@blueprint.response(201, TransactionView, example=examples.TAP)
@protected_by(Bearer("till"))
def tap(headers: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Take a payment by student card at this client's terminal

    Make the tap_id and store it before you send. Where the reply is lost, or is 503, send the very same tap again:
    it moves nothing twice, and answers what happened.
    """
    if headers.get("idempotency_key", body["tap_id"]) != body["tap_id"]:
        abort(422, messages={"headers": {"Idempotency-Key": ["Must be the tap_id."]}})
    outcome = views.accepted(
        service.accept_tap(_tap(body), client_id=current_access().client_id, path=request.path),
        may_see_balance=True,  # shown to the member who taps
    )
    shown = views.of_outcome(
        outcome,
        names=views.Names(current_locale()),
        request_id=body["tap_id"],
        may_see_balance=True,
        metadata={"assurance": service.ASSURANCE},
        taken_at=body["taken_at"],
    )
    return shown, 201, views.hit_headers(outcome)


def _tap(body: Mapping[str, Any]) -> service.Tap:
    card = body["card"]
    return service.Tap(
        tap_id=body["tap_id"],
        amount_yen=body["amount_yen"],
        idm=card["idm"],
        blocks={int(name.removeprefix("block_")): bytes.fromhex(value) for name, value in card["blocks"].items()},
        money=body["money"],
        taken_at=body["taken_at"],
    )
