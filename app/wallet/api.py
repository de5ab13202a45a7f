"""The resource API, version 1, for reading: who am I, wallets, monies, shops, transactions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response

from app.member import service as members
from app.oauth import cors
from app.oauth.protector import Access, Bearer, current_access
from app.wallet import examples, history, holdings, offer, page_query, past, views
from app.wallet.errors import LedgerRefusal
from app.wallet.proof.links import receipt_url
from app.wallet.schemas import (
    MeView,
    OneTransactionView,
    RequestOutcomeView,
)
from app.wallet.schemas_history import AsOfQuery, HistoryQuery, HistoryView, PastWalletsView, PastWalletView
from app.wallet.schemas_wallets import MoniesView, ShopsView, WalletsView, WalletView
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale, translate
from app.web.protection import protected_by

# Schemas are given as instances: of a class, webargs makes a new one at every request.
blueprint = Blueprint(
    "wallet", __name__, url_prefix="/v1", description="Balances and history, with the member's consent."
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
        "name": members.name_of(access.member) if named else None,
    }


@blueprint.get("/wallets")
@blueprint.arguments(AsOfQuery(), location="query")
@blueprint.response(200, {"anyOf": [WalletsView(), PastWalletsView()]})
@protected_by(Bearer("balance"))
def wallets(query: Mapping[str, Any]) -> Response:
    """The member's wallets: balances, what expires when, limits

    With `at`, the balances of then, for ever the same; what depends on today (status, limits, what can be spent) is
    left out.
    """
    if query["at"] is not None:
        return json_response(past.wallets(member_id=current_access().member, at=query["at"]), status=200)
    found = holdings.wallets(member_id=current_access().member, locale=current_locale())
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
        return json_response(past.wallet(money, member_id=current_access().member, at=query["at"]), status=200)
    for one in holdings.wallets(member_id=current_access().member, locale=current_locale()):
        if one["money"]["code"] == money:
            return json_response(one, status=200)
    raise LedgerRefusal("wallet_unknown", money=money)


@blueprint.get("/monies")
@blueprint.response(200, MoniesView(), example=examples.MONIES)
@protected_by(Bearer())
def monies() -> Response:
    """The co-op's monies and their rules: expiry, limits, points, what may be moved into what"""
    return json_response({"monies": offer.monies(locale=current_locale())}, status=200)


@blueprint.get("/shops")
@blueprint.response(200, ShopsView())
@protected_by(Bearer())
def shops() -> Response:
    """The shops this client may take payments for, and what each accepts

    A member may have allowed fewer of them.
    """
    found = offer.shops(current_access().client_shops, locale=current_locale())
    return json_response({"shops": found}, status=200)


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
        member_id=access.member,
        locale=current_locale(),
        search=page_query.search_of(query, requester=access.client_id),
        limit=query["limit"],
        before=page_query.before(query),
        may_see_balance="balance" in access.scopes,
    )
    return {"transactions": shown, **page_query.marks(page)}


@blueprint.get("/transactions/<uuid:transaction_id>")
@blueprint.response(200, OneTransactionView())
@protected_by(Bearer("history"))
def transaction(transaction_id: UUID) -> dict[str, Any]:
    """One transaction of the member"""
    access = current_access()
    found = history.transaction(
        transaction_id=transaction_id,
        member_id=access.member,
        locale=current_locale(),
        may_see_balance="balance" in access.scopes,
    )
    return {**found, "receipt_url": receipt_url(transaction_id)}


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


def _may_see_balance(access: Access) -> bool:
    """Tills show the balance to the member who taps."""
    return "balance" in access.scopes or "till" in access.scopes
