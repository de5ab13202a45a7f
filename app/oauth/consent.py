"""The consent decision: what is asked anew, what was given before, and what comes of the member's answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from app.issuer import CurrentIssuer
from app.oauth.authorization_request import Ask
from app.oauth.clients import Client
from app.oauth.errors import InvalidCeiling, ShopsChanged
from app.oauth.grants_service import Given
from app.oauth.ports import Mandate
from app.oauth.scopes import Consent, in_order, of_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the consent page asks. Only what is new is asked; what was given before is listed apart."""

    before: tuple[str, ...]
    identity: tuple[str, ...]
    boxes: tuple[str, ...]
    in_words: tuple[str, ...]
    ceiling_yen: int
    """The highest ceiling per payment the member can give: what the client asks, else the issuer's default."""
    max_per_day_yen: int
    max_per_month_yen: int
    shops: tuple[UUID, ...]

    @property
    def asks_anything(self) -> bool:
        return bool(self.identity or self.boxes or self.in_words)


def plan(*, ask: Ask, client: Client, given: Given, issuer: CurrentIssuer) -> Plan:
    """What to ask the member, given what they allow the client already."""
    before = ask.scopes & given.scopes
    new = ask.scopes - before
    if _asks_beyond(given.mandate, ask=ask, client=client):
        new |= {"payment"}
    return Plan(
        before=in_order(before),
        identity=of_kind(new, Consent.IDENTITY),
        boxes=of_kind(new, Consent.BOX),
        in_words=of_kind(new, Consent.WORDS),
        ceiling_yen=ask.ceiling_yen or issuer.default_max_per_payment_yen,
        max_per_day_yen=issuer.default_max_per_day_yen,
        max_per_month_yen=issuer.default_max_per_month_yen,
        shops=client.allowed_shops,
    )


def _asks_beyond(mandate: Mandate | None, *, ask: Ask, client: Client) -> bool:
    """Whether payment is asked beyond the limits it was given with: a higher ceiling, another shop.

    Then its box comes again, and the earlier limits stay unless it is ticked. A ceiling the member lowered stays
    when the client names none.
    """
    if mandate is None or "payment" not in ask.scopes:
        return False
    higher = ask.ceiling_yen is not None and ask.ceiling_yen > mandate.max_per_payment_yen
    return higher or not set(client.allowed_shops) <= set(mandate.shops)


def allowed(plan: Plan, *, ticked: Collection[str]) -> tuple[str, ...]:
    """The new scopes an アクセスを許可する gives: the locked ones, and the boxes that were ticked."""
    return in_order({*plan.identity, *plan.in_words, *set(plan.boxes).intersection(ticked)})


def useful(scopes: Collection[str]) -> bool:
    """Whether an app can do anything with these scopes: staying connected is nothing by itself."""
    return not {"offline_access"}.issuperset(scopes)


def mandate(plan: Plan, *, typed_yen: int, shops_shown: Collection[str]) -> Mandate:
    """The limits of payment as the member set them: the offered ceiling or less, at the shops the page named.

    A shop the client got since then is asked for another time. Raises InvalidCeiling, and ShopsChanged where the
    client may not take payments for any of those shops any more.
    """
    if not 1 <= typed_yen <= plan.ceiling_yen:
        raise InvalidCeiling(max_yen=plan.ceiling_yen)
    shops = tuple(shop for shop in plan.shops if str(shop) in shops_shown)
    if not shops:
        raise ShopsChanged
    return Mandate(
        max_per_payment_yen=typed_yen,
        max_per_day_yen=plan.max_per_day_yen,
        max_per_month_yen=plan.max_per_month_yen,
        shops=shops,
    )
