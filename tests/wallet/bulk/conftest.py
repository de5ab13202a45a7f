"""A co-op's program with the scope `bulk`, members to give to, and a worker that goes one step when it is told."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.db import autocommit, database_url, session, transaction
from app.issuer import current_issuer
from app.wallet import setup
from app.wallet.bulk.runner import BulkRunner
from app.wallet.verify import verify
from tests import factories

HEADER = "member,money,amount_yen,kind,expires_on,description,reference"


def service_token() -> str:
    """Of a client with the scope `bulk`."""
    client = factories.oauth_client(profile="service", scopes=["bulk"])
    return factories.access_token(member_id=None, client_id=client.id, scopes=["bulk"])


@dataclass
class Faculty:
    """Some members and a free and a paid money; the first has a wallet of the paid one, and nobody of the free."""

    members: list[UUID]
    points: str
    base: str

    def wallet_yen(self, member_id: UUID, money: str) -> int | None:
        sql = "SELECT total_yen FROM wallet JOIN money ON money.id = money_id WHERE member_id = :m AND code = :c"
        with autocommit().connect() as connection:
            found: int | None = connection.scalar(text(sql), {"m": member_id, "c": money})
        return found


def make_faculty(count: int = 3, **points: Any) -> Faculty:
    members = [factories.member() for _ in range(count)]
    base = factories.money()
    code = f"p_{secrets.token_hex(6)}"
    with transaction():
        setup.open_money(
            issuer_id=current_issuer().id, code=code, name_ja="ポイント", name_en="Points", backing="free", **points
        )
    factories.wallet(member_id=members[0], money=base)
    return Faculty(members, code, base)


@dataclass
class Office:
    """The program's way of calling."""

    http: FlaskClient
    token: str
    runner: BulkRunner
    language: str = "ja"
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", "Accept-Language": self.language}
        return self.http.open(f"/v1/bulk{path}", method=method, headers={**headers, **self.headers}, **options)

    def upload(self, content: str | bytes, *, key: str | None = None, kind: str = "text/csv") -> TestResponse:
        data = content.encode() if isinstance(content, str) else content
        self.headers = {"Idempotency-Key": key or secrets.token_hex(8)}
        try:
            return self.call("POST", "", data=data, content_type=kind)
        finally:
            self.headers = {}

    def examined(self, content: str | bytes, **options: Any) -> dict[str, Any]:
        """The job of a file, once it is examined (or rejected)."""
        uploaded = self.upload(content, **options)
        assert uploaded.status_code == 201, uploaded.text
        while self.runner.work():
            pass
        return self.job(uploaded.json["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    def start(self, job: dict[str, Any], **body: Any) -> TestResponse:
        body = {"expected_sum_yen": job["left_sum_yen"], **body}
        return self.call("POST", f"/{job['id']}/start", json=body)

    def done(self, job: dict[str, Any], **body: Any) -> dict[str, Any]:
        """The job after it was started and worked on to its end."""
        started = self.start(job, **body)
        assert started.status_code == 200, started.text
        while self.runner.work():
            pass
        return self.job(job["id"])

    def problems(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/{job['id']}/problems").json["problems"]
        return found

    def results(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.call("GET", f"/{job['id']}/results?format=jsonl")
        assert answer.status_code == 200
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
def office(app: Flask, client: FlaskClient) -> Iterator[Office]:
    with app.app_context():
        token = service_token()
    yield Office(client, token, BulkRunner(app, rest=0))
    with app.app_context():
        assert verify(database_url())[1] == []


@pytest.fixture
def faculty(app: Flask) -> Faculty:
    with app.app_context():
        return make_faculty()


def csv_of(rows: Sequence[Sequence[object]]) -> str:
    """Rows of member, money, amount, kind, expiry, description, reference; left-out ones at the end are empty."""
    lines = [",".join(str(cell) for cell in [*row, *[""] * (7 - len(row))]) for row in rows]
    return "\r\n".join([HEADER, *lines]) + "\r\n"


def rows_of_ledger(job_id: str) -> dict[str, int]:
    """What the books say: how often each line of a job has moved value."""
    sql = "SELECT request_id, count(*) FROM transaction WHERE metadata ->> 'bulk_job' = :job GROUP BY request_id"
    return {row.request_id: row[1] for row in session().execute(text(sql), {"job": job_id})}
