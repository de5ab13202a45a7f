"""Authorization details of type `payment` (RFC 9396): how clients ask for a mandate, and read the one they got."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from marshmallow import ValidationError

from app.issuer import CurrentIssuer
from app.oauth.ports import CEILINGS, Mandate, SpendControls
from app.oauth.schemas import PaymentDetailSchema

_MAX_TEXT = 10_000


class BadDetails(ValueError):
    """The details are not what this server understands; the text says which field, in ASCII and nobody else's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAsk:
    """The limits of payment a client asks for. None: it names none, and gets what the issuer offers."""

    max_per_payment_yen: int | None = None
    max_per_day_yen: int | None = None
    max_per_month_yen: int | None = None
    shops: tuple[UUID, ...] | None = None
    monies: tuple[str, ...] | None = None
    until: date | None = None

    def stored(self) -> dict[str, Any] | None:
        """As the row of a device keeps it until the member answers; None where nothing is named."""
        kept = {
            **{name: getattr(self, name) for name in CEILINGS},
            "shops": None if self.shops is None else [str(shop) for shop in self.shops],
            "monies": None if self.monies is None else list(self.monies),
            "until": None if self.until is None else self.until.isoformat(),
        }
        return {name: value for name, value in kept.items() if value is not None} or None

    @classmethod
    def from_stored(cls, kept: dict[str, Any] | None) -> PaymentAsk:
        """The inverse of `stored`."""
        kept = kept or {}
        shops, monies, until = kept.get("shops"), kept.get("monies"), kept.get("until")
        return cls(
            **{name: kept.get(name) for name in CEILINGS},
            shops=None if shops is None else tuple(UUID(shop) for shop in shops),
            monies=None if monies is None else tuple(monies),
            until=None if until is None else date.fromisoformat(until),
        )

    def offer(self, *, allowed_shops: Sequence[UUID], issuer: CurrentIssuer) -> Mandate:
        """The most a member can give: what is asked, else the issuer's defaults, fitted to what is asked.

        A day holds at least one payment of the size that is asked, a month at least one such day, and none of the
        three is higher than one asked for a longer time.
        """
        month = self.max_per_month_yen or max(
            issuer.default_max_per_month_yen, self.max_per_day_yen or 0, self.max_per_payment_yen or 0
        )
        day = self.max_per_day_yen or min(month, max(issuer.default_max_per_day_yen, self.max_per_payment_yen or 0))
        return Mandate(
            max_per_payment_yen=self.max_per_payment_yen or min(day, issuer.default_max_per_payment_yen),
            max_per_day_yen=day,
            max_per_month_yen=month,
            shops=tuple(shop for shop in allowed_shops if self.shops is None or shop in self.shops),
            monies=self.monies,
            until=self.until,
        )


def payment_ask(
    text: str | None,
    *,
    scopes: Collection[str],
    allowed_shops: Collection[UUID],
    controls: SpendControls,
    today: date,
) -> PaymentAsk:
    """What `authorization_details` of a request for `scopes` ask for: one object of type `payment`, or nothing.

    `allowed_shops` are the client's, `today` is the issuer's. RFC 9396 section 5 wants unknown types, unknown fields
    and values that contradict one another refused, not passed over. Raises BadDetails.
    """
    if text is None:
        return PaymentAsk()
    if "payment" not in scopes:
        raise BadDetails("they need the scope payment")
    detail = _loaded(text)
    shops = detail.get("shops")
    ask = PaymentAsk(
        max_per_payment_yen=detail.get("max_per_payment_yen"),
        max_per_day_yen=detail.get("max_per_day_yen"),
        max_per_month_yen=detail.get("max_per_month_yen"),
        shops=None if shops is None else _shops(shops, allowed_shops=allowed_shops, controls=controls),
        monies=_monies(detail.get("money"), controls=controls),
        until=detail.get("until"),
    )
    _check_order(ask)
    if ask.until is not None and ask.until < today:
        raise BadDetails("until must be today or later")
    return ask


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


def _loaded(text: str) -> dict[str, Any]:
    try:
        if len(text) > _MAX_TEXT:
            raise BadDetails("at most 10000 characters")
        parsed = json.loads(text, object_pairs_hook=_each_once)
    except BadDetails:
        raise
    except (ValueError, RecursionError) as error:
        raise BadDetails("must be a JSON array") from error
    if not isinstance(parsed, list) or len(parsed) != 1 or not isinstance(parsed[0], dict):
        raise BadDetails("must be a JSON array of one object")
    if parsed[0].get("type") != "payment":
        raise BadDetails("type must be payment")
    try:
        detail: dict[str, Any] = PaymentDetailSchema().load(parsed[0])
    except ValidationError as error:
        known = [name for name in PaymentDetailSchema().fields if name in error.messages_dict]
        raise BadDetails(f"malformed: {', '.join(known)}" if known else "holds an unknown field") from error
    return detail


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two members of one name another reader may take the other one."""
    if len(dict(pairs)) != len(pairs):
        raise BadDetails("a field is given twice")
    return dict(pairs)


def _shops(codes: Sequence[str], *, allowed_shops: Collection[UUID], controls: SpendControls) -> tuple[UUID, ...]:
    shops = tuple(shop for code in codes if (shop := controls.shop_id(code)) in allowed_shops and shop is not None)
    if len(shops) != len(codes):
        raise BadDetails("shops must be codes of shops this client may take payments for")
    return shops


def _monies(codes: Sequence[str] | None, *, controls: SpendControls) -> tuple[str, ...] | None:
    if codes is None:
        return None
    if not all(controls.has_money(code) for code in codes):
        raise BadDetails("money must be codes of the issuer's monies")
    return tuple(codes)


def _check_order(ask: PaymentAsk) -> None:
    """A ceiling above one for a longer time could never be reached: that is a mistake the developer should hear of."""
    named = [yen for yen in (ask.max_per_payment_yen, ask.max_per_day_yen, ask.max_per_month_yen) if yen is not None]
    if named != sorted(named):
        raise BadDetails("max_per_payment_yen, max_per_day_yen and max_per_month_yen must not fall in this order")
