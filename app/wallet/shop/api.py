"""What a shop's back office may read: `shop:read`, by a client for itself, of the shops the office gave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, current_app

from app.oauth import cors
from app.oauth.protector import Bearer, current_access
from app.wallet import directory, page_query, past
from app.wallet.directory import ShopEntry
from app.wallet.errors import LedgerRefusal
from app.wallet.schemas_history import AsOfQuery, PageQuery, ShopBalanceView, ShopHistoryView
from app.wallet.shop import history
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale
from app.web.protection import protected_by

blueprint = Blueprint("shops", __name__, url_prefix="/v1/shops", description="A shop's own books, for its back office.")
blueprint.after_request(cors.allow_registered)


@blueprint.get("/<shop>/transactions")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.response(200, ShopHistoryView())
@protected_by(Bearer("shop:read"))
def transactions(query: Mapping[str, Any], shop: str) -> Response:
    """What was paid at a shop, given back and settled, newest first

    Pages and searches go as in `GET /v1/transactions`. Holds are not here until they are captured. `member` is the
    same for the same member at this shop, and says nothing else about who it is.
    """
    access = current_access()
    shown, page = history.transactions(
        _own(shop),
        client_id=access.client_id,
        secret_key=current_app.extensions["kumiai.settings"].secret_key,
        locale=current_locale(),
        search=page_query.search_of(query, requester=access.client_id),
        limit=query["limit"],
        before=page_query.before(query),
    )
    return json_response({"transactions": shown, **page_query.marks(page)}, status=200)


@blueprint.get("/<shop>/balance")
@blueprint.arguments(AsOfQuery(), location="query")
@blueprint.response(200, ShopBalanceView())
@protected_by(Bearer("shop:read"))
def balance(query: Mapping[str, Any], shop: str) -> Response:
    """A shop's takings that are not settled yet, by money; with `at`, as they were then"""
    return json_response(past.shop_balance(_own(shop), at=query["at"]), status=200)


def _own(code: str) -> ShopEntry:
    """The shop, if it is one of this client's. Another's is told as none."""
    access = current_access()
    entry = directory.shop(code)
    if entry is None or access.member_id is not None or entry.id not in access.client_shops:
        raise LedgerRefusal("shop_unknown", shop=code)
    return entry
