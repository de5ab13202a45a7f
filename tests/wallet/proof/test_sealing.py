"""Committed transactions become blocks, in order and once; a day that is over is signed."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from app import watch
from app.db import transaction, worker_connection
from app.doctor import database_checks
from app.issuer import NoIssuer
from app.oauth import keys
from app.oauth.models import SigningKey
from app.wallet import ledger
from app.wallet.errors import LedgerRefusal
from app.wallet.postings import Accepted, Capture, Hold, Release
from app.wallet.proof import audit, proofs, sealer, sealing, signature, statement
from app.wallet.proof.check import check
from app.wallet.proof.commitments import statement_hash
from tests import factories
from tests.live import eventually, process, server_env
from tests.wallet.postings import payment
from tests.wallet.proof.books import age, behind_the_triggers, look, rows, settings_of
from tests.wallet.proof.conftest import Yesterday

pytestmark = pytest.mark.ledger

BLOCKS = "SELECT number, first_position, last_position FROM proof_block ORDER BY number"
DAYS = "SELECT first_block, last_block FROM proof_day ORDER BY day"
WORKER = [sys.executable, "-c", "from app.cli import main; main()", "worker"]


@pytest.fixture
def books(fresh_app: Flask) -> Flask:
    """Three payments after a charge, of two days ago; nothing is sealed."""
    with fresh_app.app_context():
        pay(fresh_app, 3, holder=factories.holder(balance_yen=1_000))
    age(fresh_app)
    return fresh_app


def pay(app: Flask, count: int, *, holder: factories.Holder | None = None) -> list[Accepted]:
    with app.app_context():
        holder = holder or factories.holder(balance_yen=1_000)
        paid = [ledger.post(payment(holder, 10 + n)) for n in range(count)]
    assert all(isinstance(each, Accepted) for each in paid)
    return [each for each in paid if isinstance(each, Accepted)]


def claims(app: Flask) -> list[dict[str, Any]]:
    days = rows(app, "SELECT statement, jwk FROM proof_day ORDER BY day")
    return [signature.verified(statement, jwk=jwk) for statement, jwk in days]


def test_blocks_follow_one_another_and_none_crosses_midnight(yesterday: Yesterday) -> None:
    assert rows(yesterday.app, BLOCKS) == [(1, 1, 1), (2, 2, 3), (3, 4, 5), (4, 6, 6)]
    assert rows(yesterday.app, DAYS) == [(1, 1), (2, 4)]


def test_days_follow_one_another(yesterday: Yesterday) -> None:
    first, second = claims(yesterday.app)
    ((statement,), _) = rows(yesterday.app, "SELECT statement FROM proof_day ORDER BY day")
    assert (first["previous"], second["previous"]) == (None, statement_hash(statement))
    assert (second["first_position"], second["last_position"]) == (2, 6)
    assert second["iss"] == settings_of(yesterday.app).issuer_url
    assert date.fromisoformat(second["day"]) - date.fromisoformat(first["day"]) == timedelta(days=2)


def test_what_is_fresh_waits_for_others(fresh_app: Flask) -> None:
    pay(fresh_app, 2)
    look(fresh_app)
    assert rows(fresh_app, BLOCKS) == []


def test_after_ten_minutes_it_waits_no_longer(fresh_app: Flask) -> None:
    pay(fresh_app, 2)
    age(fresh_app, by=sealing.SEAL_AFTER)
    look(fresh_app)
    sizes = [last - first + 1 for _, first, last in rows(fresh_app, BLOCKS)]
    assert sum(sizes) == 3


def test_a_full_block_does_not_wait(fresh_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "BLOCK", 2)
    pay(fresh_app, 4)  # and a charge
    look(fresh_app)
    assert rows(fresh_app, BLOCKS) == [(1, 1, 2), (2, 3, 4)]


def test_today_is_not_signed(fresh_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "BLOCK", 2)
    (paid,) = pay(fresh_app, 1)
    look(fresh_app)
    assert rows(fresh_app, BLOCKS) == [(1, 1, 2)]
    assert rows(fresh_app, DAYS) == []
    with fresh_app.app_context(), pytest.raises(LedgerRefusal, match="proof_not_ready"):
        proofs.proof(transaction_id=paid.transaction_id, sections=proofs.OWN)


def test_holds_and_what_becomes_of_them_are_sealed(fresh_app: Flask) -> None:
    """A hold and its release move nothing; a capture names its hold."""
    with fresh_app.app_context():
        holder = factories.holder(balance_yen=1_000)
        held = [ledger.post(_hold(holder)) for _ in range(2)]
        ids = [each.transaction_id for each in held if isinstance(each, Accepted)]
        ledger.post(Capture(requester="test", request_id="c", params_hash=b"c", hold_id=ids[0], amount_yen=90))
        ledger.post(Release(requester="test", request_id="r", params_hash=b"r", hold_id=ids[1]))
    age(fresh_app)
    look(fresh_app)
    with fresh_app.app_context():
        every = [id_ for (id_,) in rows(fresh_app, "SELECT id FROM transaction ORDER BY position")]
        receipts = [check(proofs.proof(transaction_id=id_, sections=proofs.OWN)).receipt for id_ in every]
    assert [each["kind"] for each in receipts] == ["charge", "hold", "hold", "capture", "release"]
    assert [each["hold_id"] for each in receipts] == [None, None, None, *map(str, ids)]
    assert _differences(fresh_app) == []


def _hold(holder: factories.Holder) -> Hold:
    asked = payment(holder, 100)
    named = {name: getattr(asked, name) for name in ("requester", "request_id", "params_hash", "member_id", "money")}
    until = datetime.now(UTC) + timedelta(hours=1)
    return Hold(**named, shop_id=holder.shop_id, amount_yen=100, controls=(), expires_at=until)


def _differences(app: Flask) -> list[tuple[str, str]]:
    with psycopg.connect(settings_of(app).database_url) as connection:
        return list(audit.differences(connection))


def test_looking_again_changes_nothing(own_yesterday: Yesterday) -> None:
    before = rows(own_yesterday.app, "SELECT * FROM proof_block"), rows(own_yesterday.app, "SELECT * FROM proof_day")
    look(own_yesterday.app)
    assert before == (
        rows(own_yesterday.app, "SELECT * FROM proof_block"),
        rows(own_yesterday.app, "SELECT * FROM proof_day"),
    )


def test_a_payment_under_way_keeps_its_day_open(books: Flask) -> None:
    """It has its instant of that day, and is not committed yet. Blocks are sealed all the same."""
    with psycopg.connect(settings_of(books).database_url) as under_way:
        under_way.execute("UPDATE issuer_head SET position = position + 1")
        look(books)
        assert rows(books, BLOCKS) == [(1, 1, 4)]
        assert rows(books, DAYS) == []
        under_way.rollback()
    look(books)
    assert rows(books, DAYS) == [(1, 1)]


def test_what_a_clock_set_back_brings_late_counts_to_the_next_day(
    books: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SIGN_AFTER", timedelta())  # the next day is yesterday
    look(books)
    assert rows(books, DAYS) == [(1, 1)]
    (late,) = pay(books, 1)
    age(books, after=4)  # the signed day's date
    look(books)
    assert rows(books, DAYS)[-1][0] == 2
    with books.app_context():
        proven = check(proofs.proof(transaction_id=late.transaction_id, sections=proofs.OWN))
    first, second = claims(books)
    assert proven.day == second
    assert date.fromisoformat(second["day"]) == date.fromisoformat(first["day"]) + timedelta(days=1)


@pytest.mark.parametrize("missing", [1, 2, 4])
def test_nothing_is_sealed_over_a_gap(books: Flask, missing: int) -> None:
    with behind_the_triggers(books) as connection:
        connection.execute("DELETE FROM transaction WHERE position = %s", [missing])
    with pytest.raises(sealing.Gap, match=f"position {missing} is missing"):
        look(books)
    assert not [1 for _, first, last in rows(books, BLOCKS) if first <= missing <= last]


def test_many_workers_seal_once(books: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "BLOCK", 1)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(look, books) for _ in range(16)]:
            done.result()
    look(books)
    assert rows(books, BLOCKS) == [(n, n, n) for n in range(1, 5)]
    assert rows(books, DAYS) == [(1, 4)]


def test_a_worker_that_was_overtaken_does_not_sign_the_next_day_for_it(
    books: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look and its turn another worker signs that day. What is unsigned then is today."""
    with monkeypatch.context() as today:
        today.setattr(sealing, "SEAL_AFTER", timedelta())
        pay(books, 2)
        while sealed(books) < 6:
            look_without_signing(books)
    first_come = sealing._locked

    def overtaken(connection: psycopg.Connection[Any], issuer: dict[str, Any]) -> bool:
        monkeypatch.setattr(sealing, "_locked", first_come)
        look(books)
        return first_come(connection, issuer)

    zone, url = settings_of(books).zone, settings_of(books).issuer_url
    (issuer_id,) = rows(books, "SELECT id FROM issuer")[0]
    with books.app_context(), worker_connection(settings_of(books).database_url, name="proof") as connection:
        monkeypatch.setattr(sealing, "_locked", overtaken)
        sign = partial(statement.sign, sealing_key=settings_of(books).sealing_key)
        sealing.sign_next(connection, issuer_id=issuer_id, issuer_url=url, zone=zone, sign=sign)
    assert rows(books, DAYS) == [(1, 1)]


