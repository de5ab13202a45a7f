"""The consent decision: what is asked anew, what was given before, and what comes of the member's answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from app.issuer import CurrentIssuer
from app.oauth.authorization_request import Ask
from app.oauth.clients import Client
from app.oauth.details import PaymentAsk
from app.oauth.grants_service import Given
from app.oauth.ports import CEILINGS, Mandate
from app.oauth.scopes import Consent, in_order, of_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the consent page asks. Only what is new is asked; what was given before is listed apart."""

    before: tuple[str, ...]
    identity: tuple[str, ...]
    boxes: tuple[str, ...]
    in_words: tuple[str, ...]
    offer: Mandate
    """The most the member can give: the limits of payment the client asks for, else the issuer's defaults."""

    @property
    def asks_anything(self) -> bool:
        return bool(self.identity or self.boxes or self.in_words)


def plan(*, ask: Ask, client: Client, given: Given, issuer: CurrentIssuer, today: date) -> Plan:
    """What to ask the member, given what they allow the client already. `today` is the issuer's."""
    before = ask.scopes & given.scopes
    new = ask.scopes - before
    offer = ask.detail.offer(allowed_shops=client.allowed_shops, issuer=issuer)
    if "payment" in before and _asks_beyond(given.mandate, detail=ask.detail, shops=offer.shops, today=today):
        new |= {"payment"}
    return Plan(
        before=in_order(before),
        identity=of_kind(new, Consent.IDENTITY),
        boxes=of_kind(new, Consent.BOX),
        in_words=of_kind(new, Consent.WORDS),
        offer=offer,
    )


def _asks_beyond(mandate: Mandate | None, *, detail: PaymentAsk, shops: Collection[UUID], today: date) -> bool:
    """Whether payment is asked beyond the limits it was given with, or these have run out.

    Then its box comes again, and the earlier limits stay unless it is ticked. What the client does not name stays as
    the member set it, apart from the shops: those are the client's, and one that is missing is asked for.
    """
    if mandate is None:
        return False
    if mandate.until is not None and mandate.until < max(today, detail.until or today):
        return True
    return (
        any((getattr(detail, name) or 0) > getattr(mandate, name) for name in CEILINGS)
        or not set(shops) <= set(mandate.shops)
        or not (mandate.monies is None or set(detail.monies or ()) <= set(mandate.monies))
    )


def allowed(plan: Plan, *, ticked: Collection[str]) -> tuple[str, ...]:
    """The new scopes an アクセスを許可する gives: the locked ones, and the boxes that were ticked."""
    return in_order({*plan.identity, *plan.in_words, *set(plan.boxes).intersection(ticked)})


def useful(scopes: Collection[str]) -> bool:
    """Whether an app can do anything with these scopes: staying connected is nothing by itself."""
    return not {"offline_access"}.issuperset(scopes)
