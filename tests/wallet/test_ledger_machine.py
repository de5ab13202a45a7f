"""A state machine against a real PostgreSQL: whatever happens in whatever order, the books stay true.

Two posters stand for two web processes. After every step: sums are zero, nothing is below zero, each acknowledged
request is there exactly once, positions have no gap, and a model of plain integers agrees.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.db import transaction
from app.wallet import spend_control
from app.wallet.poster import Poster
from app.wallet.postings import Accepted, Charge, Outcome, Payment, Posting, Refund, Refused
from app.wallet.verify import verify
from tests import factories
from tests.wallet.postings import answered, one_of, payment, refund

pytestmark = pytest.mark.ledger

AMOUNTS = st.integers(min_value=1, max_value=700)
CEILINGS = st.integers(min_value=1, max_value=2_000)
MEMBERS = st.integers(min_value=0, max_value=2)
PICKS = st.integers(min_value=0, max_value=10_000)
"""Which of what there is by then. How much there is depends on who was first, and what is drawn must not."""
POSTERS = st.integers(min_value=0, max_value=1)


class Books(RuleBasedStateMachine):
    """Three members of one money at one shop, who each allow one app to pay for them.

    The model is their balances, the answers given, and how much was paid today under each grant. Now and then a
    night passes.
    """

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
        self.grants = [uuid4(), uuid4(), uuid4()]
        self.ceilings = [(0, 0)] * 3
        self.spent_day = [0, 0, 0]
        self.spent_month = [0, 0, 0]
        for member in range(3):
            self.set_ceilings(member, per_day_yen=1_000, per_month_yen=2_000)
        self.a_night_passes(month=False)  # the real midnight lies behind: the day changes only where the model says so
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

    @rule(member=MEMBERS, per_day_yen=CEILINGS, per_month_yen=CEILINGS)
    def set_ceilings(self, member: int, per_day_yen: int, per_month_yen: int) -> None:
        """The member changes their mind, perhaps to less than was paid already."""
        self.ceilings[member] = (per_day_yen, per_month_yen)
        with self.app.app_context(), transaction():
            spend_control.put_control(
                control_id=self.grants[member],
                kind="grant",
                max_per_day_yen=per_day_yen,
                max_per_month_yen=per_month_yen,
            )

    @rule(month=st.booleans())
    def a_night_passes(self, month: bool) -> None:
        """The issuer's clock is put forward: to the next day, or to the first of the next month."""
        unit = "month" if month else "day"
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(
                f"UPDATE issuer_head SET created_at = (date_trunc('{unit}', local) + interval '1 {unit}')"
                " AT TIME ZONE 'Asia/Tokyo' FROM (SELECT greatest(created_at, clock_timestamp())"
                " AT TIME ZONE 'Asia/Tokyo' AS local FROM issuer_head) AS now"
                " RETURNING extract(day FROM created_at AT TIME ZONE 'Asia/Tokyo')".encode()
            ).fetchone()
        assert row is not None
        self.spent_day = [0, 0, 0]
        if row[0] == 1:
            self.spent_month = [0, 0, 0]

    @rule(member=MEMBERS, poster=POSTERS, amount_yen=AMOUNTS)
    def pay_by_app(self, member: int, poster: int, amount_yen: int) -> None:
        outcome = self._post(poster, self._by_app(member, amount_yen))
        if amount_yen > self._left_yen(member):
            assert isinstance(outcome, Refused)
            assert outcome.code == "mandate_exceeded"
            assert outcome.detail["left_yen"] < amount_yen
            return
        self._expect_payment(member, amount_yen, outcome)
        if isinstance(outcome, Accepted):
            self._spend(member, amount_yen)

    @rule(amounts=st.lists(st.tuples(MEMBERS, POSTERS, AMOUNTS), min_size=2, max_size=12))
    def pay_by_app_in_parallel(self, amounts: list[tuple[int, int, int]]) -> None:
        """Whichever of them come first: together never more than the ceiling, and nobody is refused without need."""
        before_yen = [self._left_yen(member) for member in range(3)]
        left = list(before_yen)
        postings = [(poster, self._by_app(member, yen)) for member, poster, yen in amounts]
        with ThreadPoolExecutor(len(postings)) as pool:
            outcomes = list(pool.map(lambda one: self._send(*one), postings))
        for (member, _, yen), (_, posting), outcome in zip(amounts, postings, outcomes, strict=True):
            self.answers[posting.request_id] = (posting, outcome)
            if isinstance(outcome, Accepted):
                self.balances[member] -= yen
                self.refundable[outcome.transaction_id] = (member, yen)
                self._spend(member, yen)
                left[member] -= yen
        assert all(now >= min(0, before) for now, before in zip(left, before_yen, strict=True))
        for (member, _, yen), outcome in zip(amounts, outcomes, strict=True):
            if isinstance(outcome, Refused):
                assert yen > min(left[member], self.balances[member]), "it would still fit now"

    @rule(member=MEMBERS, poster=POSTERS, amount_yen=AMOUNTS)
    def pay(self, member: int, poster: int, amount_yen: int) -> None:
        outcome = self._post(poster, payment(self.holders[member], amount_yen))
        self._expect_payment(member, amount_yen, outcome)

    @rule(poster=POSTERS, pick=PICKS)
    def pay_back(self, poster: int, pick: int) -> None:
        if not self.refundable:
            return
        paid = one_of(self.refundable, pick)
        member, amount_yen = self.refundable.pop(paid)
        outcome = self._post(poster, refund(paid))
        self.balances[member] += amount_yen
        assert isinstance(outcome, Accepted)
        assert outcome.balance_yen == self.balances[member]
        second = self._post(poster, refund(paid))
        assert isinstance(second, Refused)
        assert second.code == "already_refunded"

    @rule(poster=POSTERS, pick=PICKS)
    def ask_again(self, poster: int, pick: int) -> None:
        """The reply was lost: the same request, perhaps to the other process."""
        if not self.answers:
            return
        posting, before = self.answers[one_of(self.answers, pick)]
        again = self._send(poster, posting)
        assert again.hit
        assert _said(again) == _said(before)

    @rule(poster=POSTERS, pick=PICKS)
    def reuse_the_name(self, poster: int, pick: int) -> None:
        payments = [key for key, (posting, _) in self.answers.items() if isinstance(posting, Payment)]
        if not payments:
            return
        key = one_of(payments, pick)
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

    @rule(pick=PICKS, amounts=st.lists(st.tuples(MEMBERS, AMOUNTS), max_size=4))
    def pay_back_in_parallel(self, pick: int, amounts: list[tuple[int, int]]) -> None:
        """One payment given back through both processes at once, while others pay: one of the two refunds counts."""
        if not self.refundable:
            return
        paid = one_of(self.refundable, pick)
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
    def what_an_app_spent_is_what_the_model_says(self) -> None:
        if not hasattr(self, "grants"):
            return
        with psycopg.connect(self.database_url) as connection:
            rows = connection.execute(
                "SELECT c.id, CASE WHEN spent_on = today THEN spent_day_yen ELSE 0 END,"
                " CASE WHEN spent_on >= date_trunc('month', today) THEN spent_month_yen ELSE 0 END"
                " FROM spend_control c, (SELECT (greatest(created_at, clock_timestamp())"
                " AT TIME ZONE 'Asia/Tokyo')::date AS today FROM issuer_head) AS now WHERE c.id = ANY(%s)",
                [self.grants],
            ).fetchall()
        said = {grant_id: (day_yen, month_yen) for grant_id, day_yen, month_yen in rows}
        model = zip(self.spent_day, self.spent_month, strict=True)
        assert said == dict(zip(self.grants, model, strict=True))

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
        return answered(self.posters[poster], posting)

    def _by_app(self, member: int, amount_yen: int) -> Payment:
        grant_id = self.grants[member]
        return payment(self.holders[member], amount_yen, controls=(grant_id,), grant_id=grant_id)

    def _left_yen(self, member: int) -> int:
        """How much the app may still take, today and this month. Below zero where a ceiling was lowered since."""
        per_day_yen, per_month_yen = self.ceilings[member]
        return min(per_day_yen - self.spent_day[member], per_month_yen - self.spent_month[member])

    def _spend(self, member: int, amount_yen: int) -> None:
        self.spent_day[member] += amount_yen
        self.spent_month[member] += amount_yen

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
