"""The worker: delivers once, tries again, gives up, and loses nothing when it is killed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from app import outbox
from app.clock import now
from app.db import transaction
from app.messaging import leases, maildir
from app.messaging.worker import Worker, mail_from_url, sms_from_url
from app.outbox import CHANNEL
from app.settings import Settings, SettingsError
from tests import factories
from tests.messaging.conftest import Postbox, Queue, until, worker_process
from tests.ports import free_port

NOBODY_LISTENS = "smtp://127.0.0.1:{}"


@pytest.fixture
def by_smtp(queue: Queue, smtp: str) -> Settings:
    return replace(queue.settings, mail_url=smtp)


def deliver_all(settings: Settings) -> int:
    """Let one worker deliver what is due; returns how many messages it took."""
    taken = 0
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        while Worker(settings).deliver_one(connection):
            taken += 1
    return taken


@contextmanager
def running(settings: Settings, **how: Any) -> Iterator[Worker]:
    worker = Worker(settings, **how)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(20)
        assert not thread.is_alive()


def test_a_message_is_delivered_and_what_it_said_is_forgotten(
    queue: Queue, by_smtp: Settings, postbox: Postbox
) -> None:
    queue.mail("確認コード\n\n    123456\n")
    assert deliver_all(by_smtp) == 1
    (mail,) = postbox.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == ("hanako@example.ac.jp", "no-reply@coop.example", "件名")
    assert mail.get_content().splitlines() == ["確認コード", "", "    123456"]
    assert queue.sql("SELECT state, payload_sealed, last_error FROM outbox") == [("delivered", None, None)]
    assert deliver_all(by_smtp) == 0


def test_what_waits_is_sealed(queue: Queue) -> None:
    queue.mail("123456")
    ((sealed,),) = queue.sql("SELECT payload_sealed FROM outbox")
    assert b"hanako" not in sealed
    assert b"123456" not in sealed


def test_mail_and_sms_each_go_their_way(queue: Queue, by_smtp: Settings, postbox: Postbox) -> None:
    queue.mail()
    queue.emit("sms", {"to": "+819012345678", "text": "123456"})
    assert deliver_all(by_smtp) == 2
    assert len(postbox.mails) == 1
    (sms,) = maildir.read(Path(by_smtp.sms_url.removeprefix("maildir:")))
    assert (sms.kind, sms.to, sms.text.strip()) == ("sms", "+819012345678", "123456")


def test_without_an_sms_gateway_only_sms_waits(queue: Queue, by_smtp: Settings) -> None:
    queue.emit("sms", {"to": "+819012345678", "text": "123456"})
    queue.mail()
    assert deliver_all(replace(by_smtp, sms_url="")) == 1
    assert queue.states() == ["waiting", "delivered"]


def test_a_failure_is_tried_again_later_and_later(queue: Queue) -> None:
    away = replace(queue.settings, mail_url=NOBODY_LISTENS.format(free_port()))
    queue.mail()
    for pause_s in (5, 10, 20):
        ((before,),) = queue.sql("SELECT clock_timestamp()")
        assert deliver_all(away) == 1
        ((due, after),) = queue.sql("SELECT due_at, clock_timestamp() FROM outbox")
        assert before <= due - timedelta(seconds=pause_s) <= after
        queue.time_passes()
    assert queue.sql("SELECT state, attempts, last_error FROM outbox") == [("waiting", 3, "ConnectionRefusedError")]
    assert deliver_all(queue.settings) == 1
    assert queue.states() == ["delivered"]


def test_after_enough_failures_it_gives_up_and_forgets(queue: Queue) -> None:
    away = replace(queue.settings, mail_url=NOBODY_LISTENS.format(free_port()))
    queue.mail()
    for _ in range(leases.MAX_ATTEMPTS):
        assert deliver_all(away) == 1
        queue.time_passes()
    assert queue.sql("SELECT state, payload_sealed, last_error FROM outbox") == [
        ("given_up", None, "ConnectionRefusedError")
    ]


def test_a_mailbox_that_does_not_exist_is_not_tried_again(queue: Queue, by_smtp: Settings, postbox: Postbox) -> None:
    postbox.recipient_answer = "550 5.1.1 no such user"
    queue.mail()
    deliver_all(by_smtp)
    assert queue.sql("SELECT state, attempts, last_error FROM outbox") == [("given_up", 1, "Refused")]


def test_a_code_past_its_time_is_not_delivered(queue: Queue, by_smtp: Settings, postbox: Postbox) -> None:
    queue.mail("old", expires_at=now() - timedelta(seconds=1))
    queue.mail("new", expires_at=now() + timedelta(minutes=10))
    assert deliver_all(by_smtp) == 2
    assert [mail.get_content().strip() for mail in postbox.mails] == ["new"]
    assert queue.sql("SELECT state, last_error FROM outbox ORDER BY id") == [
        ("given_up", "Expired"),
        ("delivered", None),
    ]


def test_one_broken_message_does_not_hold_up_the_others(queue: Queue, by_smtp: Settings) -> None:
    queue.emit("mail", {"to": "a@example.ac.jp", "no such": "field"})
    queue.mail(to="a@example.ac.jp\nBcc: everyone@example.ac.jp")
    queue.mail()
    assert deliver_all(by_smtp) == 3
    assert queue.states() == ["waiting", "waiting", "delivered"]


def test_a_message_that_kills_its_workers_is_given_up(queue: Queue) -> None:
    queue.mail()
    queue.sql(f"UPDATE outbox SET attempts = {leases.MAX_ATTEMPTS}")
    assert deliver_all(queue.settings) == 1
    assert queue.sql("SELECT state, last_error FROM outbox") == [("given_up", "WorkerDied")]


def test_a_leased_message_is_left_alone_until_its_lease_runs_out(queue: Queue) -> None:
    queue.mail()
    with psycopg.connect(queue.settings.database_url, autocommit=True) as connection:
        first = leases.lease(connection, topics=["mail"])
        assert first
        assert leases.lease(connection, topics=["mail"]) is None
        ((left,),) = queue.sql("SELECT due_at - now() FROM outbox")
        assert timedelta(minutes=2) < left <= leases.LEASE
        queue.time_passes()
        second = leases.lease(connection, topics=["mail"])
        assert second
        assert second.id == first.id
        leases.give_up(connection, first, error="TooLate")  # its lease is another's now
        assert queue.states() == ["waiting"]
        leases.delivered(connection, second)
        assert queue.states() == ["delivered"]


def test_emit_notifies_at_commit_and_not_before(queue: Queue) -> None:
    def woken(connection: psycopg.Connection[Any]) -> bool:
        connection.execute("SELECT 1")  # what was sent by now comes with the answer
        return bool(list(connection.notifies(timeout=0)))

    with psycopg.connect(queue.settings.database_url, autocommit=True) as connection:
        connection.execute(f"LISTEN {CHANNEL}")
        with queue.app.app_context(), pytest.raises(ZeroDivisionError), transaction():
            outbox.emit("mail", {})
            raise ZeroDivisionError
        assert not woken(connection)
        with queue.app.app_context(), transaction():
            outbox.emit("mail", {})
            assert not woken(connection)
        (notice,) = connection.notifies(timeout=10, stop_after=1)
        assert notice.channel == CHANNEL


def test_it_waits_for_a_lost_database(queue: Queue, by_smtp: Settings, postbox: Postbox) -> None:
    with running(by_smtp):
        queue.mail("before")
        until(lambda: len(postbox.mails) == 1)
        cut = queue.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'kumiai worker'"
        )
        assert cut == [(True,)]
        queue.mail("after")
        until(lambda: len(postbox.mails) == 2)


def test_what_cannot_be_tidied_holds_up_neither_mail_nor_the_rest(
    queue: Queue, by_smtp: Settings, postbox: Postbox
) -> None:
    tidied: list[str] = []

    def cannot(connection: psycopg.Connection[Any]) -> None:
        connection.execute("SELECT 1 / 0")

    def loses_the_pools_connection_once(_: psycopg.Connection[Any]) -> None:
        tidied.append("in the pool")
        if len(tidied) == 1:
            with queue.app.app_context(), transaction() as session:
                session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    def can(_: psycopg.Connection[Any]) -> None:
        tidied.append("the rest")

    with running(by_smtp, tidy=(cannot, loses_the_pools_connection_once, can)):
        until(lambda: "the rest" in tidied)
        queue.mail("after")
        until(lambda: len(postbox.mails) == 1)
    assert tidied == ["in the pool", "in the pool", "the rest"]


def test_killed_in_the_middle_of_a_delivery_another_worker_delivers_it(
    queue: Queue, by_smtp: Settings, postbox: Postbox, tmp_path: Path
) -> None:
    postbox.hold.clear()
    queue.mail("once more")
    with worker_process(by_smtp, log=tmp_path / "log") as process:
        until(postbox.holding.is_set)
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    assert queue.states() == ["waiting"]
    assert deliver_all(by_smtp) == 0
    postbox.hold.set()
    before = len(postbox.mails)
    queue.time_passes()
    assert deliver_all(by_smtp) == 1
    assert len(postbox.mails) > before
    assert queue.states() == ["delivered"]
    assert len({mail["Message-ID"] for mail in postbox.mails}) == 1


def test_sigterm_lets_it_finish_the_message_in_hand(
    queue: Queue, by_smtp: Settings, postbox: Postbox, tmp_path: Path
) -> None:
    postbox.hold.clear()
    queue.mail("first")
    with worker_process(by_smtp, log=tmp_path / "log") as process:
        until(postbox.holding.is_set)
        queue.mail("second")
        process.send_signal(signal.SIGTERM)
        postbox.hold.set()
        assert process.wait(20) == 0
    assert queue.states() == ["delivered", "waiting"]


def test_a_worker_that_lost_one_of_its_parts_ends_as_failed(queue: Queue, by_smtp: Settings, tmp_path: Path) -> None:
    with queue.app.app_context():
        factories.issuer()
    queue.sql("ALTER TABLE webhook_lane RENAME TO not_where_it_was")
    with worker_process(by_smtp, log=tmp_path / "log") as process:
        assert process.wait(30) == 1
    assert "Sender ended, and the worker with it" in (tmp_path / "log").read_text()


def test_two_workers_deliver_each_of_200_messages_once(
    queue: Queue, by_smtp: Settings, postbox: Postbox, tmp_path: Path
) -> None:
    logs = (tmp_path / "one", tmp_path / "two")
    with worker_process(by_smtp, log=logs[0]) as one, worker_process(by_smtp, log=logs[1]) as two:
        until(lambda: all("waiting for messages" in log.read_text() for log in logs))
        postbox.hold.clear()  # until each of them has a message in hand
        for number in range(200):
            queue.mail(f"number {number}")
        until(lambda: queue.sql("SELECT count(*) FROM outbox WHERE attempts = 1") == [(2,)])
        postbox.hold.set()
        until(lambda: "waiting" not in queue.states(), within_s=120)
        for process in (one, two):
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    said = sorted(int(mail.get_content().split()[1]) for mail in postbox.mails)
    assert said == list(range(200))
    shares = [log.read_text().count(" delivered ") for log in logs]
    assert sum(shares) == 200
    assert min(shares) > 0


def test_the_log_names_no_address_and_no_word(
    queue: Queue, by_smtp: Settings, postbox: Postbox, tmp_path: Path
) -> None:
    postbox.recipient_answer = "550 5.1.1 hanako@example.ac.jp unknown"
    queue.mail("123456")
    with worker_process(by_smtp, log=tmp_path / "log") as process:
        until(lambda: queue.states() == ["given_up"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    log = (tmp_path / "log").read_text()
    assert "refused for good" in log
    assert "hanako" not in log
    assert "123456" not in log


@pytest.mark.parametrize("url", ["", "http://mail.example", "localhost:25"])
def test_an_unknown_way_to_send_is_said_at_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="KUMIAI_MAIL_URL"):
        mail_from_url(url, sender="a@b.example")
    with pytest.raises(SettingsError, match="KUMIAI_SMS_URL"):
        sms_from_url(url)