def sealed(app: Flask) -> int:
    ((position,),) = rows(app, "SELECT coalesce(max(last_position), 0) FROM proof_block")
    return int(position)


def look_without_signing(app: Flask) -> None:
    (issuer_id,) = rows(app, "SELECT id FROM issuer")[0]
    with worker_connection(settings_of(app).database_url, name="proof") as connection:
        sealing.seal_next(connection, issuer_id=issuer_id, zone=settings_of(app).zone)


def test_a_worker_killed_in_the_middle_leaves_nothing_half(books: Flask, tmp_path: Path) -> None:
    """kill -9 while it writes a block. Payments go on meanwhile; the next worker seals what it could not."""
    settings = settings_of(books)
    with (
        psycopg.connect(settings.database_url) as holding,
        psycopg.connect(settings.database_url, autocommit=True) as watching,
    ):
        holding.execute("LOCK TABLE proof_block IN SHARE MODE")
        writing = f"SELECT pid FROM pg_stat_activity WHERE {holding.info.backend_pid} = ANY(pg_blocking_pids(pid))"
        with process(WORKER, env=server_env(settings), log=tmp_path / "worker.log") as worker:
            eventually(lambda: watching.execute(writing.encode()).fetchone())
            pay(books, 1)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        holding.rollback()
    eventually(lambda: None if watching_is_needed(books) else True)
    assert rows(books, BLOCKS) == []
    look(books)
    assert rows(books, BLOCKS) == [(1, 1, 4)]


