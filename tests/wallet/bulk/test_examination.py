"""What the examination finds in a file that could be read: every bad line, with its number and the reason."""

from __future__ import annotations

import io
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from app.db import transaction
from app.ids import new_id
from app.issuer import issuer_today
from app.settings import Settings
from app.wallet.bulk import upload
from app.wallet.bulk.upload import received
from tests import factories
from tests.oauth.office import kumiai_for
from tests.wallet.bulk.conftest import Faculty, Office, csv_of, make_faculty


def test_each_kind_of_bad_line_is_found(app: Flask, office: Office) -> None:
    with app.app_context():
        faculty = make_faculty(4, ceiling_yen=1_000)
        one, closed, gone, full = faculty.members
        factories.wallet(member_id=closed, money=faculty.points)
        email = f"Hanako.{new_id().hex}@Example.ac.jp"
        factories.member(email=email.lower())
        with transaction() as open_session:
            open_session.execute(text("UPDATE wallet SET status = 'closed' WHERE member_id = :m"), {"m": closed})
            open_session.execute(text("UPDATE member SET status = 'closed' WHERE id = :m"), {"m": gone})
        today = issuer_today()
    points = faculty.points
    job = office.examined(
        csv_of(
            [
                (email, points, 1, "grant", today),
                (new_id(), points, 1, "grant"),
                ("nobody@example.ac.jp", points, 1, "grant"),
                (gone, points, 1, "grant"),
                (one, "gold", 1, "grant"),
                (closed, points, 1, "grant"),
                (one, points, 1, "take_back"),
                (one, faculty.base, 1, "take_back", today),
                (one, points, 1, "grant", today - timedelta(days=1)),
                (one, points, 1, "grant", today + timedelta(days=4000)),
                (full, points, 600, "grant"),
                (full, points, 401, "grant"),
                (one, points, 1, "grant", "", "", "same"),
                (one, points, 1, "grant", "", "", "same"),
                (one, points, "x", "gift"),
            ]
        )
    )
    assert (job["state"], job["lines"], job["bad_lines"], job["left_sum_yen"]) == ("examined", 15, 12, 602)
    found = [(each["line"], each["field"], each["code"]) for each in office.problems(job)]
    assert found == [
        (3, "member", "member_unknown"),
        (4, "member", "member_unknown"),
        (5, "member", "member_unknown"),
        (6, "money", "money_unknown"),
        (7, "member", "wallet_closed"),
        (8, "member", "wallet_unknown"),
        (9, "expires_on", "date_not_here"),
        (10, "expires_on", "date_is_over"),
        (11, "expires_on", "date_too_far"),
        (13, "amount_yen", "above_ceiling"),
        (15, "reference", "reference_repeated"),
        (16, "amount_yen", "amount_form"),
        (16, "kind", "kind_form"),
    ]


def test_reasons_are_said_in_both_languages_and_page_by_page(office: Office, faculty: Faculty) -> None:
    job = office.examined(csv_of([(faculty.members[0], faculty.points, "x", "grant"), ("nobody", "m_m", 1, "grant")]))
    assert (job["state"], job["problem"]["reason"]) == ("rejected", "実行できる行がありません")
    first = office.call("GET", f"/{job['id']}/problems?limit=1").json
    assert [each["reason"] for each in first["problems"]] == ["金額は整数（円）で書いてください"]
    office.language = "en"
    rest = office.call("GET", f"/{job['id']}/problems?limit=1&after={first['next_after']}").json
    assert [each["reason"] for each in rest["problems"]] == ["Must be a member's id or e-mail address"]
    assert rest["next_after"] is None


def test_a_file_refused_whole_says_why_and_leaves_no_lines(office: Office, faculty: Faculty) -> None:
    uploaded = office.upload(csv_of([(faculty.members[0], faculty.points, 5, "grant")]) + '"never closed')
    assert (uploaded.status_code, uploaded.json["state"]) == (201, "rejected")
    assert uploaded.json["problem"] == {
        "code": "quote_not_closed",
        "line": 3,
        "reason": '引用符（"）が閉じられていません',
    }
    assert office.results(uploaded.json) == []
    assert office.start(uploaded.json).json["code"] == "bulk_state_wrong"


def test_what_excel_in_japan_writes(office: Office, faculty: Faculty) -> None:
    content = f'会員,マネー,金額,種別,摘要\r\n{faculty.members[0]},{faculty.points},"1,500",付与,新入生歓迎①\r\n'
    job = office.done(office.examined(content.encode("cp932")))
    assert (job["encoding"], job["accepted_lines"], job["moved_yen"]) == ("shift_jis", 1, 1500)
    assert office.results(job)[0]["description"] == "新入生歓迎①"


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "text/plain"])
def test_another_type_of_file_is_refused(office: Office, kind: str) -> None:
    refused = office.upload("member", kind=kind)
    assert (refused.status_code, refused.json["code"]) == (415, "unsupported_media_type")


def test_a_file_that_is_too_large_is_refused(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_FILE_BYTES", 1_000_000)
    assert office.upload(b"a" * 999_999).json["state"] == "rejected"
    refused = office.upload(b"a" * 1_000_001)
    assert (refused.status_code, refused.json["code"]) == (413, "too_large")
    assert office.upload(b"a" * (32 * 1024 * 1024 + 1)).status_code == 413
    with pytest.raises(upload.FileTooLarge), received(io.BytesIO(b"a" * 1_000_001)):
        pass


def test_a_client_cannot_pile_up_jobs(office: Office, faculty: Faculty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_OPEN_JOBS", 1)
    content = csv_of([(faculty.members[0], faculty.points, 5, "grant")])
    office.done(office.examined(content))
    office.examined(content)
    refused = office.upload(content)
    assert (refused.status_code, refused.json["code"]) == (429, "bulk_too_many_jobs")


def test_the_office_does_it_at_a_terminal(
    app: Flask, office: Office, faculty: Faculty, settings: Settings, tmp_path: Path
) -> None:
    """With a worker in a thread, as `kumiai worker` has one."""
    kumiai = kumiai_for(settings)
    file = tmp_path / "grants.csv"
    file.write_text(
        csv_of([(faculty.members[0], faculty.points, 500, "grant"), ("nobody", faculty.points, 1, "grant")])
    )
    worker = threading.Thread(target=office.runner.run)
    worker.start()
    try:
        shown = kumiai("bulk", "upload", str(file))
        assert shown.exit_code == 0, shown.output
        job_id = shown.output.split()[0]
        assert kumiai("bulk", "start", job_id, "--yes").exit_code == 1
        done = kumiai("bulk", "start", job_id, "--yes", "--skip-bad-lines")
        assert done.exit_code == 0, done.output
    finally:
        office.runner.stop()
        worker.join()
    assert "¥500" in kumiai("bulk", "show", job_id).output
    assert job_id in kumiai("bulk", "list").output
    out = tmp_path / "results.csv"
    assert kumiai("bulk", "results", job_id, "--out", str(out)).exit_code == 0
    assert [line.split(",")[8] for line in out.read_text("utf-8-sig").splitlines()] == ["state", "accepted", "bad"]
    assert kumiai("bulk", "show", str(new_id())).exit_code == 1
