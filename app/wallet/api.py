"""The resource API, version 1: who am I, wallets, transactions, payments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, request

from app.member import service as members
from app.oauth import cors
from app.oauth.protector import Access, Bearer, current_access
from app.wallet import history, ledger, page_query, past, payments, views
from app.wallet.errors import LedgerRefusal
from app.wallet.schemas import (
    IdempotencyHeader,
    MeView,
    PaymentBody,
    RequestOutcomeView,
    TransactionView,
    WalletsView,
    WalletView,
)
from app.wallet.schemas_history import AsOfQuery, HistoryQuery, HistoryView, PastWalletsView, PastWalletView
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale, translate
from app.web.protection import protected_by

# Schemas are given as instances: of a class, webargs makes a new one at every request.
blueprint = Blueprint(
    "wallet", __name__, url_prefix="/v1", description="Balances, history and payments, with the member's consent."
)
blueprint.after_request(cors.allow_registered)


@blueprint.get("/me")
@blueprint.response(200, MeView())
@protected_by(Bearer())
def me() -> dict[str, Any]:
    """Whom this token acts for, and what it may do"""
    access = current_access()
    named = access.member_id is not None and "profile" in access.scopes
    return {
        "client_id": access.client_id,
        "scopes": sorted(access.scopes),
        "id": str(access.member_id) if access.member_id else None,
        "name": members.name_of(_member(access)) if named else None,
    }


@blueprint.get("/wallets")
@blueprint.arguments(AsOfQuery(), location="query")
@blueprint.response(200, {"anyOf": [WalletsView(), PastWalletsView()]})
@protected_by(Bearer("balance"))
def wallets(query: Mapping[str, Any]) -> Response:
    """The member's wallets with their balances

    With `at`, the balances of then, for ever the same; what depends on today (status, limits, what can be spent) is
    left out.
    """
    if query["at"] is not None:
        return json_response(past.wallets(member_id=_member(current_access()), at=query["at"]), status=200)
    found = history.wallets(member_id=_member(current_access()), locale=current_locale())
    return json_response({"wallets": found, "total_yen": sum(wallet["balance_yen"] for wallet in found)}, status=200)


@blueprint.get("/wallets/<money>")
@blueprint.arguments(AsOfQuery(), location="query")
@blueprint.response(200, {"anyOf": [WalletView(), PastWalletView()]})
@protected_by(Bearer("balance"))
def wallet(query: Mapping[str, Any], money: str) -> Response:
    """One wallet, by the code of its money

    With `at`, its balance of then.
    """
    if query["at"] is not None:
        return json_response(past.wallet(money, member_id=_member(current_access()), at=query["at"]), status=200)
    found = history.wallets(member_id=_member(current_access()), locale=current_locale())
    for one in found:
        if one["money"]["code"] == money:
            return json_response(one, status=200)
    raise LedgerRefusal("wallet_unknown", money=money)


@blueprint.get("/transactions")
@blueprint.arguments(HistoryQuery(), location="query")
@blueprint.response(200, HistoryView())
@protected_by(Bearer("history"))
def transactions(query: Mapping[str, Any]) -> dict[str, Any]:
    """The member's transactions, newest first

    Follow `next_cursor` to older ones until it is null. A page costs the same however far back it is: one of a search
    looks at so many transactions and no more, says how far that was (`looked_back_to`), and may come back short.
    With `money`, `balance_yen` is the balance of that wallet after each.
    """
    access = current_access()
    shown, page = history.transactions(
        member_id=_member(access),
        locale=current_locale(),
        search=page_query.search_of(query, requester=access.client_id),
        limit=query["limit"],
        before=page_query.before(query),
        may_see_balance="balance" in access.scopes,
    )
    return {"transactions": shown, **page_query.marks(page)}


@blueprint.get("/transactions/<uuid:transaction_id>")
@blueprint.response(200, TransactionView())
@protected_by(Bearer("history"))
def transaction(transaction_id: UUID) -> dict[str, Any]:
    """One transaction of the member"""
    access = current_access()
    return history.transaction(
        transaction_id=transaction_id,
        member_id=_member(access),
        locale=current_locale(),
        may_see_balance="balance" in access.scopes,
    )


@blueprint.get("/transactions/by-request/<request_id>")
@blueprint.response(200, RequestOutcomeView())
@protected_by(Bearer())
def by_request(request_id: str) -> dict[str, Any]:
    """What became of a request whose reply was lost

    `request_id` is the Idempotency-Key it was sent with. Any token of the client that sent it will do. 404 means
    that nothing has been decided under that name so far; to be sure, send the request again with the same key.
    """
    access = current_access()
    found, refused = history.by_request(
        requester=access.client_id,
        request_id=request_id,
        member_id=access.member_id,
        locale=current_locale(),
        may_see_balance=_may_see_balance(access),
    )
    if refused is None:
        return {"request_id": request_id, "outcome": "accepted", "transaction": found, "refusal": None}
    error = views.refusal(refused, may_see_balance=_may_see_balance(access))
    refusal = {
        "code": error.code,
        "status": error.status,
        "title": translate(f"error.{error.code}", None, **error.detail),
    }
    return {"request_id": request_id, "outcome": "refused", "transaction": None, "refusal": refusal}


@blueprint.post("/payments")
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(PaymentBody())
@blueprint.response(201, TransactionView())
@blueprint.alt_response(
    401,
    schema="Problem",
    content_type="application/problem+json",
    description="No valid token; or `insufficient_user_authentication`: the payment is above the issuer's step-up "
    "amount, and the member signed in longer ago than `max_age` of the `WWW-Authenticate` header allows.",
)
@protected_by(Bearer("payment"))
def pay(headers: Mapping[str, Any], body: Mapping[str, Any]) -> Response:
    """Take a payment from the member, within the mandate they gave

    Make the Idempotency-Key and store it before you send. Where the reply is lost, or is 503, send the very same
    request again: it moves nothing twice, and answers what happened.

    A large payment may answer 401 `insufficient_user_authentication`: send the member through an authorization request
    with that `max_age`, then the very same request again with the new token.
    """
    access = current_access()
    key = headers["idempotency_key"]
    outcome = views.accepted(
        ledger.post(payments.by_client(access=access, request_id=key, path=request.path, body=body)),
        may_see_balance="balance" in access.scopes,
    )
    shown = views.of_outcome(
        outcome,
        locale=current_locale(),
        request_id=key,
        may_see_balance="balance" in access.scopes,
        description=body["description"],
        metadata=body["metadata"],
    )
    return json_response(shown, status=201, headers=views.hit_headers(outcome))


def _member(access: Access) -> UUID:
    """The member of a token whose scopes only a member can give."""
    assert access.member_id is not None
    return access.member_id


def _may_see_balance(access: Access) -> bool:
    """Tills show the balance to the member who taps."""
    return "balance" in access.scopes or "till" in access.scopes
