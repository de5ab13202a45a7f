"""May a grant, a card or a terminal spend this? Limits of controls and of wallets."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from app.wallet.books import Control, WalletState
from app.wallet.law.draft import Draft, Refusal
from app.wallet.rules import MoneyRule

_STATUS_REFUSAL = {
    ("card", "lost"): "card_lost",
    ("card", "revoked"): "card_lost",
    ("terminal", "revoked"): "terminal_revoked",
    ("terminal", "lost"): "terminal_revoked",
    ("tap_idm", "revoked"): "assurance_too_low",
    ("tap_fcf", "revoked"): "assurance_too_low",
    ("tap_pin", "revoked"): "assurance_too_low",
    ("tap_mac", "revoked"): "assurance_too_low",
    ("grant", "revoked"): "mandate_exceeded",
    ("grant", "lost"): "mandate_exceeded",
}

_LIMIT = {"payment": "payment_limit_exceeded", "day": "daily_limit_exceeded", "month": "monthly_limit_exceeded"}
_OVER = {
    "card": {**_LIMIT, "until": "card_expired"},
    "terminal": {**_LIMIT, "until": "terminal_revoked"},
    "grant": dict.fromkeys(("payment", "day", "month", "until"), "mandate_exceeded"),
    "tap_idm": dict.fromkeys(("payment", "day"), "pin_required"),
    "tap_fcf": dict.fromkeys(("payment", "day"), "pin_required"),
    "tap_pin": _LIMIT,
    "tap_mac": _LIMIT,
}
"""What is said where a limit of a control is exceeded: a card and a terminal have a code for each, a grant has one. A
tap that proves little may be more with a PIN."""


def check_controls(draft: Draft, control_ids: Iterable[UUID], *, money: str, shop_id: UUID, amount_yen: int) -> None:
    """Every named control must exist, be active, and allow this money, this shop, this day and this amount."""
    for control_id in control_ids:
        control = _active(draft, control_id)
        if control.valid_until is not None and draft.books.today > control.valid_until:
            raise Refusal(_OVER[control.kind]["until"], limit="until", until=control.valid_until.isoformat())
        over = _OVER[control.kind]["payment"]
        if control.shops is not None and shop_id not in control.shops:
            raise Refusal(over, limit="shops")
        if control.monies is not None and money not in control.monies:
            raise Refusal(over, limit="monies")
        if control.max_per_payment_yen is not None and amount_yen > control.max_per_payment_yen:
            raise Refusal(over, limit="max_per_payment_yen", max_yen=control.max_per_payment_yen)
        _check_sums(draft, control, amount_yen)


def check_active(draft: Draft, control_ids: Iterable[UUID]) -> None:
    """What a hold was allowed under must still be allowed to spend; its amount was counted then."""
    for control_id in control_ids:
        _active(draft, control_id)


def allows_money(draft: Draft, control_ids: Iterable[UUID], money: str) -> bool:
    """Whether no control keeps a payment from falling through to this money."""
    controls = draft.books.controls
    return all(controls[key].monies is None or money in controls[key].monies for key in control_ids)  # type: ignore[operator]


def check_wallet_limits(draft: Draft, wallet: WalletState, rule: MoneyRule, amount_yen: int) -> None:
    """The limits of a money and of one wallet of it, whichever is lower. A refund gives nothing back of them."""
    if (most := _lower(rule.max_per_payment_yen, wallet.max_per_payment_yen)) is not None and amount_yen > most:
        raise Refusal(_LIMIT["payment"], limit="max_per_payment_yen", max_yen=most, money=rule.code)
    day_yen, month_yen = draft.wallet_spent_yen(wallet)
    for period, max_yen, spent in (
        ("day", _lower(rule.max_per_day_yen, wallet.max_per_day_yen), day_yen),
        ("month", _lower(rule.max_per_month_yen, wallet.max_per_month_yen), month_yen),
    ):
        if max_yen is not None and spent + amount_yen > max_yen:
            left_yen = max(0, max_yen - spent)
            raise Refusal(
                _LIMIT[period], limit=f"max_per_{period}_yen", max_yen=max_yen, left_yen=left_yen, money=rule.code
            )


def _active(draft: Draft, control_id: UUID) -> Control:
    control = draft.books.controls.get(control_id)
    if control is None:
        raise Refusal("mandate_exceeded", limit="unknown")
    if control.status != "active":
        raise Refusal(_STATUS_REFUSAL[control.kind, control.status])
    return control


def _check_sums(draft: Draft, control: Control, amount_yen: int) -> None:
    """The ceilings for a day and a month. A refund gives nothing back of them."""
    if not control.counts:
        return
    day_yen, month_yen = draft.spent_yen(control)
    for period, max_yen, spent in (
        ("day", control.max_per_day_yen, day_yen),
        ("month", control.max_per_month_yen, month_yen),
    ):
        if max_yen is not None and spent + amount_yen > max_yen:
            raise Refusal(
                _OVER[control.kind][period],
                limit=f"max_per_{period}_yen",
                max_yen=max_yen,
                left_yen=max(0, max_yen - spent),
            )


def _lower(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
