"""A database of its own for the outbox, real worker processes, and a mail server that does as it is told."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Flask

from app import outbox
from app.db import dispose, transaction
from app.factory import create_app
from app.settings import Settings

SENDER = "no-reply@coop.example"


class Postbox:
    """The mail server's other end: keeps what arrives, answers what it is told, holds a mail back when asked."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"
        self.recipient_answer: str | None = None
        self.over_tls: list[bool] = []
        self.hold = threading.Event()
        self.hold.set()
        self.holding = threading.Event()

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.recipient_answer:
            return self.recipient_answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if not self.hold.is_set():
            self.holding.set()
            await server.loop.run_in_executor(None, self.hold.wait, 60)
        if self.answer.startswith("250"):
            mail = message_from_bytes(envelope.original_content or b"", policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.over_tls.append(session.ssl is not None)
        return self.answer


class AnyPort(Controller):
    """Listens on a port that the system chooses, so that nobody can take it in between."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(postbox: Postbox, *, hostname: str = "127.0.0.1", **options: Any) -> Iterator[int]:
    """A real SMTP server for as long as the block lasts; yields its port."""
    controller = AnyPort(postbox, hostname=hostname, port=0, **options)
    controller.start()
    try:
        yield controller.port
    finally:
        postbox.hold.set()
        controller.stop()


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def smtp(postbox: Postbox) -> Iterator[str]:
    """The KUMIAI_MAIL_URL of a server that puts everything into `postbox`."""
    with mail_server(postbox) as port:
        yield f"smtp://127.0.0.1:{port}"


class Queue:
    """An outbox of its own, and what became of it."""

    def __init__(self, settings: Settings, app: Flask) -> None:
        self.settings = settings
        self.app = app

    def mail(self, text: str = "本文", *, to: str = "hanako@example.ac.jp", expires_at: datetime | None = None) -> None:
        self.emit("mail", {"to": to, "subject": "件名", "text": text}, expires_at=expires_at)

    def emit(self, topic: str, payload: dict[str, Any], *, expires_at: datetime | None = None) -> None:
        with self.app.app_context(), transaction():
            outbox.emit(topic, payload, expires_at=expires_at)

    def sql(self, statement: str) -> list[Any]:
        with psycopg.connect(self.settings.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]  # a test's own text
            return cursor.fetchall() if cursor.description else []

    def states(self) -> list[str]:
        return [state for (state,) in self.sql("SELECT state FROM outbox ORDER BY id")]

    def time_passes(self) -> None:
        """Everything that waits is due now: leases have run out, pauses are over."""
        self.sql("UPDATE outbox SET due_at = now() WHERE state = 'waiting'")


@pytest.fixture
def queue(fresh_database: str, make_settings: Callable[[str], Settings], tmp_path: Path) -> Iterator[Queue]:
    box = f"maildir:{tmp_path / 'mailbox'}"
    settings = replace(make_settings(fresh_database), mail_from=SENDER, mail_url=box, sms_url=box)
    app = create_app(settings)
    yield Queue(settings, app)
    with app.app_context():
        dispose()


@contextmanager
def worker_process(settings: Settings, *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real `kumiai worker` that logs into a file, killed at the end if it still runs."""
    environment = {
        **os.environ,
        "KUMIAI_ENV": "test",
        "DATABASE_URL": settings.database_url,
        "KUMIAI_SECRET_KEY": base64.b64encode(settings.secret_key).decode(),
        "KUMIAI_SEALING_KEY": base64.b64encode(settings.sealing_key).decode(),
        "KUMIAI_CARD_PEPPER": base64.b64encode(settings.card_pepper).decode(),
        "KUMIAI_MAIL_URL": settings.mail_url,
        "KUMIAI_MAIL_FROM": settings.mail_from,
        "KUMIAI_SMS_URL": settings.sms_url,
    }
    command = [sys.executable, "-c", "from app.cli import main; main()", "worker"]
    with log.open("wb") as file, subprocess.Popen(command, env=environment, stderr=file) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], bool], *, within_s: float = 30) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)
