"""Real `kumiai worker` processes against a real receiver: two of them, and one that is killed in the middle."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from app.settings import Settings
from tests.messaging.conftest import until, worker_process
from tests.wallet.webhooks.conftest import World, new_world
from tests.wallet.webhooks.receiver import Receiver
from tests.wallet.webhooks.test_order import by_subject

MEMBERS = 12


@pytest.fixture
def own_world(fresh_app: Flask, fresh_database: str, make_settings: Callable[[str], Settings]) -> World:
    """A database of its own: a worker process would work off everybody's."""
    return new_world(fresh_app, make_settings(fresh_database))


def pay_often(world: World, times: int) -> dict[str, list[str]]:
    """Payments of several members in turn; returns their ids by member, in order."""
    members = world.members(MEMBERS)
    for member_id in members:
        world.allow("history", member_id=member_id)
    paid: dict[str, list[str]] = {}
    for number in range(times):
        member_id = members[number % MEMBERS]
        paid.setdefault(str(member_id), []).append(str(world.pay(1, member_id=member_id).transaction_id))
    return paid


def nothing_waits(world: World) -> bool:
    return world.sql("SELECT 1 FROM webhook_delivery WHERE state = 'waiting'") == []


def test_two_workers_send_each_of_many_once_and_in_order(own_world: World, listening: Receiver, tmp_path: Path) -> None:
    logs = (tmp_path / "one", tmp_path / "two")
    own_world.service.listen(listening)
    with (
        worker_process(own_world.settings, log=logs[0]) as one,
        worker_process(own_world.settings, log=logs[1]) as two,
    ):
        until(lambda: all("waiting for webhooks" in log.read_text() for log in logs))
        paid = pay_often(own_world, 180)
        until(lambda: len(listening.taken) >= 180 and nothing_waits(own_world))
        for process in (one, two):
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert by_subject(listening.got) == paid, "none twice, none out of order"
    shares = [log.read_text().count(" kumiai.webhooks webhook ") for log in logs]
    assert sum(shares) == 180
    assert min(shares) > 0
    for log in logs:
        text = log.read_text()
        assert not any(member in text for member in paid)
        assert listening.url not in text
    assert own_world.sql("SELECT 1 FROM webhook_lane") == []


def test_killed_in_the_middle_everything_arrives_and_in_order(
    own_world: World, listening: Receiver, tmp_path: Path
) -> None:
    own_world.service.listen(listening)
    killed = 0
    with worker_process(own_world.settings, log=tmp_path / "first") as first:
        until(lambda: "waiting for webhooks" in (tmp_path / "first").read_text())
        paid = pay_often(own_world, 120)
        until(lambda: len(listening.taken) >= 10)
        listening.hold.clear()
        listening.holding.clear()
        until(listening.holding.is_set)
        first.kill()
        assert first.wait(10) == -signal.SIGKILL
        killed = len(listening.taken)
    listening.hold.set()
    assert killed < 120, "it was killed in the middle"
    own_world.time_passes()  # the leases it left run out
    with worker_process(own_world.settings, log=tmp_path / "second") as second:
        until(lambda: len({got.id for got in listening.taken}) == 120 and nothing_waits(own_world))
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
    arrived = by_subject(listening.taken)
    assert {key: list(dict.fromkeys(ids)) for key, ids in arrived.items()} == paid, "in order, none missing"
    twice = len(listening.taken) - 120
    assert 0 < twice <= 16, "only what was under way"
    for ids in arrived.values():
        assert ids == sorted(ids, key=list(dict.fromkeys(ids)).index), "and each next to its first time"


def test_sigterm_lets_it_finish_what_is_under_way(own_world: World, listening: Receiver, tmp_path: Path) -> None:
    endpoint = own_world.service.listen(listening)
    listening.hold.clear()
    own_world.pay()
    with worker_process(own_world.settings, log=tmp_path / "log") as process:
        until(listening.holding.is_set)
        process.send_signal(signal.SIGTERM)
        listening.hold.set()
        assert process.wait(20) == 0
    assert [each["state"] for each in own_world.service.deliveries(endpoint)] == ["delivered"]
