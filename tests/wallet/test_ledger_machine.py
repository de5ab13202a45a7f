"""A state machine against a real PostgreSQL: whatever happens in whatever order, the books stay true.

Two posters stand for two web processes. After every step: sums are zero, nothing is below zero, each acknowledged
request is there exactly once, positions have no gap, and a model of plain integers agrees.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.wallet.errors import OutcomeUnknown, RequestInProgress, TemporarilyUnavailable
from app.wallet.poster import Poster
from app.wallet.postings import Accepted, Charge, Outcome, Payment, Posting, Refund, Refused
from app.wallet.verify import verify
from tests import factories
from tests.wallet.postings import payment, refund

pytestmark = pytest.mark.ledger

AMOUNTS = st.integers(min_value=1, max_value=700)
MEMBERS = st.integers(min_value=0, max_value=2)
POSTERS = st.integers(min_value=0, max_value=1)


class Books(RuleBasedStateMachine):
    """Three members of one money at one shop; the model is their balances and the answers given."""

    app: Flask
    database_url: str
    posters: tuple[Poster, Poster]

    @initialize()
    def open(self) -> None:
        with self.app.app_context():
            first = factories.holder()
            others = [factories.member() for _ in range(2)]
            for member_id in others:
                factories.wallet(member_id=member_id, money=first.money)
        self.holders = [first] + [
            factories.Holder(first.issuer_id, member_id, first.money, first.shop_id) for member_id in others
        ]
        self.balances = [0, 0, 0]
        self.answers: dict[str, tuple[Posting, Outcome]] = {}
        self.refundable: dict[UUID, tuple[int, int]] = {}

    @rule(member=MEMBERS, poster=POSTERS, amount_yen=AMOUNTS)
    def charge(self, member: int, poster: int, amount_yen: int) -> None:
        holder = self.holders[member]
        outcome = self._post(
            poster,
            Charge(
                requester="test",
                request_id=secrets.token_hex(8),
                params_hash=b"charge",
                member_id=holder.member_id,
                money=holder.money,
                amount_yen=amount_yen,
                book="issued_by_cash",
            ),
        )
        self.balances[member] += amount_yen
        assert isinstance(outcome, Accepted)
        assert outcome.balance_yen == self.balances[member]

    @rule(member=MEMBERS, poster=POSTERS, amount_yen=AMOUNTS)
    def pay(self, member: int, poster: int, amount_yen: int) -> None:
        outcome = self._post(poster, payment(self.holders[member], amount_yen))
        self._expect_payment(member, amount_yen, outcome)

    @rule(poster=POSTERS, data=st.data())
    def pay_back(self, poster: int, data: st.DataObject) -> None:
        if not self.refundable:
            return
        paid = data.draw(st.sampled_from(sorted(self.refundable)))
        member, amount_yen = self.refundable.pop(paid)
        outcome = self._post(poster, refund(paid))
        self.balances[member] += amount_yen
        assert isinstance(outcome, Accepted)
        assert outcome.balance_yen == self.balances[member]
        second = self._post(poster, refund(paid))
        assert isinstance(second, Refused)
        assert second.code == "already_refunded"

    @rule(poster=POSTERS, data=st.data())
    def ask_again(self, poster: int, data: st.DataObject) -> None:
        """The reply was lost: the same request, perhaps to the other process."""
        if not self.answers:
            return
        posting, before = self.answers[data.draw(st.sampled_from(sorted(self.answers)))]
        again = self._send(poster, posting)
        assert again.hit
        assert _said(again) == _said(before)

    @rule(poster=POSTERS, data=st.data())
    def reuse_the_name(self, poster: int, data: st.DataObject) -> None:
        payments = sorted(key for key, (posting, _) in self.answers.items() if isinstance(posting, Payment))
        if not payments:
            return
        key = data.draw(st.sampled_from(payments))
        outcome = self._send(poster, payment(self.holders[0], 100_000, key=key))
        assert isinstance(outcome, Refused)
        assert outcome.code == "request_id_conflict"

    @rule(amounts=st.lists(st.tuples(MEMBERS, POSTERS, AMOUNTS), min_size=2, max_size=12), double=st.booleans())
    def pay_in_parallel(self, amounts: list[tuple[int, int, int]], double: bool) -> None:
        """Many at once through both processes, each perhaps sent to both. Any order is right, so long as it adds up."""
        before = list(self.balances)
        postings = [(poster, payment(self.holders[member], yen)) for member, poster, yen in amounts]
        sent = postings + ([(1 - poster, posting) for poster, posting in postings] if double else [])
        with ThreadPoolExecutor(len(sent)) as pool:
            outcomes = list(pool.map(lambda one: self._send(*one), sent))
        for (member, _, yen), (_, posting), outcome in zip(amounts, postings, outcomes, strict=False):
            self.answers[posting.request_id] = (posting, outcome)
            if isinstance(outcome, Accepted):
                self.balances[member] -= yen
                self.refundable[outcome.transaction_id] = (member, yen)
        if double:
            for first, second in zip(outcomes, outcomes[len(postings) :], strict=False):
                assert _said(first) == _said(second)
        for member, balance_yen in enumerate(self.balances):
            assert balance_yen >= 0
            asked_yen = sum(yen for who, _, yen in amounts if who == member)
            if asked_yen <= before[member]:
                assert balance_yen == before[member] - asked_yen, "there was enough for all of them"

    @rule(data=st.data(), amounts=st.lists(st.tuples(MEMBERS, AMOUNTS), max_size=4))
    def pay_back_in_parallel(self, data: st.DataObject, amounts: list[tuple[int, int]]) -> None:
        """One payment given back through both processes at once, while others pay: one of the two refunds counts."""
        if not self.refundable:
            return
        paid = data.draw(st.sampled_from(sorted(self.refundable)))
        member, amount_yen = self.refundable.pop(paid)
        refunds = [refund(paid), refund(paid)]
        payments = [payment(self.holders[who], yen) for who, yen in amounts]
        sent = list(enumerate([*refunds, *payments]))
        with ThreadPoolExecutor(len(sent)) as pool:
            outcomes = list(pool.map(lambda one: self._send(one[0] % 2, one[1]), sent))
        self.answers.update(
            (posting.request_id, (posting, outcome)) for (_, posting), outcome in zip(sent, outcomes, strict=True)
        )
        codes = [outcome.code for outcome in outcomes[:2] if isinstance(outcome, Refused)]
        assert codes == ["already_refunded"]
        self.balances[member] += amount_yen
        for (who, yen), outcome in zip(amounts, outcomes[2:], strict=True):
            if isinstance(outcome, Accepted):
                self.balances[who] -= yen
                self.refundable[outcome.transaction_id] = (who, yen)

    @invariant()
    def the_books_are_true(self) -> None:
        _, differences = verify(self.database_url)
        assert differences == []

    @invariant()
    def every_answer_is_kept_exactly_once(self) -> None:
        if not hasattr(self, "answers"):
            return
        accepted = {key for key, (_, outcome) in self.answers.items() if isinstance(outcome, Accepted)}
        with psycopg.connect(self.database_url) as connection:
            rows = connection.execute(
                "SELECT r.request_id, count(t.id) FROM request r LEFT JOIN transaction t"
                " ON (t.requester, t.request_id) = (r.requester, r.request_id)"
                " WHERE r.request_id = ANY(%s) GROUP BY 1",
                [list(self.answers)],
            ).fetchall()
            totals = dict(
                connection.execute(
                    "SELECT member_id, total_yen FROM wallet WHERE member_id = ANY(%s)",
                    [[holder.member_id for holder in self.holders]],
                ).fetchall()
            )
        assert {key: count for key, count in rows} == {key: int(key in accepted) for key in self.answers}  # noqa: C416
        assert [totals[holder.member_id] for holder in self.holders] == self.balances

    def _post(self, poster: int, posting: Payment | Refund | Charge) -> Outcome:
        outcome = self._send(poster, posting)
        self.answers[posting.request_id] = (posting, outcome)
        return outcome

    def _send(self, poster: int, posting: Posting) -> Outcome:
        """As a client sends: a 503 or a 409 `request_in_progress` says to send the very same again."""
        for _ in range(20):
            try:
                return self.posters[poster].post(posting)
            except (TemporarilyUnavailable, RequestInProgress, OutcomeUnknown):
                continue
        raise AssertionError("no answer after twenty sendings")

    def _expect_payment(self, member: int, amount_yen: int, outcome: Outcome) -> None:
        if amount_yen > self.balances[member]:
            assert isinstance(outcome, Refused)
            assert outcome.detail["short_by_yen"] == amount_yen - self.balances[member]
            return
        self.balances[member] -= amount_yen
        assert isinstance(outcome, Accepted)
        assert outcome.balance_yen == self.balances[member]
        self.refundable[outcome.transaction_id] = (member, amount_yen)


def _said(outcome: Outcome) -> tuple[object, ...]:
    """What an answer says, apart from whether it is a repeated one."""
    if isinstance(outcome, Refused):
        return (outcome.code, dict(outcome.detail))
    return (outcome.transaction_id, outcome.position, outcome.amount_yen, outcome.balance_yen, outcome.created_at)


@pytest.fixture
def posters(fresh_database: str) -> Iterator[tuple[Poster, Poster]]:
    pair = (Poster(fresh_database), Poster(fresh_database))
    yield pair
    for poster in pair:
        poster.close()


def test_the_books_stay_true_whatever_happens(
    fresh_app: Flask, fresh_database: str, posters: tuple[Poster, Poster]
) -> None:
    machine = type("BoundBooks", (Books,), {"app": fresh_app, "database_url": fresh_database, "posters": posters})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
