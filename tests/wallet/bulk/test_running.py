"""A job from its upload to its end: what moves, what is told, and that nothing moves twice."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from app.db import autocommit, session, transaction
from app.ids import new_id
from app.member import service as members
from app.messaging import maildir
from app.settings import Settings
from app.wallet.bulk.runner import SLICE, BulkRunner
from app.wallet.suspension import locked_status
from tests import factories
from tests.messaging.conftest import until
from tests.messaging.test_worker import deliver_all
from tests.wallet.bulk.conftest import Faculty, Office, csv_of, make_faculty, rows_of_ledger, service_token

pytestmark = pytest.mark.ledger


def test_a_faculty_gets_points_and_whoever_has_no_wallet_gets_one(app: Flask, office: Office, faculty: Faculty) -> None:
    rows = [
        (member, faculty.points, 500, "grant", "", "新入生歓迎", f"s{n}") for n, member in enumerate(faculty.members)
    ]
    job = office.examined(csv_of(rows))
    assert (job["state"], job["good_lines"], job["left_sum_yen"]) == ("examined", 3, 1500)
    assert job["sums"] == [{"money": faculty.points, "kind": "grant", "lines": 3, "sum_yen": 1500}]
    done = office.done(job)
    assert (done["state"], done["accepted_lines"], done["moved_yen"], done["left_sum_yen"]) == ("done", 3, 1500, 0)
    with app.app_context():
        assert [faculty.wallet_yen(member, faculty.points) for member in faculty.members] == [500, 500, 500]
        books = text(
            "SELECT book, posted_yen FROM account JOIN money ON money.id = money_id WHERE code = :c AND posted_yen < 0"
        )
        assert session().execute(books, {"c": faculty.points}).all() == [("points_granted", -1500)]
    assert [(line["reference"], line["state"], line["balance_yen"]) for line in office.results(job)] == [
        ("s0", "accepted", 500),
        ("s1", "accepted", 500),
        ("s2", "accepted", 500),
    ]


def test_grants_corrections_and_take_backs_go_through_their_books(app: Flask, office: Office, faculty: Faculty) -> None:
    member = faculty.members[0]
    job = office.done(
        office.examined(
            csv_of(
                [
                    (member, faculty.base, 1000, "grant", "", "奨学"),
                    (member, faculty.base, 300, "correction"),
                    (member, faculty.base, 100, "take_back", "", "二重付与の取消"),
                ]
            )
        )
    )
    assert job["accepted_lines"] == 3
    with app.app_context():
        assert faculty.wallet_yen(member, faculty.base) == 1200
        books = text(
            "SELECT book, posted_yen FROM account JOIN money ON money.id = money_id "
            "WHERE code = :c AND book IS NOT NULL AND posted_yen <> 0 ORDER BY book"
        )
        assert session().execute(books, {"c": faculty.base}).all() == [("corrected", -200), ("granted", -1000)]


def test_what_is_granted_until_a_day_lies_in_the_lot_of_that_day(app: Flask, office: Office, faculty: Faculty) -> None:
    member = faculty.members[1]
    office.done(office.examined(csv_of([(member, faculty.points, 50, "grant", "2030/3/31")])))
    with app.app_context():
        lots = text(
            "SELECT account.expires_on::text, posted_yen FROM account JOIN wallet w ON w.id = wallet_id "
            "WHERE member_id = :m AND posted_yen > 0"
        )
        assert session().execute(lots, {"m": member}).all() == [("2030-03-31", 50)]


def test_nothing_starts_that_was_not_understood(office: Office, faculty: Faculty) -> None:
    member = faculty.members[0]
    rows = [(member, faculty.points, 500, "grant"), (member, faculty.points, "many", "grant")]
    uploaded = office.upload(csv_of(rows)).json
    assert uploaded["state"] == "examining"
    assert office.start(uploaded).json["code"] == "bulk_state_wrong"
    while office.runner.work():
        pass
    job = office.job(uploaded["id"])
    assert (job["bad_lines"], job["left_sum_yen"]) == (1, 500)
    refused = office.start(job)
    assert (refused.status_code, refused.json["code"], refused.json["bad_lines"]) == (409, "bulk_has_bad_lines", 1)
    refused = office.start(job, skip_bad_lines=True, expected_sum_yen=501)
    assert (refused.status_code, refused.json["code"], refused.json["sum_yen"]) == (409, "bulk_sum_differs", 500)
    done = office.done(job, skip_bad_lines=True)
    assert (done["state"], done["accepted_lines"], done["bad_lines"]) == ("done", 1, 1)
    assert [line["state"] for line in office.results(job)] == ["accepted", "bad"]
    assert office.start(done).json["code"] == "bulk_state_wrong"


def test_the_same_file_is_run_twice_only_when_that_is_said(app: Flask, office: Office, faculty: Faculty) -> None:
    content = csv_of([(faculty.members[0], faculty.points, 500, "grant")])
    first, second = office.examined(content), office.examined(content)
    assert first["id"] != second["id"]
    assert second["same_file_started_at"] is None
    office.done(first)
    assert office.job(second["id"])["same_file_started_at"] is not None
    assert office.start(second).json["code"] == "bulk_same_file"
    assert office.done(second, same_file=True)["accepted_lines"] == 1
    with app.app_context():
        assert faculty.wallet_yen(faculty.members[0], faculty.points) == 1000


def test_an_upload_sent_twice_is_one_job(office: Office, faculty: Faculty) -> None:
    content = csv_of([(faculty.members[0], faculty.points, 500, "grant")])
    first = office.upload(content, key="grants-1")
    again = office.upload(content, key="grants-1")
    assert (again.status_code, again.json["id"], again.headers["Idempotency-Hit"]) == (201, first.json["id"], "true")
    other = office.upload(content + "\r\n", key="grants-1")
    assert (other.status_code, other.json["code"]) == (409, "request_id_conflict")


def test_refusals_of_the_ledger_are_results_of_their_lines(app: Flask, office: Office) -> None:
    with app.app_context():
        faculty = make_faculty(5, ceiling_yen=1_000)
        closed, full, suspended, _, gone = faculty.members
        for member in (closed, full, suspended):
            factories.wallet(member_id=member, money=faculty.points)
    job = office.examined(csv_of([(member, faculty.points, 600, "grant") for member in faculty.members]))
    rival = office.examined(csv_of([(full, faculty.points, 601, "grant")]))
    empty = office.examined(csv_of([(suspended, faculty.points, 700, "take_back")]))
    assert (job["bad_lines"], rival["bad_lines"], empty["bad_lines"]) == (0, 0, 0)
    office.done(rival)
    with app.app_context(), transaction() as open_session:
        open_session.execute(text("UPDATE wallet SET status = 'closed' WHERE member_id = :m"), {"m": closed})
        open_session.execute(text("UPDATE wallet SET status = 'suspended' WHERE member_id = :m"), {"m": suspended})
        open_session.execute(text("UPDATE member SET status = 'closed' WHERE id = :m"), {"m": gone})
    assert office.done(job)["state"] == "done"
    assert [(line["state"], line["code"]) for line in office.results(job)] == [
        ("refused", "wallet_closed"),
        ("refused", "wallet_ceiling_exceeded"),
        ("accepted", None),  # what is granted reaches a suspended wallet; it only cannot be spent
        ("accepted", None),
        ("refused", "wallet_closed"),
    ]
    office.done(empty)
    (line,) = office.results(empty)
    assert (line["code"], line["reason"]) == ("insufficient_balance", "残高が足りません")


def test_who_is_being_closed_gets_no_wallet(app: Flask, office: Office, faculty: Faculty) -> None:
    closing = faculty.members[1]
    job = office.examined(csv_of([[member, faculty.points, 50, "grant"] for member in faculty.members]))
    with app.app_context(), ThreadPoolExecutor(1) as pool:
        with transaction():
            locked_status(closing)  # as app/wallet/closing.py ends an account: all its wallets are closed by now
            members.close(closing)
            done = pool.submit(office.done, job)
            until(lambda: done.done() or _waits_for_a_row())
        assert [line["state"] for line in office.results(done.result(30))] == ["accepted", "refused", "accepted"]
        assert [faculty.wallet_yen(member, faculty.points) for member in faculty.members] == [50, None, 50]


def _waits_for_a_row() -> bool:
    mine = "datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO wallet%'"
    with autocommit().connect() as connection:
        return bool(connection.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {mine}")))


def test_a_stopped_job_goes_on_where_it_was(app: Flask, office: Office) -> None:
    with app.app_context():
        faculty = make_faculty(1)
    count = 2 * SLICE + 7
    job = office.examined(csv_of([(faculty.members[0], faculty.points, 1, "grant") for _ in range(count)]))
    office.start(job)
    assert office.runner.work()
    stopped = office.call("POST", f"/{job['id']}/stop")
    assert (stopped.status_code, stopped.json["state"]) == (200, "stopped")
    while office.runner.work():
        pass
    job = office.job(job["id"])
    assert (job["state"], job["accepted_lines"], job["left_sum_yen"]) == ("stopped", SLICE, count - SLICE)
    assert office.start({**job, "left_sum_yen": count}).json["code"] == "bulk_sum_differs"
    done = office.done(job)
    assert (done["state"], done["accepted_lines"]) == ("done", count)
    with app.app_context():
        assert faculty.wallet_yen(faculty.members[0], faculty.points) == count
        assert set(rows_of_ledger(job["id"]).values()) == {1}
    assert office.call("POST", f"/{job['id']}/stop").json["code"] == "bulk_state_wrong"


def test_a_worker_that_lost_its_lease_and_its_memory_doubles_nothing(app: Flask, office: Office) -> None:
    """The slice was posted, and nobody remembered: another worker posts it again, and the first one marks it, too."""
    with app.app_context():
        faculty = make_faculty(1)
    count = SLICE + 3
    job = office.examined(csv_of([(faculty.members[0], faculty.points, 1, "grant") for _ in range(count)]))
    office.start(job)
    office.runner.work()  # posted, and not yet marked
    assert office.job(job["id"])["done_lines"] == 0
    with app.app_context(), transaction() as open_session:
        open_session.execute(text("UPDATE bulk_job SET due_at = now() WHERE id = :j"), {"j": UUID(job["id"])})
    other = BulkRunner(app, rest=0)
    while other.work():
        pass
    while office.runner.work():
        pass
    done = office.job(job["id"])
    assert (done["state"], done["accepted_lines"], done["moved_yen"]) == ("done", count, count)
    with app.app_context():
        assert faculty.wallet_yen(faculty.members[0], faculty.points) == count


def test_what_became_of_a_line_is_told_once(app: Flask, office: Office, faculty: Faculty) -> None:
    job = office.done(office.examined(csv_of([(faculty.members[0], faculty.points, 5, "grant")])))
    with app.app_context(), pytest.raises(Exception, match="told once"), transaction() as open_session:
        open_session.execute(
            text("UPDATE bulk_row SET state = 'waiting', transaction_id = NULL WHERE job_id = :j"),
            {"j": UUID(job["id"])},
        )


def test_the_result_file_opens_in_a_spreadsheet_and_runs_nothing(office: Office, faculty: Faculty) -> None:
    member = faculty.members[0]
    bad = ["=1+1", "＝cmd", "+1", "-1", "@SUM(A1)", "plain"]
    rows = [(member, faculty.points, 1, "grant", "", word, f"r{n}") for n, word in enumerate(bad)]
    job = office.done(office.examined(csv_of(rows)))
    answer = office.call("GET", f"/{job['id']}/results")
    assert answer.data.startswith(b"\xef\xbb\xbf")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].endswith('.csv"')
    lines = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert [line["description"] for line in lines] == [*(f"'{word}" for word in bad[:-1]), "plain"]
    assert [line["amount_yen"] for line in lines] == ["1"] * 6


def test_another_client_sees_nothing_of_it(app: Flask, office: Office, faculty: Faculty) -> None:
    job = office.examined(csv_of([(faculty.members[0], faculty.points, 5, "grant")]))
    with app.app_context():
        other = replace(office, token=service_token())
    for path in ("", "/problems", "/results"):
        assert other.call("GET", f"/{job['id']}{path}").status_code == 404
    assert other.start(job).status_code == 404
    assert other.call("POST", f"/{job['id']}/stop").status_code == 404
    assert office.call("GET", f"/{new_id()}").status_code == 404


@pytest.mark.parametrize("profile", ["till", "web"])
def test_only_a_service_can_have_the_scope(app: Flask, profile: str) -> None:
    from app.oauth.client_rules import scopes_for

    assert "bulk" not in scopes_for(profile)
    assert "bulk" in scopes_for("service")


def test_whoever_wants_to_know_is_mailed_once(app: Flask, office: Office, faculty: Faculty, settings: Settings) -> None:
    job = office.examined(csv_of([(faculty.members[0], faculty.points, 500, "grant")]))
    assert office.start(job, notify="no address").json["errors"].keys() == {"notify"}
    office.done(job, notify="office@coop.example")
    with app.app_context():
        assert session().scalar(text("SELECT notify FROM bulk_job WHERE id = :j"), {"j": UUID(job["id"])}) is None
    deliver_all(settings)
    mails = [kept for kept in maildir.read(Path(settings.mail_url.removeprefix("maildir:"))) if job["id"] in kept.text]
    assert [kept.to for kept in mails] == ["office@coop.example"]
    assert "¥500" in mails[0].text


def test_json_lines_do_the_same(office: Office, faculty: Faculty) -> None:
    rows: list[dict[str, Any]] = [
        {"member": str(faculty.members[0]), "money": faculty.points, "amount_yen": 500, "kind": "grant"},
        {"member": str(faculty.members[1]), "money": faculty.points, "amount_yen": "1,500", "kind": "付与"},
    ]
    content = "\n".join(json.dumps(row) for row in rows)
    job = office.done(office.examined(content, kind="application/x-ndjson"))
    assert (job["format"], job["accepted_lines"], job["moved_yen"]) == ("jsonl", 2, 2000)


def test_a_line_is_found_by_its_request(app: Flask, office: Office, faculty: Faculty) -> None:
    job = office.done(office.examined(csv_of([(faculty.members[0], faculty.points, 500, "grant")])))
    answer = office.http.get(
        f"/v1/transactions/by-request/bulk:{job['id']}:2", headers={"Authorization": f"Bearer {office.token}"}
    )
    assert answer.json["transaction"]["metadata"] == {"bulk_job": job["id"], "reference": "2"}
