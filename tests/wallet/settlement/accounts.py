"""Accounts at banks, as the tests of transfers want them."""

from __future__ import annotations

from datetime import date, timedelta

from app.issuer import current_issuer, issuer_today
from app.wallet.settlement import bank
from app.wallet.settlement.bank import BankPlace
from app.wallet.settlement.banking_days import may_transfer
from app.wallet.settlement.models import TransferRequester

KEY = b"e" * 32
"""The sealing key of the tests' settings."""

PLACE = BankPlace(
    bank_code="0001",
    bank_name="みずほ",
    branch_code="001",
    branch_name="トウキョウ",
    account_type="ordinary",
    number="1234567",
)


def set_requester(*, line_ends: bool = True) -> TransferRequester:
    """The issuer's own account. Called inside `transaction()`."""
    return bank.set_requester(
        issuer_id=current_issuer().id,
        place=PLACE,
        code="12345",
        name="トウトダイガクセイキョウ",
        line_ends=line_ends,
        sealing_key=KEY,
    )


def next_weekday(*, after: int = 1) -> date:
    """The banks' next day but `after` - 1."""
    day = issuer_today()
    while after:
        day += timedelta(days=1)
        after -= may_transfer(day, today=issuer_today())
    return day
