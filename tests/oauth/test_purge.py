"""`kumiai oauth purge`: old rows go in batches, beside traffic; what a stolen copy is recognised by stays.

Also the scale test: expired tokens in great number slow no token check, because the check is one look-up by key.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.db import PLANS_BY_KEY, worker_connection
from app.ids import secret_hash
from app.oauth import protector
from app.oauth.purge import TABLES, Batch, purge, tidy
from app.settings import Settings
from app.worker import worker_for_clients
from tests.live import eventually
from tests.oauth.conftest import VERIFIER, Member, ThirdParty
from tests.oauth.office import kumiai_for
from tests.oauth.statements import sent

EXPIRED = 200_000
"""In the suite. With a million this same test passes too, and takes a minute."""
PAGES_PER_CHECK = 24
"""Index and table pages that one check may touch: a few levels of five indexes, whatever the size."""


@pytest.fixture
def settings(fresh_database: str, make_settings: Callable[[str], Settings]) -> Settings:
    return make_settings(fresh_database)


@pytest.fixture
def app(fresh_app: Flask) -> Flask:
    """Purging is of a whole database, so each test has its own."""
    return fresh_app


@pytest.fixture
def database(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with worker_connection(settings.database_url, name="purge") as connection:
        yield connection


def count(database: psycopg.Connection[Any], table: str) -> int:
    row = database.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def insert_expired(database: psycopg.Connection[Any], client_id: str, rows: int) -> None:
    database.execute(
        """
        INSERT INTO oauth_token (token_hash, kind, family_id, client_id, scopes, expires_at)
        SELECT sha256(n::text::bytea), 'access', gen_random_uuid(), %s, '{balance}', now() - n * interval '1 s'
               - interval '1 day'
          FROM generate_series(1, %s) AS n
        """,
        [client_id, rows],
    )


def time_passes(database: psycopg.Connection[Any], *tables: str) -> None:
    for table in tables:
        database.execute(f"UPDATE {table} SET expires_at = expires_at - interval '1 year'")


def every(database: psycopg.Connection[Any], **options: Any) -> dict[str, int]:
    deleted: dict[str, int] = {}
    for batch in purge(database, **options):
        deleted[batch.table] = deleted.get(batch.table, 0) + batch.rows
    return deleted


def test_the_living_stay_and_the_expired_go(
    database: psycopg.Connection[Any], third_party: ThirdParty, member: Member
) -> None:
    access = third_party.tokens(member)["access_token"]
    database.execute(
        """
        INSERT INTO oauth_pushed_request (request_hash, client_id, parameters, expires_at)
        SELECT sha256(n::text::bytea), %s, '{}', now() + n * interval '1 hour' FROM generate_series(-3, 2) AS n
        """,
        [third_party.id],
    )
    database.execute(
        "INSERT INTO oauth_proof_seen SELECT sha256(n::text::bytea), now() + n * interval '1 hour'"
        " FROM generate_series(-3, 2) AS n"
    )
    insert_expired(database, third_party.id, 7)
    deleted = every(database)
    assert deleted == {"oauth_token": 7, "oauth_pushed_request": 3, "oauth_proof_seen": 3}
    assert third_party.userinfo(access).status_code == 200
    assert every(database) == {}, "nothing is left to do"


def test_an_hour_is_kept_for_clocks_that_differ(
    database: psycopg.Connection[Any], third_party: ThirdParty, member: Member
) -> None:
    third_party.tokens(member)
    database.execute("UPDATE oauth_token SET expires_at = now() - interval '59 minutes'")
    assert every(database) == {}
    database.execute("UPDATE oauth_token SET expires_at = now() - interval '61 minutes'")
    assert every(database) == {"oauth_token": 1}


def test_a_spent_code_is_recognised_as_long_as_its_family_lives(
    database: psycopg.Connection[Any], third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    code = third_party.code(member, scope="openid offline_access", ticked=[])
    refresh = third_party.redeem(code).get_json()["refresh_token"]
    time_passes(database, "oauth_code")
    assert every(database) == {}

    assert third_party.redeem(code).status_code == 400
    assert living(third_party.id) == 0, "the replay revoked what the code became"
    assert third_party.refresh(refresh).status_code == 400
    assert every(database) == {"oauth_code": 1}, "nothing of the family lives"


def test_a_spent_refresh_token_is_recognised_until_it_would_have_expired(
    database: psycopg.Connection[Any], third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    first = third_party.tokens(member, scope="openid offline_access", ticked=[])["refresh_token"]
    second = third_party.refresh(first).get_json()["refresh_token"]
    third = third_party.refresh(second).get_json()["refresh_token"]
    database.execute("UPDATE oauth_token SET expires_at = now() - interval '2 hours' WHERE kind = 'access'")
    assert every(database) == {"oauth_token": 3}

    assert third_party.refresh(first).status_code == 400
    assert living(third_party.id) == 0, "the replay burnt the family"
    assert third_party.refresh(third).status_code == 400


def test_an_unspent_code_and_sessions_go(
    database: psycopg.Connection[Any], third_party: ThirdParty, member: Member
) -> None:
    third_party.code(member)
    time_passes(database, "oauth_code", "member_session")
    assert every(database) == {"oauth_code": 1, "member_session": 1}
    assert third_party.post(grant_type="authorization_code", code="kac_x", code_verifier=VERIFIER).status_code == 400


def test_many_batches_and_an_interruption(database: psycopg.Connection[Any], third_party: ThirdParty) -> None:
    insert_expired(database, third_party.id, 1_000)
    steps = purge(database, batch=100)
    assert [next(steps) for _ in range(3)] == [Batch(table="oauth_token", rows=100)] * 3
    steps.close()
    assert count(database, "oauth_token") == 700, "each batch was kept"
    assert every(database, batch=100) == {"oauth_token": 700}


def test_rows_of_one_instant_all_go(database: psycopg.Connection[Any], third_party: ThirdParty) -> None:
    insert_expired(database, third_party.id, 1_000)
    database.execute("UPDATE oauth_token SET expires_at = '2026-01-01'")
    assert every(database, batch=100) == {"oauth_token": 1_000}


def test_two_at_once_share_the_work(
    settings: Settings, database: psycopg.Connection[Any], third_party: ThirdParty
) -> None:
    insert_expired(database, third_party.id, 20_000)
    together = threading.Barrier(2)

    def one(_: int) -> int:
        with worker_connection(settings.database_url, name="purge") as connection:
            together.wait(30)
            return sum(every(connection, batch=200).values())

    with ThreadPoolExecutor(2) as threads:
        shares = list(threads.map(one, range(2)))
    assert sum(shares) == 20_000
    assert count(database, "oauth_token") == 0


def test_a_row_that_another_holds_is_passed_over(
    settings: Settings, database: psycopg.Connection[Any], third_party: ThirdParty
) -> None:
    insert_expired(database, third_party.id, 100)
    with psycopg.connect(settings.database_url) as other:
        other.execute("SELECT FROM oauth_token ORDER BY expires_at LIMIT 10 FOR UPDATE")
        assert every(database) == {"oauth_token": 90}
    assert every(database) == {"oauth_token": 10}


def test_the_command_says_what_it_did(
    settings: Settings, database: psycopg.Connection[Any], third_party: ThirdParty
) -> None:
    insert_expired(database, third_party.id, 12)
    done = kumiai_for(settings)("oauth", "purge", "--batch", "5")
    assert done.exit_code == 0
    assert re.search(r"^oauth_token +12$", done.output, re.MULTILINE)
    assert re.search(r"^12 rows deleted in [0-9.]+ s", done.output, re.MULTILINE)
    assert [line.split()[0] for line in done.output.splitlines()[:-1]] == list(TABLES)


def test_a_worker_tidies_between_messages(
    app: Flask, settings: Settings, database: psycopg.Connection[Any], third_party: ThirdParty
) -> None:
    insert_expired(database, third_party.id, 100)
    worker = worker_for_clients(app, settings)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        eventually(lambda: count(database, "oauth_token") == 0 or None)
    finally:
        worker.stop()
        thread.join(20)


def test_tidying_ends_when_its_time_is_up(database: psycopg.Connection[Any], third_party: ThirdParty) -> None:
    insert_expired(database, third_party.id, 11_000)
    tidy(database, now_s=iter([0.0, 0.5, 1.5]).__next__)
    assert count(database, "oauth_token") == 1_000


def test_expired_tokens_in_great_number_slow_no_check(
    app: Flask, settings: Settings, database: psycopg.Connection[Any], third_party: ThirdParty, member: Member
) -> None:
    access = third_party.tokens(member)["access_token"]
    before = pages_per_check(settings, access)
    insert_expired(database, third_party.id, EXPIRED)
    among_many = pages_per_check(settings, access)
    assert max(before, among_many) <= PAGES_PER_CHECK, (before, among_many)

    with app.app_context(), app.test_request_context(headers={"Authorization": f"Bearer {access}"}):
        protector.Bearer("openid").check()  # opens the connection
        with sent() as statements:
            protector.Bearer("openid").check()
    assert len(statements) == 1

    purging, checked = purge(database), 0
    for done in purging:
        assert done.table == "oauth_token"
        assert third_party.userinfo(access).status_code == 200
        checked += 1
    assert checked >= EXPIRED // 5_000
    assert count(database, "oauth_token") == 1
    assert pages_per_check(settings, access) <= PAGES_PER_CHECK


def pages_per_check(settings: Settings, access: str) -> int:
    """The pages that the protector's statement touches, as the protector has it planned; every one found by key."""
    with psycopg.connect(settings.database_url, autocommit=True, options=PLANS_BY_KEY) as connection:
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {protector._READ}"
        for _ in range(2):  # the second time the catalogue is known
            row = connection.execute(explain, {"keys": [secret_hash(access)]}).fetchone()
        assert row is not None
    plan = row[0][0]["Plan"]
    assert "Seq Scan" not in json.dumps(plan), plan
    assert plan["Actual Rows"] == 1
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
