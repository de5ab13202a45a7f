"""The arithmetic of a settlement: pure, in whole yen."""

from __future__ import annotations

from dataclasses import dataclass

_ADDED = {"down": 0, "half_up": 5_000, "up": 9_999}
"""Before dividing by 10,000: how a part of a yen is rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Movements:
    """What moved to and from a shop's takings of one money between two positions. `others_yen` has its sign."""

    payments: int = 0
    payments_yen: int = 0
    refunds: int = 0
    refunds_yen: int = 0
    others_yen: int = 0

    @property
    def net_yen(self) -> int:
        return self.payments_yen - self.refunds_yen + self.others_yen


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was agreed with a shop of one money: a fee of so many hundredths of a percent, paid out or not."""

    fee_rate_bp: int = 0
    fee_rounding: str = "down"
    reimbursed: bool = True


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One money of a settlement."""

    money_id: int
    backing: str
    movements: Movements
    terms: Terms
    carried_in_yen: int
    carried_out_yen: int
    settled_yen: int
    fee_yen: int
    payable_yen: int


def line(*, money_id: int, backing: str, movements: Movements, terms: Terms, carried_in_yen: int) -> Line:
    """What is settled of one money.

    What the shop owes (more given back than taken) is not paid but carried into its next settlement, in the same
    money, since value never changes its money. The fee is on what is settled. A free money leaves the takings too
    where the issuer does not pay for it.
    """
    sum_yen = carried_in_yen + movements.net_yen
    settled_yen = max(sum_yen, 0)
    fee_yen = fee(settled_yen, terms) if terms.reimbursed else 0
    return Line(
        money_id=money_id,
        backing=backing,
        movements=movements,
        terms=terms,
        carried_in_yen=carried_in_yen,
        carried_out_yen=min(sum_yen, 0),
        settled_yen=settled_yen,
        fee_yen=fee_yen,
        payable_yen=settled_yen - fee_yen if terms.reimbursed else 0,
    )


def fee(settled_yen: int, terms: Terms) -> int:
    """The fee on an amount that is not negative."""
    return (settled_yen * terms.fee_rate_bp + _ADDED[terms.fee_rounding]) // 10_000
