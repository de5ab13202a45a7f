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
from app.wallet.postings import Accepted, Posting
from app.wallet.proof import proofs, sealing
from tests import factories
from tests.conftest import TestServer
from tests.wallet.postings import payment, refund
from tests.wallet.proof.books import age, look


@dataclass(frozen=True)
class Yesterday:
    """A charge, and two days later two payments, a refund of the second, a payment; and a charge of somebody else."""

    app: Flask
    holder: factories.Holder
    transactions: list[UUID]
    other: UUID

    def proof(self, n: int = 1, *, sections: tuple[str, ...] = proofs.OWN) -> dict[str, Any]:
        with self.app.app_context():
            return proofs.proof(transaction_id=self.transactions[n], sections=sections)


def yesterday_in(app: Flask) -> Yesterday:
    """Blocks of two at most, so that there are trees to climb: one of the first day, three of the second."""
    with app.app_context():
        holder = factories.holder()
        done = [factories.charge(member_id=holder.member_id, money=holder.money, amount_yen=2_000)]
        age(app)
        done.append(_posted(payment(holder, 450, description="昼食 A定食")))
        done.append(_posted(payment(holder, 300)))
        done.append(_posted(refund(done[-1].transaction_id)))
        done.append(_posted(payment(holder, 120, metadata={"order": "A-17", "é😀": "\u2028"})))
        stranger = factories.holder()
        other = factories.charge(member_id=stranger.member_id, money=stranger.money, amount_yen=500)
    age(app)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sealing, "BLOCK", 2)
        look(app)
    ids = [each.transaction_id for each in done]
    return Yesterday(app=app, holder=holder, transactions=ids, other=other.transaction_id)


def _posted(posting: Posting) -> Accepted:
    outcome = ledger.post(posting)
    assert isinstance(outcome, Accepted)
    return outcome


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
