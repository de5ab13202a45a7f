"""Jobs that nobody wants any more: discarded, or forgotten in time. What moved stays in the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from app.db import database_url, transaction
from app.wallet.bulk import purge, upload
from app.wallet.bulk.models import KEPT
from app.wallet.bulk.runner import SLICE
from tests.wallet.api.caller import refusal
from tests.wallet.bulk.conftest import Faculty, Office, csv_of, make_faculty, service_token

pytestmark = pytest.mark.ledger


def grants(faculty: Faculty) -> str:
    return csv_of([(member, faculty.points, 500, "grant", "", "", "") for member in faculty.members])


def rows_of(app: Flask, job: dict[str, Any]) -> int:
    with app.app_context(), transaction() as session:
        return int(session.scalar(text("SELECT count(*) FROM bulk_row WHERE job_id = :id"), {"id": job["id"]}) or 0)


def long_ago(app: Flask, job: dict[str, Any], *, column: str) -> None:
    """As if so much time had passed that its lines are forgotten, and the worker tidied up."""
    with app.app_context(), transaction() as session:
        session.execute(
            text(f"UPDATE bulk_job SET {column} = now() - CAST(:age AS interval) WHERE id = :id"),
            {"age": KEPT + timedelta(minutes=1), "id": job["id"]},
        )
    with app.app_context(), psycopg.connect(database_url(), autocommit=True) as connection:
        purge.tidy(connection)


def test_what_never_started_is_gone_and_its_name_is_free(app: Flask, office: Office, faculty: Faculty) -> None:
    job = office.examined(grants(faculty), key="once-only-key")
    assert office.call("DELETE", f"/{job['id']}").status_code == 204
    assert office.call("GET", f"/{job['id']}").status_code == 404
    assert office.call("DELETE", f"/{job['id']}").status_code == 404
    assert rows_of(app, job) == 0
    again = office.examined(grants(faculty), key="once-only-key")
    assert again["id"] != job["id"]
    assert office.done(again)["moved_yen"] == 1_500


def test_one_that_is_being_examined_is_gone_and_the_worker_goes_on(office: Office, faculty: Faculty) -> None:
    uploaded = office.upload(grants(faculty)).get_json()
    assert office.call("DELETE", f"/{uploaded['id']}").status_code == 204
    while office.runner.work():
        pass
    assert office.examined(grants(faculty))["state"] == "examined"


def test_discarding_makes_room_for_other_jobs(
    office: Office, faculty: Faculty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MAX_OPEN_JOBS", 1)
    job = office.examined(grants(faculty))
    assert refusal(office.upload(grants(faculty))) == (429, "bulk_too_many_jobs")
    office.call("DELETE", f"/{job['id']}")
    other = office.upload(grants(faculty))
    assert other.status_code == 201
    office.call("DELETE", f"/{other.get_json()['id']}")


def test_one_that_started_is_not_discarded(app: Flask, office: Office) -> None:
    """Neither while it runs, nor stopped, nor done: what it moved must be told."""
    with app.app_context():
        faculty = make_faculty(1)
    member = faculty.members[0]
    job = office.examined(csv_of([(member, faculty.points, 1, "grant", "", "", "")] * (SLICE + 5)))
    office.start(job)
    assert refusal(office.call("DELETE", f"/{job['id']}")) == (409, "bulk_state_wrong")
    office.call("POST", f"/{job['id']}/stop")
    assert refusal(office.call("DELETE", f"/{job['id']}")) == (409, "bulk_state_wrong")
    over = office.done(office.job(job["id"]))
    assert refusal(office.call("DELETE", f"/{job['id']}")) == (409, "bulk_state_wrong")
    assert (over["moved_yen"], over["results_until"] > over["finished_at"]) == (SLICE + 5, True)
    assert len(office.results(job)) == SLICE + 5


def test_another_clients_job_is_not_discarded(app: Flask, office: Office, faculty: Faculty) -> None:
    job, mine = office.examined(grants(faculty)), office.token
    with app.app_context():
        office.token = service_token()
    assert office.call("DELETE", f"/{job['id']}").status_code == 404
    office.token = mine
    assert office.job(job["id"])["state"] == "examined"


def test_the_lines_of_what_is_done_are_forgotten_in_time(app: Flask, office: Office, faculty: Faculty) -> None:
    job = office.done(office.examined(grants(faculty)))
    assert len(office.results(job)) == 3
    long_ago(app, job, column="finished_at")
    assert rows_of(app, job) == 0
    assert refusal(office.call("GET", f"/{job['id']}/results")) == (410, "bulk_results_gone")
    assert office.job(job["id"])["moved_yen"] == 1_500
    again = office.examined(grants(faculty))
    assert refusal(office.call("POST", f"/{again['id']}/start", json={"expected_sum_yen": 1_500})) == (
        409,
        "bulk_same_file",
    ), "that this file was run is not forgotten"


def test_a_job_that_nobody_starts_is_forgotten_in_time(app: Flask, office: Office, faculty: Faculty) -> None:
    old, new = office.examined(grants(faculty)), office.examined(grants(faculty))
    long_ago(app, old, column="created_at")
    assert office.call("GET", f"/{old['id']}").status_code == 404
    assert (rows_of(app, old), rows_of(app, new)) == (0, 3)
