"""A page's query as every endpoint with pages takes it, and the marks of the page that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.wallet import directory, search
from app.wallet.search import Page, Search
from app.web.arguments import refuse_query


def search_of(query: Mapping[str, Any], *, requester: str) -> Search:
    """What is looked for. A money or shop that does not exist is refused by its field."""
    money = None
    if query["money"] is not None and (money := directory.money(query["money"])) is None:
        refuse_query(money="No such money.")
    shop = None
    if query.get("shop") is not None and (shop := directory.shop(query["shop"])) is None:
        refuse_query(shop="No such shop.")
    return Search(
        money=money,
        kinds=query["kind"],
        shop_id=shop.id if shop is not None else None,
        since=query["from_"],
        until=query["until"],
        min_yen=query["min_yen"],
        max_yen=query["max_yen"],
        words=search.words(query.get("q") or ""),
        requester=requester,
    )


def before(query: Mapping[str, Any]) -> int | None:
    """The position that its cursor marks."""
    if query["cursor"] is None:
        return None
    try:
        return search.decode_cursor(query["cursor"])
    except search.BadCursor:
        refuse_query(cursor="Not a cursor of this server.")


def marks(page: Page) -> dict[str, str | None]:
    """Where the next page begins, and how far this one has looked."""
    return {
        "next_cursor": search.encode_cursor(page.before) if page.before is not None else None,
        "looked_back_to": page.looked_back_to.isoformat() if page.looked_back_to is not None else None,
    }
