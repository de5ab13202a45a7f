"""In order per member and endpoint, each at least once, whatever the receiver answers, and others go on meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db import transaction
from app.oauth import grants_service
from app.wallet.spend_control import GrantControls
from app.wallet.webhooks import delivery, feed, lanes, sender
from app.wallet.webhooks.sender import Sender
from tests.live import eventually
from tests.wallet.webhooks.conftest import World
from tests.wallet.webhooks.receiver import Got, Receiver, receiver

MEMBERS = 3


def by_subject(got: list[Got]) -> dict[str, list[str]]:
    """The transactions that arrived, by member, in the order they did."""
    found: dict[str, list[str]] = defaultdict(list)
    for each in got:
        found[each.data["member_id"]].append(each.data["id"])
    return dict(found)


class Run:
    """A world whose members' payments are heard by one endpoint, and what the worker does, lanes side by side."""

    def __init__(self, world: World, listening: Receiver) -> None:
        self.world = world
        self.listening = listening
        self.members = world.members(MEMBERS, balance_yen=1_000_000)
        for member_id in self.members:
            world.allow("history", member_id=member_id)
        self.endpoint = world.service.listen(listening)
        self.paid: dict[str, list[str]] = defaultdict(list)

    def forget(self) -> None:
        self.listening.got.clear()
        self.paid = defaultdict(list)

    def pay(self, member: int) -> None:
        member_id = self.members[member]
        outcome = self.world.pay(1, member_id=member_id)
        self.paid[str(member_id)].append(str(outcome.transaction_id))

    def work(self, *, times: int = 1) -> None:
        """Feed, and send what is due, every lane at once, `times` of each."""
        self.world.feed()
        with psycopg.connect(self.world.settings.database_url, autocommit=True) as connection:
            for _ in range(times):
                taken: list[lanes.Lane] = []
                while found := lanes.lease(connection, room=16, busy=[]):
                    taken += found
                with ThreadPoolExecutor(8) as pool:
                    list(pool.map(self.deliver, taken))

    def deliver(self, lane: lanes.Lane) -> None:
        sender.deliver(self.world.app, lane, settings=self.world.settings)

    def work_until_nothing_waits(self) -> None:
        while self.world.feed() or self.world.sql("SELECT 1 FROM webhook_lane"):
            self.world.time_passes()
            self.work()


@pytest.fixture
def run(world: World, listening: Receiver) -> Run:
    return Run(world, listening)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.integers(0, MEMBERS - 1)),
        st.tuples(st.just("work"), st.integers(1, 3)),
        st.tuples(st.just("time"), st.just(0)),
    ),
    max_size=20,
)
ANSWERS = st.lists(st.sampled_from([204, 200, 500, 429, 404, 503]), max_size=12)


