"""Of an error that PostgreSQL answered with, the log says where and which rule, and nothing that anybody wrote."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError

from app.db import database_url, session, transaction
from tests import factories
from tests.wallet.api.caller import app_of, refusal
from tests.wallet.bulk.conftest import service_token
from tests.wallet.world import World

WRITTEN = "山田花子へのお見舞い"


@pytest.fixture(autouse=True)
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


@contextmanager
def a_rule_that_the_program_does_not_know(table: str, column: str) -> Iterator[None]:
    with psycopg.connect(database_url(), autocommit=True) as connection:
        rule = f"CHECK ({column} NOT LIKE '{WRITTEN}%') NOT VALID"
        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT unheard_of {rule}")
        try:
            yield
        finally:
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT unheard_of")


def test_what_the_poster_could_not_write(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.charge(world.meal, 300)
    caller = app_of(client, world)
    with a_rule_that_the_program_does_not_know("transaction", "description"):
        assert refusal(caller.pay(100, description=WRITTEN)) == (500, "internal_error")
    assert caplog.text.count("transaction.unheard_of (SQLSTATE 23514)") >= 2, "the poster's line, and the request's"
    assert "app/wallet/poster.py" in caplog.text
    assert "Failing row" not in caplog.text
    assert WRITTEN not in caplog.text


def test_what_a_request_could_not_write(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Authorization": f"Bearer {service_token()}", "Idempotency-Key": "unheard-of"}
    with a_rule_that_the_program_does_not_know("bulk_job", "file_name"):
        answer = client.post(
            "/v1/bulk", data=b"", content_type="text/csv", headers=headers, query_string={"file_name": WRITTEN}
        )
    assert refusal(answer) == (500, "internal_error")
    assert f"[request {answer.get_json()['request_id']}]" in caplog.text, "the id that people tell the office"
    assert "bulk_job.unheard_of (SQLSTATE 23514)" in caplog.text
    assert "app/wallet/bulk/upload.py" in caplog.text
    assert "Failing row" not in caplog.text
    assert WRITTEN not in caplog.text


def test_keys_and_bad_values_are_not_quoted_either(caplog: pytest.LogCaptureFixture) -> None:
    email = "hanako.yamada@example.ac.jp"
    factories.member(email=email)
    with pytest.raises(IntegrityError) as twice:
        factories.member(email=email)
    with pytest.raises(DataError) as no_uuid, transaction():
        session().execute(text("SELECT CAST(CAST(:email AS text) AS uuid)"), {"email": email})
    for error in (twice.value, no_uuid.value):
        logging.getLogger("kumiai").error("not done", exc_info=error)
    assert email in str(twice.value)
    assert email in str(no_uuid.value)
    assert "member.uq_member_issuer_id_email (SQLSTATE 23505)" in caplog.text
    assert "(SQLSTATE 22P02)" in caplog.text
    assert email not in caplog.text
