"""A shop with a customer, as the tests of settlement want them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID

import psycopg

from app.db import transaction
from app.issuer import current_issuer
from app.wallet import ledger, setup
from app.wallet.postings import Accepted, Adjustment, Outcome
from app.wallet.settlement import closing, reading
from app.wallet.settlement.reading import LineView, SettlementView
from tests import factories
from tests.factories import Holder
from tests.wallet.postings import payment, refund


@dataclass(frozen=True, slots=True)
class Shopkeeper:
    """A shop that accepts some monies, and a member with money of each."""

    shop_id: UUID
    member_id: UUID
    monies: tuple[str, ...]

    def holder(self, money: str) -> Holder:
        return Holder(issuer_id=current_issuer().id, member_id=self.member_id, money=money, shop_id=self.shop_id)

    def pay(self, amount_yen: int, *, money: str | None = None, money_only: bool = True) -> UUID:
        posting = payment(self.holder(money or self.monies[0]), amount_yen, money_only=money_only)
        outcome = ledger.post(posting)
        assert isinstance(outcome, Accepted), outcome
        return outcome.transaction_id

    def give_back(self, transaction_id: UUID) -> Outcome:
        return ledger.post(refund(transaction_id))

    def close(self) -> SettlementView:
        return reading.settlement(closing.close(shop_id=self.shop_id))

    def close_line(self) -> LineView:
        (line,) = self.close().lines
        return line


def shopkeeper(*, paid: int = 1, free: int = 0, balance_yen: int = 1_000_000) -> Shopkeeper:
    """A shop that accepts so many monies of each backing; the member has `balance_yen` of each."""
    monies = [factories.money() for _ in range(paid)] + [_free_money() for _ in range(free)]
    keeper = Shopkeeper(factories.shop(accepts=monies), factories.member(), tuple(monies))
    for money in monies:
        factories.wallet(member_id=keeper.member_id, money=money)
    for money in monies[:paid]:
        factories.charge(member_id=keeper.member_id, money=money, amount_yen=balance_yen)
    for money in monies[paid:]:
        _grant(keeper, money, balance_yen)
    return keeper


def takings_yen(database_url: str, shop_id: UUID) -> dict[str, int]:
    """What the shop's accounts hold now, by money."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT m.code, a.posted_yen FROM account a JOIN money m ON m.id = a.money_id WHERE a.shop_id = %s",
            [shop_id],
        )
        return dict(rows.fetchall())


def settlements(shop_id: UUID) -> list[SettlementView]:
    """All of a shop's, oldest first."""
    found, more = reading.settlements(shops=[shop_id], limit=1_000)
    assert more is None
    return found[::-1]


def _grant(keeper: Shopkeeper, money: str, amount_yen: int) -> None:
    granted = ledger.post(
        Adjustment(
            requester="test",
            request_id=secrets.token_hex(8),
            params_hash=b"grant",
            member_id=keeper.member_id,
            money=money,
            amount_yen=amount_yen,
            book="granted",
        )
    )
    assert isinstance(granted, Accepted), granted


def _free_money() -> str:
    code = factories.money()[:-1] + "_free"
    with transaction():
        setup.open_money(issuer_id=current_issuer().id, code=code, name_ja="ポイント", name_en="Points", backing="free")
    return code