@given(steps=STEPS, answers=ANSWERS)
@settings(max_examples=20, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_overtakes_and_nothing_is_lost(run: Run, steps: list[tuple[str, int]], answers: list[int]) -> None:
    """The members' payments are answered whatever comes, then taken; every prefix of what was taken is in order."""
    run.forget()
    waiting = list(answers)
    run.listening.answer = lambda _: waiting.pop() if waiting else 204
    for what, number in steps:
        match what:
            case "pay":
                run.pay(number)
            case "work":
                run.work(times=number)
            case "time":
                run.world.time_passes()
    run.work_until_nothing_waits()
    assert by_subject(run.listening.taken) == dict(run.paid)
    for tried in by_subject(run.listening.got).values():  # tries too: one is repeated until it is taken
        assert tried == sorted(tried, key=list(dict.fromkeys(tried)).index)


def test_a_later_event_waits_for_an_earlier_one_and_other_members_do_not(run: Run) -> None:
    run.forget()
    bad = str(run.members[0])
    run.listening.answer = lambda body: 500 if body["data"]["member_id"] == bad else 204
    for member in (0, 1, 0, 2, 1):
        run.pay(member)
    run.work(times=5)
    assert by_subject(run.listening.taken) == {key: ids for key, ids in run.paid.items() if key != bad}
    assert by_subject(run.listening.got)[bad] == run.paid[bad][:1], "the second was not even tried"
    run.listening.answer = lambda _: 204
    run.world.time_passes()
    run.work(times=5)
    assert by_subject(run.listening.taken) == run.paid


def test_another_endpoint_does_not_wait_for_it(run: Run) -> None:
    run.forget()
    with receiver() as other:
        run.world.service.listen(other, path="/other")
        run.listening.answer = lambda _: 500
        for member in (0, 0, 1):
            run.pay(member)
        run.work(times=5)
        assert by_subject(other.taken) == run.paid
        assert run.listening.taken == []


class TestTheFeed:
    def test_one_that_dies_in_the_middle_neither_loses_nor_doubles(self, run: Run) -> None:
        run.forget()
        for _ in range(3):
            run.pay(0)
        with run.world.app.app_context(), pytest.raises(ZeroDivisionError), transaction():
            assert feed.fan_out() >= 3
            raise ZeroDivisionError
        run.work_until_nothing_waits()
        assert by_subject(run.listening.taken) == run.paid

    def test_one_at_a_time_and_the_others_go_on(self, run: Run) -> None:
        run.pay(0)
        with run.world.app.app_context(), transaction():
            assert feed.fan_out() >= 1
            with ThreadPoolExecutor(1) as other:
                assert other.submit(run.world.feed).result(timeout=5) == 0, "the other holds the cursor"
        assert run.world.feed() == 0
        run.work()

    def test_many_at_once_while_payments_go_on(self, run: Run) -> None:
        run.forget()
        begin = Barrier(4)
        done: list[int] = []

        def feeding() -> None:
            begin.wait()
            while not done:
                with run.world.app.app_context(), transaction():
                    feed.fan_out(batch=3)

        threads = [Thread(target=feeding) for _ in range(3)]
        for thread in threads:
            thread.start()
        begin.wait()
        for number in range(30):
            run.pay(number % MEMBERS)
        done.append(1)
        for thread in threads:
            thread.join()
        run.work_until_nothing_waits()
        assert by_subject(run.listening.taken) == run.paid

    def test_a_failure_of_its_own_stops_no_delivery(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        run.forget()
        run.pay(0)
        run.world.feed()
        monkeypatch.setattr(feed, "_transactions", lambda *_: 1 / 0)
        with sending(run.world) as worker:
            eventually(lambda: len(run.listening.taken) == 1 or None)
            assert not worker._stopping

    def test_in_small_pieces_events_keep_their_place(self, run: Run) -> None:
        run.forget()
        run.pay(0)
        run.work_until_nothing_waits()
        endpoint = run.endpoint
        run.world.service.call("PATCH", f"/{endpoint}", json={"events": ["payment.created", "grant.revoked"]})
        run.forget()
        kinds = []
        for _ in range(3):
            for _ in range(3):
                run.pay(0)
                kinds.append("payment.created")
            with run.world.app.app_context(), transaction():
                grants_service.revoke_all(run.members[0], controls=GrantControls())
            run.world.allow("history", member_id=run.members[0])
            kinds.append("grant.revoked")
        for batch in (2, 1, 1, 3, 1, 2, 1, 4, 1, 1, 1):
            with run.world.app.app_context(), transaction():
                feed.fan_out(batch=batch)
        run.work_until_nothing_waits()
        assert [got.body["type"] for got in run.listening.taken] == kinds


@contextmanager
def sending(world: World) -> Iterator[Sender]:
    """The worker itself, in a thread."""
    worker = Sender(world.app, world.settings)
    thread = Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join()


def test_a_slow_receiver_holds_up_nobody_else(run: Run) -> None:
    run.forget()
    slow = run.listening
    slow.hold.clear()
    members = run.members + run.world.members(25)
    for member_id in members[MEMBERS:]:
        run.world.allow("history", member_id=member_id)
    with receiver() as quick, sending(run.world):
        run.world.service.listen(quick, path="/quick")
        for member_id in members:
            run.world.pay(1, member_id=member_id)
        eventually(lambda: len(quick.taken) == len(members) or None)
        assert slow.taken == []
        assert slow.most_at_once <= 2
        slow.hold.set()
        eventually(lambda: len(slow.taken) == len(members) or None)
    assert len(quick.taken) == len(members)
    assert set(by_subject(slow.taken)) == set(map(str, members))


def test_a_quick_one_gets_many_at_once(run: Run) -> None:
    run.forget()
    members = run.members + run.world.members(37)
    run.listening.delay_s = 0.02
    for member_id in members:
        run.world.pay(1, member_id=member_id)
    with sending(run.world):
        eventually(lambda: len(run.listening.taken) == len(members) or None)
    assert run.listening.most_at_once > 3


def test_what_is_under_way_is_not_taken_a_second_time(run: Run) -> None:
    """Neither by "send it now", nor by an endpoint that is stopped and goes on."""
    run.forget()
    run.pay(0)
    run.world.feed()
    service = run.world.service
    with psycopg.connect(run.world.settings.database_url, autocommit=True) as connection:
        (lane,) = lanes.lease(connection, room=16, busy=[])
    (waiting,) = service.deliveries(run.endpoint)
    assert service.call("POST", f"/{run.endpoint}/deliveries/{waiting['id']}/resend").status_code == 202
    for status in ("disabled", "active"):
        service.call("PATCH", f"/{run.endpoint}", json={"status": status})
    assert run.world.work() == 0
    run.deliver(lane)
    assert run.world.work() == 0
    assert by_subject(run.listening.taken) == run.paid


def test_a_worker_that_outlived_its_lease_changes_nothing(run: Run) -> None:
    """What it sent was sent twice; what it says of it comes too late."""
    run.forget()
    run.pay(0)
    run.pay(0)
    run.world.feed()
    with psycopg.connect(run.world.settings.database_url, autocommit=True) as connection:
        (late,) = lanes.lease(connection, room=1, busy=[])
        with run.world.app.app_context(), transaction():
            parcel: Any = delivery.take(late)
        result = delivery.send(parcel, settings=run.world.settings)
        run.world.time_passes()
        run.work()  # another takes over
        with run.world.app.app_context(), transaction():
            delivery.record(parcel, result)
    logged = run.world.service.log(run.endpoint, str(parcel.id))
    assert len(logged["attempts"]) == 1
    run.work()
    ids = run.paid[str(UUID(str(run.members[0])))]
    assert [got.data["id"] for got in run.listening.taken] == [ids[0], ids[0], ids[1]]
