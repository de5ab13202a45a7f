"""What the authorization server needs of the wallet, which stands above it: said here, implemented there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """The limits of a permission to take payments (支払いの上限)."""

    max_per_payment_yen: int
    shops: tuple[UUID, ...]

    def as_detail(self) -> dict[str, Any]:
        """As an authorization detail of type `payment` (RFC 9396 section 2)."""
        return {
            "type": "payment",
            "max_per_payment_yen": self.max_per_payment_yen,
            "shops": [str(shop) for shop in self.shops],
        }

    @classmethod
    def from_detail(cls, detail: dict[str, Any]) -> Mandate:
        """The inverse of `as_detail`, for what this server wrote itself."""
        return cls(
            max_per_payment_yen=detail["max_per_payment_yen"],
            shops=tuple(UUID(shop) for shop in detail["shops"]),
        )


class SpendControls(Protocol):
    """The ledger's side of a permission to take payments."""

    def shops(self, ids: Sequence[UUID], locale: str) -> list[str]:
        """The names of shops, in their order on pages."""
        ...

    def grant_changed(self, *, grant_id: UUID, mandate: Mandate | None) -> None:
        """Make the ledger hold the grant to `mandate`; None stops its payments. Runs in the caller's transaction."""
        ...