def watching_is_needed(app: Flask) -> bool:
    """Whether PostgreSQL has not noticed yet that the worker is gone."""
    return bool(rows(app, "SELECT pid FROM pg_stat_activity WHERE application_name = 'kumiai proof'"))


def test_the_worker_seals_and_signs_and_stops_when_told(books: Flask, tmp_path: Path) -> None:
    with process(WORKER, env=server_env(settings_of(books)), log=tmp_path / "worker.log") as worker:
        eventually(lambda: rows(books, DAYS) or None)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=10) == 0


def test_a_proof_outlives_the_key_that_signed_it(own_yesterday: Yesterday) -> None:
    """A year after its key retired, the key's row is gone."""
    app, sealing_key = own_yesterday.app, settings_of(own_yesterday.app).sealing_key
    with app.app_context():
        with transaction():
            rotation = keys.rotate(alg="ES256", sealing_key=sealing_key, at_once=True)
        with transaction() as session:
            session.delete(session.get(SigningKey, rotation.retired))
    look(app)
    with app.app_context():
        old = proofs.proof(transaction_id=own_yesterday.transactions[1], sections=proofs.OWN)
        known = proofs.every_key()
        assert rotation.retired in {key["kid"] for key in known}
        assert check(old, keys=known).kid == rotation.retired


