"""Word that a job is done, and that a member's wallets were stopped, goes out by webhook to whom it concerns."""

from __future__ import annotations

from app.db import transaction
from app.wallet import suspension
from app.wallet.bulk.runner import BulkRunner
from tests import factories
from tests.wallet.bulk.conftest import Office, csv_of, make_faculty
from tests.wallet.webhooks.conftest import World, listening, new_service, world  # noqa: F401  # fixtures
from tests.wallet.webhooks.receiver import Receiver


def test_the_program_hears_that_its_job_is_done(world: World, listening: Receiver) -> None:  # noqa: F811
    mine, other = (new_service(world.app, scopes=("webhook", "bulk")) for _ in range(2))
    for service in (mine, other):
        service.listen(listening, events=["bulk.done"], path=f"/{service.id}")
    with world.app.app_context():
        faculty = make_faculty(2)
        token = factories.access_token(member_id=None, client_id=mine.id, scopes=["bulk"])
    office = Office(world.app.test_client(), token, BulkRunner(world.app, rest=0))
    job = office.examined(csv_of([(member, faculty.points, 500, "grant") for member in faculty.members]))
    office.done(job)
    world.work()
    [got] = listening.got
    assert got.path == f"/{mine.id}"
    assert got.body["type"] == "bulk.done"
    assert got.body["data"] == {
        "job_id": job["id"],
        "lines": 2,
        "accepted_lines": 2,
        "refused_lines": 0,
        "moved_yen": 1_000,
    }


def test_who_reads_balances_hears_of_a_stop_and_of_its_end(world: World, listening: Receiver) -> None:  # noqa: F811
    world.service.listen(listening, events=["wallet.suspended", "wallet.resumed"])
    world.allow("balance")
    member_id = world.holder.member_id
    with world.app.app_context(), transaction():
        suspension.suspend(member_id, actor="test")
    world.work()
    with world.app.app_context(), transaction():
        suspension.suspend(member_id, actor="test")  # again: nothing new
    with world.app.app_context(), transaction():
        suspension.resume(member_id, actor="office", reason="found")
    world.work()
    heard = [(got.body["type"], got.body["data"]["money"]["code"]) for got in listening.got]
    assert heard == [("wallet.suspended", world.holder.money), ("wallet.resumed", world.holder.money)]
