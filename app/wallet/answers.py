"""How a request that moves value comes in and goes out: its own name, and the answer to what the ledger said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, request
from webargs.flaskparser import abort

from app.oauth.protector import current_access
from app.wallet import views
from app.wallet.payments import Asked
from app.wallet.postings import Outcome
from app.web.json import json_response
from app.web.locale import current_locale


def asked(headers: Mapping[str, Any], body: Mapping[str, Any]) -> Asked:
    """This request, as the services want it."""
    return Asked(access=current_access(), request_id=key(headers, body), path=request.path, body=body)


def key(headers: Mapping[str, Any], body: Mapping[str, Any]) -> str | None:
    """The Idempotency-Key, which only a dry run does without."""
    given: str | None = headers.get("idempotency_key")
    if given is None and not body.get("dry_run"):
        abort(422, messages={"headers": {"Idempotency-Key": ["Missing data for required field."]}})
    return given


def answer(
    outcome: Outcome,
    headers: Mapping[str, Any],
    body: Mapping[str, Any],
    *,
    metadata: Mapping[str, Any] | None = None,
    reverses: UUID | None = None,
    hold_id: UUID | None = None,
) -> Response:
    """201 with the transaction, 200 with what a dry run would have made; a refusal is raised."""
    sees = "balance" in current_access().scopes
    accepted = views.accepted(outcome, may_see_balance=sees)
    shown = views.of_outcome(
        accepted,
        names=views.Names(current_locale()),
        request_id=key(headers, body),
        may_see_balance=sees,
        description=body["description"],
        metadata=metadata,
        reverses=reverses,
        hold_id=hold_id,
    )
    if body.get("dry_run"):
        return json_response(views.tried(shown), status=200)
    return json_response(shown, status=201, headers=views.hit_headers(accepted))
