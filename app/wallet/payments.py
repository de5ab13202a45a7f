"""A client's payment request becomes a posting: names become ids, and the request gets its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.oauth.protector import Access
from app.wallet import directory, ledger
from app.wallet.errors import LedgerRefusal
from app.wallet.postings import Payment


def by_client(*, access: Access, request_id: str, path: str, body: Mapping[str, Any]) -> Payment:
    """The posting of a payment that a client asks for on a member's behalf.

    Raises LedgerRefusal where the shop or money does not exist; nothing is stored for those, since no rule of the
    ledger was asked.
    """
    assert access.member_id is not None
    assert access.grant_id is not None
    shop = directory.shop(body["shop"])
    if shop is None:
        raise LedgerRefusal("shop_unknown")
    if directory.money(body["money"]) is None:
        raise LedgerRefusal("money_not_accepted", money=body["money"])
    return Payment(
        requester=access.client_id,
        request_id=request_id,
        params_hash=ledger.params_hash({"path": path, "member": str(access.member_id), "body": body}),
        member_id=access.member_id,
        money=body["money"],
        shop_id=shop.id,
        amount_yen=body["amount_yen"],
        controls=(access.grant_id,),
        grant_id=access.grant_id,
        description=body["description"],
        metadata=body["metadata"],
    )