@pytest.mark.parametrize("table", ["proof_block", "proof_day"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET day = day - 1", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_is_sealed_is_immutable(yesterday: Yesterday, table: str, statement: str) -> None:
    with (
        psycopg.connect(settings_of(yesterday.app).database_url) as connection,
        pytest.raises(psycopg.errors.RestrictViolation, match="immutable"),
    ):
        connection.execute(statement.format(table).encode())


NEXT_BLOCK = """
    INSERT INTO proof_block (issuer_id, number, day, first_position, last_position, root, previous, leaves, blinding)
    SELECT issuer_id, number + {number}, day + {days}, first_position + {first}, last_position + {last}, root, root,
           leaves, blinding FROM proof_block WHERE number = 3
"""


@pytest.mark.parametrize(
    "step",
    [{"number": 2}, {"number": 1, "first": 1}, {"number": 1, "first": -2, "last": -2}, {"number": 1, "days": -9}],
)
def test_no_block_stands_anywhere_but_at_the_end(yesterday: Yesterday, step: dict[str, int]) -> None:
    values = {"number": 0, "days": 0, "first": 2, "last": 2, **step}
    with (
        psycopg.connect(settings_of(yesterday.app).database_url) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match="a block begins where the one before it ends"),
    ):
        connection.execute(NEXT_BLOCK.format(**values).encode())


NEXT_DAY = """
    INSERT INTO proof_day (issuer_id, day, first_block, last_block, statement, jwk)
    SELECT issuer_id, day + 1, {first}, {last}, statement, jwk FROM proof_day WHERE first_block = 2
"""


@pytest.mark.parametrize(("first", "last"), [(2, 4), (4, 4), (6, 6)])
def test_no_day_is_made_of_anothers_blocks(yesterday: Yesterday, first: int, last: int) -> None:
    with (
        psycopg.connect(settings_of(yesterday.app).database_url) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match=r"a day (begins where|is made of its own)"),
    ):
        connection.execute(NEXT_DAY.format(first=first, last=last).encode())


@pytest.mark.parametrize("table", ["money", "shop"])
def test_a_code_that_is_sealed_is_for_ever(yesterday: Yesterday, table: str) -> None:
    with psycopg.connect(settings_of(yesterday.app).database_url) as connection:
        connection.execute(f"UPDATE {table} SET name_en = 'Another', code = code".encode())
        with pytest.raises(psycopg.errors.RestrictViolation, match="a code that transactions name is for ever"):
            connection.execute(f"UPDATE {table} SET code = code || 'x'".encode())


def test_the_doctor_sees_that_nobody_signs(books: Flask) -> None:
    with psycopg.connect(settings_of(books).database_url) as connection:
        (finding,) = database_checks.proofs_signed(connection, {})
        assert (finding.code, finding.values) == ("proofs_behind", {"hours": 48})
        look(books)
        connection.rollback()
        assert list(database_checks.proofs_signed(connection, {})) == []
        pay(books, 1)
        assert list(database_checks.proofs_signed(connection, {})) == []


@pytest.mark.parametrize("why", ["no issuer", "no database", "another sealing key"])
def test_what_stops_the_sealing_stops_nothing_else(
    own_yesterday: Yesterday, why: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so in the log, tries again, and ends when it is told to: mail and clients are served meanwhile."""
    app, settings = own_yesterday.app, settings_of(own_yesterday.app)
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.01)
    if why == "no issuer":
        monkeypatch.setattr(sealer, "current_issuer", _no_issuer)
    elif why == "no database":
        settings = replace(settings, database_url="postgresql://nobody@127.0.0.1:1/nothing")
    else:
        settings = replace(settings, sealing_key=b"x" * 32)
        monkeypatch.setattr(sealing, "SIGN_AFTER", timedelta())
        pay(app, 1)
        age(app, after=6, by=timedelta(days=1))
    with caplog.at_level("INFO", "kumiai.proof"), ThreadPoolExecutor(1) as pool:
        part = sealer.Sealer(app, settings)
        running = pool.submit(part.run)
        try:
            eventually(lambda: len([line for line in caplog.messages if line.startswith(SAYS[why])]) > 1 or None)
        finally:
            part.stop()
        running.result(timeout=10)
    assert rows(app, DAYS) == [(1, 1), (2, 4)]


SAYS = {
    "no issuer": "no issuer yet",
    "no database": "not done (OperationalError)",
    "another sealing key": "not done (SealBroken)",
}


def _no_issuer() -> None:
    raise NoIssuer
