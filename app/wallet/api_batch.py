"""The resource API, version 1: payments of many members in one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from app import problem
from app.oauth import cors
from app.oauth.protector import Bearer, current_access
from app.wallet import batch_payments, batch_rows, examples, views
from app.wallet.payments import metadata
from app.wallet.postings import Accepted, Outcome
from app.wallet.schemas_payments import BatchBody, BatchView
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale
from app.web.protection import protected_by

MAX_BODY_BYTES = 2 * 1024 * 1024
"""Five hundred payments with all that they may say would not fit into the size of other requests."""

blueprint = Blueprint("batches", __name__, url_prefix="/v1", description="Many payments in one request.")
blueprint.after_request(cors.allow_registered)


@blueprint.post("/payments/batch")
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": BatchBody, "example": examples.BATCH_BODY}},
    }
)
@blueprint.response(200, BatchView(), example=examples.BATCH)
@protected_by(Bearer("payment", for_itself=True))
def batch() -> Response:
    """Take up to 500 payments from members who allowed this client to

    For a client acting for itself (`client_credentials`) with the scope `payment`. Each payment is judged by itself,
    within what that member allowed this client (without such a permission: `mandate_exceeded`), and its result is what
    a request of its own would have answered. A payment above the issuer's step-up amount needs a member who has just
    signed in, so it answers `payment_limit_exceeded` here: take it by `POST /v1/payments`.

    Make each `request_id` and store it before you send. Where the reply is lost, or is 503, send the very same batch
    again: what was decided is answered as it was (`hit`), the rest is decided now. A wrong field refuses the whole
    batch, with nothing moved, and is named as `payments.17.amount_yen`.
    """
    rows = batch_rows.check(_body())
    outcomes = batch_payments.pay(rows, access=current_access(), path=request.path)
    names = views.Names(current_locale())
    results = [_result(row, outcome, names) for row, outcome in zip(rows, outcomes, strict=True)]
    return json_response({"results": results}, status=200)


def _body() -> Any:
    request.max_content_length = MAX_BODY_BYTES
    return blueprint.ARGUMENTS_PARSER.json_body(request)


def _result(row: Mapping[str, Any], outcome: Outcome, names: views.Names) -> dict[str, Any]:
    result = {"request_id": row["request_id"], "status": 201, "hit": outcome.hit}
    if isinstance(outcome, Accepted):
        shown = views.of_outcome(
            outcome,
            names=names,
            request_id=row["request_id"],
            may_see_balance=False,
            description=row["description"],
            metadata=metadata(row),
        )
        return {**result, "transaction": shown}
    error = views.refusal(outcome, may_see_balance=False)
    described = problem.described(code=error.code, status=error.status, detail=error.detail)
    return {**result, "status": error.status, "problem": described}
