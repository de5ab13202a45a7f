"""A client's payment request becomes a posting: names become ids, and the request gets its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from app import clock
from app.issuer import current_issuer
from app.oauth.errors import InsufficientUserAuthentication
from app.oauth.protector import Access
from app.wallet import directory, history, ledger
from app.wallet.directory import ShopEntry
from app.wallet.postings import Declined, Payment, Refused

FRESH = timedelta(seconds=300)
"""How old a sign-in may be for a payment above the issuer's step-up amount: time to come back from signing in and pay,
not to leave a phone on the table."""


def by_client(*, access: Access, request_id: str, path: str, body: Mapping[str, Any]) -> Payment | Declined:
    """The posting of a payment that a client asks for on a member's behalf.

    Raises InsufficientUserAuthentication where the member must sign in again first.
    """
    assert access.member_id is not None
    assert access.grant_id is not None
    _check_sign_in(access, request_id=request_id, amount_yen=body["amount_yen"])
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


def _check_sign_in(access: Access, *, request_id: str, amount_yen: int) -> None:
    """A payment above the step-up amount needs a fresh sign-in (RFC 9470).

    A request that is decided already does not: it moves nothing, and whoever lost its answer is owed it.
    """
    if amount_yen <= current_issuer().step_up_yen or _is_fresh(access):
        return
    if not history.is_decided(requester=access.client_id, request_id=request_id):
        raise InsufficientUserAuthentication(scheme=access.scheme, max_age_s=int(FRESH.total_seconds()))


def _is_fresh(access: Access) -> bool:
    return access.auth_time is not None and clock.now() - access.auth_time <= FRESH


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
