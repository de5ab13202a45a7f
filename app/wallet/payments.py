"""A client's payment request becomes a posting: names become ids, and the request gets its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.oauth.protector import Access
from app.wallet import directory, ledger
from app.wallet.directory import ShopEntry
from app.wallet.postings import Declined, Payment, Refused


def by_client(*, access: Access, request_id: str, path: str, body: Mapping[str, Any]) -> Payment | Declined:
    """The posting of a payment that a client asks for on a member's behalf."""
    assert access.member_id is not None
    assert access.grant_id is not None
    params_hash = ledger.params_hash({"path": path, "member": str(access.member_id), "body": body})
    shop = _shop(body, access=access)
    if isinstance(shop, Refused):
        return Declined(
            requester=access.client_id,
            request_id=request_id,
            params_hash=params_hash,
            member_id=access.member_id,
            refused=shop,
        )
    return Payment(
        requester=access.client_id,
        request_id=request_id,
        params_hash=params_hash,
        member_id=access.member_id,
        money=body["money"],
        shop_id=shop.id,
        amount_yen=body["amount_yen"],
        controls=(access.grant_id,),
        grant_id=access.grant_id,
        description=body["description"],
        metadata=body["metadata"],
    )


def _shop(body: Mapping[str, Any], *, access: Access) -> ShopEntry | Refused:
    """The shop to be paid, or why it cannot be.

    The mandate, which the ledger checks, says which shops the member named; the client's registration says which of
    them the office still lets it serve.
    """
    shop = directory.shop(body["shop"])
    if shop is None:
        return Refused(code="shop_unknown")
    if directory.money(body["money"]) is None:
        return Refused(code="money_not_accepted", detail={"money": body["money"]})
    if shop.id not in access.client_shops:
        return Refused(code="mandate_exceeded", detail={"limit": "shops"})
    return shop
