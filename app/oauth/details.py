"""Authorization details of type `payment` (RFC 9396): a mandate, as clients and resource servers read it."""

from __future__ import annotations

from typing import Any

from app.oauth.ports import Mandate, SpendControls


def payment_detail(mandate: Mandate, *, controls: SpendControls) -> dict[str, Any]:
    """What the member allowed, with shops by the code the API calls them. Without `money` it is any money."""
    detail: dict[str, Any] = {"type": "payment"}
    if mandate.monies is not None:
        detail["money"] = list(mandate.monies)
    detail["shops"] = [controls.shop_code(shop) for shop in mandate.shops]
    detail["max_per_payment_yen"] = mandate.max_per_payment_yen
    detail["max_per_day_yen"] = mandate.max_per_day_yen
    detail["max_per_month_yen"] = mandate.max_per_month_yen
    if mandate.until is not None:
        detail["until"] = mandate.until.isoformat()
    return detail
