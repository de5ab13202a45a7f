"""One ledger of yesterday, sealed and signed, for the tests that only read; made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app.db import dispose
from app.factory import create_app
from app.settings import Settings
from app.wallet import ledger
from app.wallet.postings import Accepted
from app.wallet.proof import proofs
from tests import factories
from tests.conftest import TestServer
from tests.wallet.postings import payment, refund
from tests.wallet.proof.books import age, look


@dataclass(frozen=True)
class Yesterday:
    """Five transactions of one member, the fourth a refund of the third; and one of another member."""

    app: Flask
    holder: factories.Holder
    transactions: list[UUID]
    other: UUID

    def proof(self, n: int = 1, *, sections: tuple[str, ...] = proofs.OWN) -> dict[str, Any]:
        with self.app.app_context():
            return proofs.proof(transaction_id=self.transactions[n], sections=sections)


def yesterday_in(app: Flask) -> Yesterday:
    with app.app_context():
        holder = factories.holder()
        charged = factories.charge(member_id=holder.member_id, money=holder.money, amount_yen=2_000)
        done = [charged]
        for posting in (payment(holder, 450, description="昼食 A定食"), payment(holder, 300)):
            outcome = ledger.post(posting)
            assert isinstance(outcome, Accepted)
            done.append(outcome)
        for posting in (
            refund(done[-1].transaction_id),
            payment(holder, 120, metadata={"order": "A-17", "é😀": "\u2028"}),
        ):
            outcome = ledger.post(posting)
            assert isinstance(outcome, Accepted)
            done.append(outcome)
        stranger = factories.holder()
        other = factories.charge(member_id=stranger.member_id, money=stranger.money, amount_yen=500)
    age(app)
    look(app)
    return Yesterday(
        app=app, holder=holder, transactions=[each.transaction_id for each in done], other=other.transaction_id
    )


@pytest.fixture(scope="module")
def yesterday(postgres: TestServer, template: str, make_settings: Callable[[str], Settings]) -> Iterator[Yesterday]:
    with postgres.database(template=template) as name:
        app = create_app(make_settings(postgres.url(name)))
        with app.app_context():
            factories.issuer()
        yield yesterday_in(app)
        ledger.close()
        with app.app_context():
            dispose()


@pytest.fixture
def own_yesterday(fresh_app: Flask) -> Yesterday:
    """The same, for a test that breaks it."""
    return yesterday_in(fresh_app)
