"""What the authorization server needs of the wallet, which stands above it: said here, implemented there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol
from uuid import UUID

CEILINGS = ("max_per_payment_yen", "max_per_day_yen", "max_per_month_yen")
"""The ceilings of a mandate, from the narrowest to the widest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """The limits of a permission to take payments (支払いの上限)."""

    max_per_payment_yen: int
    max_per_day_yen: int
    max_per_month_yen: int
    shops: tuple[UUID, ...]
    monies: tuple[str, ...] | None = None
    """Codes of the monies that may be spent; None: any."""
    until: date | None = None
    """The last day of payments, in the issuer's time zone; None: until it is taken back."""

    def stored(self) -> dict[str, Any]:
        """As a grant's row keeps it."""
        kept: dict[str, Any] = {
            "max_per_payment_yen": self.max_per_payment_yen,
            "max_per_day_yen": self.max_per_day_yen,
            "max_per_month_yen": self.max_per_month_yen,
            "shops": [str(shop) for shop in self.shops],
        }
        if self.monies is not None:
            kept["monies"] = list(self.monies)
        if self.until is not None:
            kept["until"] = self.until.isoformat()
        return kept

    @classmethod
    def from_stored(cls, kept: dict[str, Any]) -> Mandate:
        """The inverse of `stored`."""
        monies, until = kept.get("monies"), kept.get("until")
        return cls(
            max_per_payment_yen=kept["max_per_payment_yen"],
            max_per_day_yen=kept["max_per_day_yen"],
            max_per_month_yen=kept["max_per_month_yen"],
            shops=tuple(UUID(shop) for shop in kept["shops"]),
            monies=None if monies is None else tuple(monies),
            until=None if until is None else date.fromisoformat(until),
        )

    def within(self, other: Mandate) -> bool:
        """Whether everything these limits allow, `other` allows too."""
        return (
            all(getattr(self, name) <= getattr(other, name) for name in CEILINGS)
            and set(self.shops) <= set(other.shops)
            and (other.monies is None or (self.monies is not None and set(self.monies) <= set(other.monies)))
            and (other.until is None or (self.until is not None and self.until <= other.until))
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a mandate is used: yen paid today and this month, in the issuer's time zone."""

    day_yen: int
    month_yen: int


class SpendControls(Protocol):
    """The ledger's side of a permission to take payments."""

    def shop_names(self, ids: Sequence[UUID], locale: str) -> dict[UUID, str]:
        """Shops by id, each with its name, in their order on pages."""
        ...

    def shop_code(self, shop_id: UUID) -> str:
        """What a shop is called in the API."""
        ...

    def shop_id(self, code: str) -> UUID | None:
        """The shop of that code, or None."""
        ...

    def monies(self, locale: str) -> dict[str, str]:
        """The issuer's monies: code to name, in their order on pages."""
        ...

    def has_money(self, code: str) -> bool:
        """Whether the issuer has a money of that code."""
        ...

    def usage(self, grant_ids: Sequence[UUID]) -> dict[UUID, Usage]:
        """How much of each grant's mandate is used; grants that never could pay are left out."""
        ...

    def grant_changed(self, *, grant_id: UUID, mandate: Mandate | None) -> None:
        """Make the ledger hold the grant to `mandate`; None stops its payments. Runs in the caller's transaction."""
        ...

    def grants_ended(self, grant_ids: Sequence[UUID]) -> None:
        """These grants were living and end now: stop their payments. Runs in the caller's transaction."""
        ...
