"""What a client asks for on a member's behalf becomes a posting: names become ids, the request gets its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app import clock
from app.issuer import current_issuer
from app.oauth.protector import Access
from app.oauth.step_up import is_fresh, require_fresh_sign_in
from app.wallet import directory, history, ledger
from app.wallet.directory import ShopEntry
from app.wallet.postings import Declined, Hold, Item, Move, Outcome, Payment, Refused

NAMELESS = "dry-run"
"""The name of a request that nobody keeps."""

_DEFAULTS = {"strategy": "points_first", "items": []}
"""Fields that came later. Left out they do not count in the fingerprint, so that what was sent before they were there
is still known for the same request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A client's request in a member's name. `request_id` is None of a dry run without one."""

    access: Access
    request_id: str | None
    path: str
    body: Mapping[str, Any]

    @property
    def name(self) -> dict[str, Any]:
        """By what the ledger knows it, as fields of a posting."""
        return {
            "requester": self.access.client_id,
            "request_id": self.request_id or NAMELESS,
            "params_hash": params_hash(path=self.path, member=str(self.access.member_id), body=self.body),
        }


def pay(asked: Asked) -> Outcome:
    """Take a payment, or (`dry_run`) see what would become of it.

    Raises InsufficientUserAuthentication where the member must sign in again first, and what `ledger.post` raises.
    """
    check_sign_in(asked, amount_yen=asked.body["amount_yen"])
    shop = _shop(asked.body, access=asked.access)
    if isinstance(shop, Refused):
        return _refused(asked, shop)
    return ledger.post(Payment(**asked.name, **_spending(asked, shop), dry_run=asked.body["dry_run"]))


def hold(asked: Asked) -> Outcome:
    """Set value aside for `expires_in_s` seconds. Raises as `pay` does: a capture asks nobody to sign in."""
    check_sign_in(asked, amount_yen=asked.body["amount_yen"])
    shop = _shop(asked.body, access=asked.access)
    if isinstance(shop, Refused):
        return _refused(asked, shop)
    expires_at = clock.now() + timedelta(seconds=asked.body["expires_in_s"])
    return ledger.post(Hold(**asked.name, **_spending(asked, shop), expires_at=expires_at))


def move(asked: Asked) -> Outcome:
    """Make value of one of the member's monies value of another, or (`dry_run`) see what would become of it."""
    body = asked.body
    return ledger.post(
        Move(
            **asked.name,
            member_id=asked.access.member,
            money=body["money"],
            to_money=body["to_money"],
            amount_yen=body["amount_yen"],
            grant_id=asked.access.grant_id,
            description=body["description"],
            dry_run=body["dry_run"],
        )
    )


def params_hash(*, path: str, member: str, body: Mapping[str, Any]) -> bytes:
    """The fingerprint of what is asked. That it is a dry run is no part of it: nothing keeps one."""
    said = dict(body)
    said.pop("dry_run", None)
    for name, default in _DEFAULTS.items():
        if said.get(name) == default:
            del said[name]
    return ledger.params_hash({"path": path, "member": member, "body": said})


def items(body: Mapping[str, Any]) -> tuple[Item, ...]:
    return tuple(Item(group=item["group"], amount_yen=item["amount_yen"]) for item in body["items"])


def metadata(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is kept beside the transaction: the client's own texts, and what was paid for."""
    kept: Mapping[str, Any] = body["metadata"]
    if not body["items"]:
        return kept
    named = [{name: value for name, value in item.items() if value is not None} for item in body["items"]]
    return {**kept, "items": named}


def _spending(asked: Asked, shop: ShopEntry) -> dict[str, Any]:
    """The fields that a payment and a hold have in common."""
    access, body = asked.access, asked.body
    assert access.grant_id is not None
    return {
        "member_id": access.member,
        "money": body["money"],
        "shop_id": shop.id,
        "amount_yen": body["amount_yen"],
        "controls": (access.grant_id,),
        "money_only": body["strategy"] == "money_only",
        "items": items(body),
        "grant_id": access.grant_id,
        "description": body["description"],
        "metadata": metadata(body),
    }


def _refused(asked: Asked, refused: Refused) -> Outcome:
    """A refusal at the door, kept like any other unless it was a dry run."""
    if asked.body.get("dry_run"):
        return refused
    return ledger.post(Declined(**asked.name, member_id=asked.access.member_id, refused=refused))


def check_sign_in(asked: Asked, *, amount_yen: int) -> None:
    """A payment above the step-up amount needs a fresh sign-in (RFC 9470).

    A request that is decided already does not: it moves nothing, and whoever lost its answer is owed it. Raises
    InsufficientUserAuthentication.
    """
    access = asked.access
    if amount_yen <= current_issuer().step_up_yen or is_fresh(access):
        return
    dry = asked.body.get("dry_run") or asked.request_id is None
    if dry or not history.is_decided(requester=access.client_id, request_id=str(asked.request_id)):
        require_fresh_sign_in(access)


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
