"""The poster when things go wrong: a row that somebody holds, a reply that is lost, a database out of reach.

Whatever a caller is told must be true, and the same request again must find out the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from flask import Flask

from app.issuer import current_issuer
from app.wallet.errors import OutcomeUnknown, RequestInProgress, TemporarilyUnavailable
from app.wallet.poster import Poster
from app.wallet.postings import Accepted, Declined, Outcome, Posting, Refused
from app.wallet.statements import CONNECTION_OPTIONS
from app.wallet.verify import verify
from tests import factories
from tests.factories import Holder
from tests.live import eventually
from tests.wallet.postings import payment, refund
from tests.wallet.wire import Wire, wire

pytestmark = pytest.mark.ledger

PATIENT = CONNECTION_OPTIONS.replace("lock_timeout=1s", "lock_timeout=60s")
"""So that a held row stays a held row for as long as a test needs it, on however slow a machine."""

PAYMENTS_AT_ONCE = 24

Make = Callable[..., Poster]


@pytest.fixture
def holder(app: Flask) -> Holder:
    with app.app_context():
        return factories.holder(balance_yen=1_000)


@pytest.fixture
def poster(database_url: str) -> Iterator[Make]:
    """Makes posters of the session's database, or of another address of it."""
    made: list[Poster] = []

    def make(*, url: str = database_url, options: str = CONNECTION_OPTIONS) -> Poster:
        made.append(Poster(url, options=options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def between(database_url: str) -> Iterator[Wire]:
    with wire(database_url) as between:
        yield between


@contextmanager
def wallet_held(database_url: str, holder: Holder) -> Iterator[Callable[[], None]]:
    """Somebody else holds the member's wallet; yields a wait until a poster stands in line for it."""
    with psycopg.connect(database_url) as theirs, psycopg.connect(database_url, autocommit=True) as watching:
        theirs.execute("SELECT FROM wallet WHERE member_id = %s FOR UPDATE", [holder.member_id])
        pid = theirs.info.backend_pid

        def wait_for_a_poster() -> None:
            blocked = "SELECT true FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
            eventually(lambda: watching.execute(blocked, [pid]).fetchone())

        yield wait_for_a_poster
        theirs.rollback()


def ask(poster: Poster, posting: Posting, *, patience_s: float) -> tuple[threading.Thread, list[object]]:
    """Post in a thread of its own; what came of it is in the list once the thread has ended."""
    said: list[object] = []

    def post() -> None:
        try:
            said.append(poster.post(posting, patience_s=patience_s))
        except Exception as error:
            said.append(error)

    thread = threading.Thread(target=post)
    thread.start()
    return thread, said


def test_a_row_that_stays_locked_is_given_up_with_nothing_moved(
    poster: Make, database_url: str, holder: Holder
) -> None:
    ours, posting = poster(), payment(holder, 100)
    with wallet_held(database_url, holder), pytest.raises(TemporarilyUnavailable):
        ours.post(posting, patience_s=60)
    assert _balance_yen(ours.post(posting)) == 900


def test_takings_that_stay_locked_stop_the_write_and_nothing_of_it_stays(
    poster: Make, database_url: str, holder: Holder
) -> None:
    """They are locked only after the decision: what was decided must be forgotten with them."""
    ours, posting = poster(), payment(holder, 100)
    with psycopg.connect(database_url) as theirs:
        theirs.execute("SELECT FROM account WHERE shop_id = %s FOR UPDATE", [holder.shop_id])
        with pytest.raises(TemporarilyUnavailable):
            ours.post(posting, patience_s=60)
        theirs.rollback()
    outcome = ours.post(posting)
    assert isinstance(outcome, Accepted)
    assert (outcome.hit, outcome.balance_yen) == (False, 900)
    assert verify(database_url)[1] == []


def test_while_a_sending_is_under_way_nobody_is_told_that_nothing_moved(
    poster: Make, database_url: str, holder: Holder
) -> None:
    """The first sending hangs in the database; its caller, and whoever sends the same again, hears the truth."""
    ours, posting = poster(options=PATIENT), payment(holder, 100)
    with wallet_held(database_url, holder) as wait_for_a_poster:
        first, said = ask(ours, posting, patience_s=1.0)
        wait_for_a_poster()
        with pytest.raises(RequestInProgress):
            ours.post(posting, patience_s=0.01)
        first.join()
        assert isinstance(said[0], OutcomeUnknown)
        with pytest.raises(RequestInProgress):
            ours.post(posting, patience_s=0.01)
        with pytest.raises(TemporarilyUnavailable):
            ours.post(payment(holder, 1), patience_s=0.01)
    again = ours.post(posting)
    assert isinstance(again, Accepted)
    assert (again.hit, again.balance_yen) == (True, 900)
    assert _balance_yen(ours.post(payment(holder, 1))) == 899, "what was withdrawn did not move"


def test_two_sendings_in_line_are_both_withdrawn_before_anybody_hears_that_nothing_moved(
    poster: Make, database_url: str, holder: Holder
) -> None:
    ours, posting = poster(options=PATIENT), payment(holder, 100)
    with wallet_held(database_url, holder) as wait_for_a_poster:
        held, _ = ask(ours, payment(holder, 1), patience_s=60)
        wait_for_a_poster()
        both = [ask(ours, posting, patience_s=0.2) for _ in range(2)]
        for thread, _ in both:
            thread.join()
    held.join()
    said = {type(outcome) for _, outcomes in both for outcome in outcomes}
    assert said <= {RequestInProgress, TemporarilyUnavailable}
    assert _balance_yen(ours.post(payment(holder, 1))) == 998, "neither of the two moved"


def test_a_commit_whose_reply_is_lost_is_found_again(poster: Make, between: Wire, holder: Holder) -> None:
    ours = poster(url=between.url)
    assert _balance_yen(ours.post(payment(holder, 1))) == 999
    between.lose_next_commit()
    outcome = ours.post(payment(holder, 100), patience_s=60)
    assert isinstance(outcome, Accepted)
    assert (outcome.hit, outcome.balance_yen) == (True, 899)


def test_where_it_cannot_be_found_again_the_outcome_is_unknown_until_it_can(
    poster: Make, between: Wire, holder: Holder
) -> None:
    ours, posting = poster(url=between.url), payment(holder, 100)
    assert _balance_yen(ours.post(payment(holder, 1))) == 999
    between.lose_next_commit(then_stay_away=True)
    with pytest.raises(OutcomeUnknown):
        ours.post(posting, patience_s=60)
    between.come_back()
    again = ours.post(posting, patience_s=60)
    assert isinstance(again, Accepted)
    assert (again.hit, again.balance_yen) == (True, 899)


def test_a_commit_still_under_way_is_not_said_to_have_moved_nothing(fresh_app: Flask, fresh_database: str) -> None:
    """The reply is lost while PostgreSQL still commits; the next try meets the locks of that very commit."""
    with fresh_app.app_context():
        holder = factories.holder(balance_yen=1_000)
    with psycopg.connect(fresh_database, autocommit=True) as admin, wire(fresh_database) as between:
        ours, posting = Poster(between.url), payment(holder, 100)
        assert _balance_yen(ours.post(payment(holder, 1))) == 999
        admin.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN PERFORM pg_sleep(4); RETURN NULL; END $$"
        )
        admin.execute(
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON request DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        between.lose_next_commit()
        with pytest.raises(OutcomeUnknown):
            ours.post(posting, patience_s=60)
        found = "SELECT true FROM request WHERE request_id = %s"
        eventually(lambda: admin.execute(found, [posting.request_id]).fetchone())
        again = ours.post(posting)
        assert isinstance(again, Accepted)
        assert (again.hit, again.balance_yen) == (True, 899)
        ours.close()


def test_a_database_that_was_never_reached_moved_nothing(poster: Make, between: Wire, holder: Holder) -> None:
    ours, posting = poster(url=between.url), payment(holder, 100)
    between.lose_next_commit(then_stay_away=True)
    with pytest.raises(OutcomeUnknown):
        ours.post(payment(holder, 1), patience_s=60)
    with pytest.raises(TemporarilyUnavailable):
        ours.post(posting, patience_s=60)
    between.come_back()
    outcome = ours.post(posting, patience_s=60)
    assert isinstance(outcome, Accepted)
    assert (outcome.hit, outcome.balance_yen) == (False, 899)


def test_a_poster_knows_monies_that_were_opened_after_its_start(app: Flask, poster: Make, holder: Holder) -> None:
    """Another process opened the money and took a payment of it; this one gives it back."""
    ours, theirs = poster(), poster()
    assert _balance_yen(ours.post(payment(holder, 1))) == 999
    with app.app_context():
        newer = factories.holder(balance_yen=500)
    paid = theirs.post(payment(newer, 200))
    assert isinstance(paid, Accepted)
    assert _balance_yen(ours.post(refund(paid.transaction_id))) == 500


def test_what_was_declined_at_the_door_stays_declined(poster: Make, holder: Holder) -> None:
    ours, posting = poster(), payment(holder, 100)
    first, again = ours.post(_declined(posting)), ours.post(_declined(posting))
    assert (first, again) == (
        Refused(code="card_unknown", detail={}),
        Refused(code="card_unknown", detail={}, hit=True),
    )
    late = ours.post(posting)
    assert late == again, "the card is registered by now, but this very request has its answer"


def test_what_was_paid_is_not_declined_any_more(poster: Make, holder: Holder) -> None:
    """The card expires between two sendings of one tap. Both posters get the same question at the same moment."""
    ours, theirs = poster(), poster()
    for _ in range(20):
        posting = payment(holder, 1)
        sent = [ask(ours, posting, patience_s=60), ask(theirs, _declined(posting), patience_s=60)]
        for thread, _ in sent:
            thread.join()
        first, second = (said[0] for _, said in sent)
        assert type(first) is type(second)
        assert ours.post(posting) == theirs.post(_declined(posting))


def test_payments_and_refunds_at_two_shops_through_two_posters_never_block_each_other(
    app: Flask, poster: Make, database_url: str
) -> None:
    """A refund locks takings before it is judged, a payment when it is written: in one order all the same.

    Every payment is of a member of its own, so that nothing but the takings of the two shops is shared.
    """
    with app.app_context():
        code = factories.money()
        shops = factories.shop(accepts=[code]), factories.shop(accepts=[code])
        holders = [
            Holder(current_issuer().id, factories.member(), code, shops[n % 2]) for n in range(2 * PAYMENTS_AT_ONCE)
        ]
        for holder in holders:
            factories.wallet(member_id=holder.member_id, money=code)
            factories.charge(member_id=holder.member_id, money=code, amount_yen=100)
    pair = poster(), poster()
    paid = [pair[n % 2].post(payment(holder, 10)) for n, holder in enumerate(holders[:PAYMENTS_AT_ONCE])]
    refunds = [refund(outcome.transaction_id) for outcome in paid if isinstance(outcome, Accepted)]
    payments = [payment(holder, 1) for holder in holders[PAYMENTS_AT_ONCE:]]
    sent = [
        ask(pair[n % 2], posting, patience_s=60)
        for n, posting in enumerate(posting for two in zip(refunds, payments, strict=True) for posting in two)
    ]
    for thread, _ in sent:
        thread.join()
    assert [said[0] for _, said in sent if not isinstance(said[0], Accepted)] == []
    assert verify(database_url)[1] == []


def _declined(posting: Posting) -> Declined:
    return Declined(
        requester=posting.requester,
        request_id=posting.request_id,
        params_hash=posting.params_hash,
        refused=Refused(code="card_unknown"),
    )


def _balance_yen(outcome: Outcome) -> int:
    assert isinstance(outcome, Accepted), outcome
    return outcome.balance_yen


def test_a_crowd_shares_a_commit_and_one_alone_does_not_wait(
    holder: Holder, poster: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an hour to wait for more: one alone is posted all the same; after a crowd the first waits for the next."""
    monkeypatch.setattr("app.wallet.poster.GATHER_S", 3_600)
    monkeypatch.setattr("app.wallet.poster.ENOUGH", 2)
    posting = poster()
    assert isinstance(posting.post(payment(holder, 1)), Accepted)
    assert isinstance(posting.post(payment(holder, 1)), Accepted)
    monkeypatch.setattr("app.wallet.poster.CROWD", 1)
    assert isinstance(posting.post(payment(holder, 1)), Accepted)  # alone still; whoever comes now finds a crowd
    answers: list[Outcome] = []
    first, second = (
        threading.Thread(target=lambda: answers.append(posting.post(payment(holder, 1), patience_s=60)))
        for _ in range(2)
    )
    first.start()
    eventually(lambda: (posting._undecided and posting._queue.empty()) or None)
    second.start()
    for thread in (first, second):
        thread.join()
    one, other = answers
    assert isinstance(one, Accepted)
    assert isinstance(other, Accepted)
    assert one.created_at == other.created_at
