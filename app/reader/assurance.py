"""Assurance: what a tap proves of who pays (保証レベル), and how much may be paid by each level.

`idm` (a number, which every copy has) < `fcf` (and the blocks are those registered) < `pin` (and the member's PIN, or
staff looked at the photo) < `mac` (the card proved that it holds its key). Each card has a spend control per level,
so the ledger holds the limits under its own lock and counts each level's day by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.db import session
from app.issuer import Issuer, current_issuer
from app.reader.models import AssuranceLimit
from app.wallet import spend_control

IDM, FCF, PIN, MAC = LEVELS = ("idm", "fcf", "pin", "mac")

PHONE_IDM = "02FE"
"""How an IDm made up by a phone begins: it is another one at every touch, or whichever its owner wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Yen by one card at one level; 0 per payment: such a tap is not taken."""

    max_per_payment_yen: int
    max_per_day_yen: int


DEFAULTS: Mapping[str, Limits] = {
    IDM: Limits(max_per_payment_yen=0, max_per_day_yen=0),
    FCF: Limits(max_per_payment_yen=3_000, max_per_day_yen=10_000),
    PIN: Limits(max_per_payment_yen=30_000, max_per_day_yen=50_000),
    MAC: Limits(max_per_payment_yen=30_000, max_per_day_yen=50_000),
}
"""Where the office said nothing else. A copied card is worth little, and one that only tells a number nothing."""


def control_of(card_id: UUID, level: str) -> UUID:
    """The spend control of a card at a level."""
    return uuid5(card_id, level)


def limits() -> Mapping[str, Limits]:
    """The issuer's limits of each level."""
    rows = session().execute(
        select(AssuranceLimit.level, AssuranceLimit.max_per_payment_yen, AssuranceLimit.max_per_day_yen).where(
            AssuranceLimit.issuer_id == current_issuer().id
        )
    )
    said = {level: Limits(max_per_payment_yen=payment, max_per_day_yen=day) for level, payment, day in rows}
    return {level: said.get(level, DEFAULTS[level]) for level in LEVELS}


def set_limits(level: str, wanted: Limits) -> int:
    """Put the limits of a level, for every card at once; returns how many cards. Call inside `transaction()`.

    Cards that are being registered come first or after: neither keeps the limits of before.
    """
    session().execute(select(Issuer.id).where(Issuer.id == current_issuer().id).with_for_update(key_share=True))
    values = {"max_per_payment_yen": wanted.max_per_payment_yen, "max_per_day_yen": wanted.max_per_day_yen}
    statement = insert(AssuranceLimit).values(issuer_id=current_issuer().id, level=level, **values)
    session().execute(statement.on_conflict_do_update(index_elements=["issuer_id", "level"], set_=values))
    return spend_control.change_kind(f"tap_{level}", **_control_values(wanted))


def put_controls(card_id: UUID) -> None:
    """Write a card's control for each level. Call inside `transaction()`."""
    session().execute(select(Issuer.id).where(Issuer.id == current_issuer().id).with_for_update(read=True))
    for level, wanted in limits().items():
        spend_control.put_control(control_id=control_of(card_id, level), kind=f"tap_{level}", **_control_values(wanted))


def _control_values(wanted: Limits) -> dict[str, Any]:
    return {
        "status": "active" if wanted.max_per_payment_yen else "revoked",
        "max_per_payment_yen": wanted.max_per_payment_yen or None,
        "max_per_day_yen": wanted.max_per_day_yen or None,
    }
