"""The arithmetic of a settlement: whole yen, nothing lost, nothing invented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wallet.settlement.models import ROUNDINGS
from app.wallet.settlement.rules import NO_TERMS, Line, Movements, Terms, fee, line

AMOUNTS = st.integers(0, 10**11)
TERMS = st.builds(
    Terms, fee_rate_bp=st.integers(0, 10_000), fee_rounding=st.sampled_from(ROUNDINGS), reimbursed=st.booleans()
)


def made(movements: Movements, *, terms: Terms = NO_TERMS, carried_in_yen: int = 0) -> Line:
    return line(money_id=1, backing="free", movements=movements, terms=terms, carried_in_yen=carried_in_yen)


@pytest.mark.parametrize(
    ("settled_yen", "bp", "rounding", "fee_yen"),
    [
        (10_000, 150, "down", 150),
        (0, 150, "up", 0),
        (1, 1, "down", 0),
        (1, 1, "up", 1),
        (1, 4_999, "half_up", 0),
        (1, 5_000, "half_up", 1),
        (333, 325, "down", 10),  # 10.8225
        (333, 325, "half_up", 11),
        (333, 325, "up", 11),
        (320, 325, "half_up", 10),  # 10.4
        (12_345, 10_000, "down", 12_345),
    ],
)
def test_the_fee_is_rounded_as_agreed(settled_yen: int, bp: int, rounding: str, fee_yen: int) -> None:
    assert fee(settled_yen, Terms(fee_rate_bp=bp, fee_rounding=rounding)) == fee_yen


def test_what_is_taken_less_what_is_given_back_is_settled() -> None:
    one = made(Movements(payments=3, payments_yen=1_500, refunds=1, refunds_yen=500, others_yen=-100))
    assert (one.settled_yen, one.carried_out_yen, one.fee_yen, one.payable_yen) == (900, 0, 0, 900)


def test_what_the_shop_owes_is_carried_not_paid() -> None:
    one = made(Movements(refunds=1, refunds_yen=500, payments=1, payments_yen=200), terms=Terms(fee_rate_bp=100))
    assert (one.settled_yen, one.carried_out_yen, one.fee_yen, one.payable_yen) == (0, -300, 0, 0)
    two = made(Movements(payments=1, payments_yen=1_300), carried_in_yen=-300, terms=Terms(fee_rate_bp=100))
    assert (two.settled_yen, two.carried_out_yen, two.fee_yen, two.payable_yen) == (1_000, 0, 10, 990)


def test_a_free_money_that_is_not_paid_for_is_settled_all_the_same() -> None:
    one = made(Movements(payments=1, payments_yen=700), terms=Terms(fee_rate_bp=500, reimbursed=False))
    assert (one.settled_yen, one.fee_yen, one.payable_yen) == (700, 0, 0)


@given(AMOUNTS, AMOUNTS, st.integers(-(10**9), 10**9), st.integers(-(10**9), 0), TERMS)
def test_it_always_adds_up(payments_yen: int, refunds_yen: int, others_yen: int, owed_yen: int, terms: Terms) -> None:
    movements = Movements(payments_yen=payments_yen, refunds_yen=refunds_yen, others_yen=others_yen)
    one = made(movements, terms=terms, carried_in_yen=owed_yen)
    assert owed_yen + movements.net_yen == one.settled_yen + one.carried_out_yen
    assert one.settled_yen >= 0 >= one.carried_out_yen
    assert one.settled_yen == 0 or one.carried_out_yen == 0
    assert 0 <= one.fee_yen <= one.settled_yen
    assert one.payable_yen == (one.settled_yen - one.fee_yen if terms.reimbursed else 0)
    exact = one.settled_yen * terms.fee_rate_bp / 10_000
    assert not terms.reimbursed or abs(one.fee_yen - exact) <= 1
