"""The convenience stores: which numbers each has the customer type or show, as this collecting agent issues them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

SLIP_MINUTES = 30
"""A slip that a machine printed is to be paid within these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """`digits` of the number. Beside it: a company's code, the phone number, or nothing.

    `written` is how it is printed: 4-7 for 4 digits, a hyphen, 7. `machine` prints a slip for the till.
    """

    name: str
    digits: int
    company_code: str | None = None
    by_phone: bool = False
    written: tuple[int, ...] = ()
    machine: bool = False
    barcode: bool = False
    qr: bool = False

    def new_number(self) -> str:
        """Never begins with 0: people drop it."""
        return str(secrets.choice(range(10 ** (self.digits - 1), 10**self.digits)))

    def shown(self, number: str) -> str:
        """The number as it is printed."""
        parts, rest = [], number
        for length in self.written:
            parts.append(rest[:length])
            rest = rest[length:]
        return "-".join([*parts, rest] if rest else parts)


CHAINS = {
    chain.name: chain
    for chain in (
        Chain(name="lawson", digits=6, by_phone=True, machine=True),
        Chain(name="familymart", digits=12, company_code="20020", machine=True, qr=True),
        Chain(name="ministop", digits=6, by_phone=True, machine=True),
        Chain(name="seicomart", digits=6, by_phone=True),
        Chain(name="daily_yamazaki", digits=11, written=(4, 7)),
        Chain(name="seven_eleven", digits=13, barcode=True),
    )
}
