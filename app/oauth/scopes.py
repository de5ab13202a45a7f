"""Scopes (権限): what each lets an app do is in the translations (`oauth.scope.<name>`); how it is asked, here."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Consent(Enum):
    """How the member is asked."""

    IDENTITY = "one locked bundle: who the member is"
    BOX = "a box of its own"
    WORDS = "said in words, given with the rest"
    NONE = "never asked: a program acts for itself"


SCOPES: dict[str, Consent] = {
    "openid": Consent.IDENTITY,
    "profile": Consent.IDENTITY,
    "email": Consent.IDENTITY,
    "phone": Consent.IDENTITY,
    "balance": Consent.BOX,
    "history": Consent.BOX,
    "payment": Consent.BOX,
    "charge": Consent.BOX,
    "move": Consent.BOX,
    "card": Consent.BOX,
    "suspend": Consent.BOX,
    "offline_access": Consent.WORDS,
    "till": Consent.NONE,
    "till:refund": Consent.NONE,
    "till:charge": Consent.NONE,
    "shop:read": Consent.NONE,
    "shop:refund": Consent.NONE,
    "webhook": Consent.NONE,
    "bulk": Consent.NONE,
}

ONLY_FOR = {"bulk": "service"}
"""Scopes of one profile only: value for a whole faculty is no business of a till."""


def in_order(scopes: Iterable[str]) -> tuple[str, ...]:
    """Known scopes, each once, in the table's order."""
    wanted = set(scopes)
    return tuple(scope for scope in SCOPES if scope in wanted)


def of_kind(scopes: Iterable[str], *kinds: Consent) -> tuple[str, ...]:
    """Those of `scopes` that are asked in one of these ways, in the table's order."""
    return tuple(scope for scope in in_order(scopes) if SCOPES[scope] in kinds)


def own(scopes: Iterable[str]) -> tuple[str, ...]:
    """Those of a client's scopes that it may have for itself, without a member, in the table's order.

    With `payment` an app charges members who allowed it while they are away, by `POST /v1/payments/batch`: each under
    that member's own grant.
    """
    return tuple(scope for scope in in_order(scopes) if SCOPES[scope] is Consent.NONE or scope == "payment")
