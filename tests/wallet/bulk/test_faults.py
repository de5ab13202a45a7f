"""Real worker processes that are killed, two at once, PostgreSQL restarted in the middle: every line exactly once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from flask import Flask
from sqlalchemy import text

from app.db import database_url, dispose, session, transaction
from app.embedded import EmbeddedPostgres
from app.migrate import upgrade
from app.settings import Settings
from app.wallet import ledger
from app.wallet.verify import verify
from tests import factories, live
from tests.folders import data_folder
from tests.wallet.bulk.conftest import Faculty, Office, csv_of, make_faculty, rows_of_ledger, service_token

pytestmark = pytest.mark.ledger

LINES = 1_500
WORKER = [
    sys.executable,
    "-c",
    "import signal, sys; from app.factory import create_app; from app.settings import Settings;"
    "from app.wallet.bulk.runner import BulkRunner; runner = BulkRunner(create_app(Settings.from_env()), rest=0);"
    "signal.signal(signal.SIGTERM, lambda *_: runner.stop()); runner.run()",
]


@contextmanager
def workers(settings: Settings, count: int, *, log: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    env = {**live.server_env(settings), "KUMIAI_ENV": "development"}
    with ExitStack() as stack:
        yield [stack.enter_context(live.process(WORKER, env=env, log=log)) for _ in range(count)]


def prepared(app: Flask) -> tuple[Office, Faculty, dict[str, Any]]:
    """A started job in which every member of a faculty is granted one yen again and again."""
    from app.wallet.bulk.runner import BulkRunner

    with app.app_context():
        faculty = make_faculty(10)
        office = Office(app.test_client(), service_token(), BulkRunner(app, rest=0))
    rows = [(faculty.members[n % 10], faculty.points, 1, "grant") for n in range(LINES)]
    job = office.examined(csv_of(rows))
    assert office.start(job).status_code == 200
    return office, faculty, job


def done_lines(office: Office, job: dict[str, Any], at_least: int) -> Callable[[], int | None]:
    def look() -> int | None:
        answer = office.call("GET", f"/{job['id']}")  # 503 while PostgreSQL is away
        count: int = answer.json.get("done_lines", 0)
        return count if count >= at_least else None

    return look


def lease_has_run_out(app: Flask, job: dict[str, Any]) -> None:
    """As if the ten seconds after a worker's death had passed."""
    with app.app_context(), transaction() as open_session:
        open_session.execute(text("UPDATE bulk_job SET due_at = now() WHERE id = :j"), {"j": UUID(job["id"])})


def assert_every_line_once(app: Flask, office: Office, faculty: Faculty, job: dict[str, Any]) -> None:
    done = office.job(job["id"])
    assert (done["state"], done["refused_lines"]) == ("done", 0)
    assert (done["accepted_lines"], done["moved_yen"]) == (LINES, LINES)
    with app.app_context():
        moved = rows_of_ledger(job["id"])
        assert moved == {f"bulk:{job['id']}:{line}": 1 for line in range(2, LINES + 2)}
        assert [faculty.wallet_yen(member, faculty.points) for member in faculty.members] == [LINES // 10] * 10
        assert verify(database_url())[1] == []
        session().rollback()
    assert [line["state"] for line in office.results(job)] == ["accepted"] * LINES


def test_workers_killed_in_the_middle_of_it(fresh_app: Flask, settings: Settings, tmp_path: Path) -> None:
    office, faculty, job = prepared(fresh_app)
    mine: Settings = fresh_app.extensions["kumiai.settings"]
    for at_least in (100, 500, 900):
        with workers(mine, 1, log=tmp_path / "worker.log") as (worker,):
            live.eventually(done_lines(office, job, at_least))
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        assert office.job(job["id"])["state"] == "running"
        lease_has_run_out(fresh_app, job)
    with workers(mine, 1, log=tmp_path / "worker.log"):
        live.eventually(done_lines(office, job, LINES))
        live.eventually(lambda: office.job(job["id"])["finished_at"])
    assert_every_line_once(fresh_app, office, faculty, job)


def test_two_workers_at_once_even_on_one_job(fresh_app: Flask, tmp_path: Path) -> None:
    office, faculty, job = prepared(fresh_app)
    with workers(fresh_app.extensions["kumiai.settings"], 2, log=tmp_path / "worker.log"):
        for at_least in (100, 300, 500, 700):
            live.eventually(done_lines(office, job, at_least))
            lease_has_run_out(fresh_app, job)  # the other takes it while the first still posts
        live.eventually(lambda: office.job(job["id"])["finished_at"])
    assert_every_line_once(fresh_app, office, faculty, job)


def test_a_worker_told_to_stop_leaves_the_rest_to_the_next(fresh_app: Flask, tmp_path: Path) -> None:
    office, faculty, job = prepared(fresh_app)
    mine: Settings = fresh_app.extensions["kumiai.settings"]
    with workers(mine, 1, log=tmp_path / "worker.log") as (worker,):
        live.eventually(done_lines(office, job, 100))
        worker.terminate()
        assert worker.wait() == 0
    with workers(mine, 1, log=tmp_path / "worker.log"):  # at once: the lease was given back
        live.eventually(lambda: office.job(job["id"])["finished_at"])
    assert_every_line_once(fresh_app, office, faculty, job)


def start_again(postgres: EmbeddedPostgres) -> bool | None:
    try:
        postgres.start_again()
    except subprocess.SubprocessError:  # processes of the killed one still linger
        return None
    return True


def test_postgresql_killed_in_the_middle_of_it(
    tmp_path: Path, make_settings: Callable[[str], Settings], new_app: Callable[[Settings], Flask]
) -> None:
    with data_folder() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        url = postgres.url("postgres")
        upgrade(url)
        app = new_app(make_settings(url))
        with app.app_context():
            factories.issuer()
        office, faculty, job = prepared(app)
        with workers(app.extensions["kumiai.settings"], 1, log=tmp_path / "worker.log"):
            live.eventually(done_lines(office, job, 200))
            killed = psutil.Process(postgres.pid)
            killed.kill()
            killed.wait(30)
            live.eventually(lambda: start_again(postgres))
            live.eventually(done_lines(office, job, LINES))
            live.eventually(lambda: office.job(job["id"])["finished_at"])
        with app.app_context():
            dispose()  # of the connections that were lost
        assert_every_line_once(app, office, faculty, job)
        ledger.close()
