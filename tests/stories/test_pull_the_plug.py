"""kill -9 in the middle of a stream of payments: a web worker, then PostgreSQL itself.

Clients do what the API tells them: make the key first, and after a lost reply or a 503 send the very same request
again until there is an answer. Afterwards every acknowledged payment is in the ledger exactly once, nothing else
moved, and the ledger is clean.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import psycopg
import pytest
import requests
from flask import Flask

from app.db import dispose
from app.embedded import EmbeddedPostgres
from app.factory import create_app
from app.migrate import upgrade
from app.settings import Settings
from app.wallet import directory, ledger
from app.wallet.verify import verify
from tests import factories
from tests.live import eventually, served, server_env
from tests.ports import free_port

CLIENTS = 8
WORKERS = 2
START_YEN = 1_000_000
STARTED_WITHIN_S = 60
"""PostgreSQL, after a crash."""
ANSWERED_WITHIN_S = 3 * STARTED_WITHIN_S
"""A payment that was sent right before one: longer than all that it may have to wait for."""


@dataclass
class Stream:
    """Payments of one yen from several clients until told to stop, each retried with its key until it is answered."""

    url: str
    token: str
    money: str
    shop: str
    server: psutil.Process | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def run(self) -> None:
        with requests.Session() as http:
            while not self.stop.is_set():
                self._pay(http, secrets.token_hex(8))

    def _pay(self, http: requests.Session, key: str) -> None:
        deadline = time.monotonic() + ANSWERED_WITHIN_S
        while time.monotonic() < deadline:
            answer = self.send(http, key)
            if answer is not None and answer.status_code == 201:
                self.acknowledged.append(key)
                return
            if answer is not None and answer.status_code not in (409, 503):
                self.unexpected.append(f"{answer.status_code} {answer.text}")
                return
        self.unexpected.append(f"no answer within {ANSWERED_WITHIN_S} s")

    def send(self, http: requests.Session, key: str) -> requests.Response | None:
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key}
        body = {"amount_yen": 1, "money": self.money, "shop": self.shop}
        try:
            return http.post(f"{self.url}/v1/payments", json=body, headers=headers, timeout=10)
        except requests.RequestException:
            return None


@pytest.fixture
def postgres_of_its_own() -> Iterator[EmbeddedPostgres]:
    # not pytest's own folder: the embedded PostgreSQL opens its parents' modes, and pytest closes them again
    with (
        tempfile.TemporaryDirectory(prefix="kumiai-test-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as postgres,
    ):
        postgres.create_database("plug")
        upgrade(postgres.url("plug"))
        yield postgres


@pytest.fixture
def stream(
    postgres_of_its_own: EmbeddedPostgres, make_settings: Callable[[str], Settings], tmp_path: Path
) -> Iterator[Stream]:
    """The server with two workers, and a member who allowed payments."""
    url = f"http://localhost:{free_port()}"
    settings = replace(make_settings(postgres_of_its_own.url("plug")), issuer_url=url)
    with ExitStack() as stack:
        app = create_app(settings)
        with app.app_context():
            made = _made(app, url)
            dispose()
        running = stack.enter_context(
            served("wsgi:app", url, env=server_env(settings), log=tmp_path / "log", workers=WORKERS)
        )
        made.server = psutil.Process(running.pid)
        yield made


def test_nothing_acknowledged_is_lost_and_nothing_moves_twice(
    postgres_of_its_own: EmbeddedPostgres, stream: Stream
) -> None:
    threads = [threading.Thread(target=stream.run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        _wait_for_more(stream, 100)
        assert stream.server is not None
        _web_workers(stream.server)[-1].kill()
        _wait_for_more(stream, 100)
        for _ in range(2):
            killed = psutil.Process(postgres_of_its_own.pid)
            killed.kill()
            killed.wait(30)
            _start_again(postgres_of_its_own)
            _wait_for_more(stream, 100)
    finally:
        stream.stop.set()
        for thread in threads:
            thread.join()
    assert stream.unexpected == []
    with requests.Session() as http:
        for key in stream.acknowledged[::50]:
            again = stream.send(http, key)
            assert again is not None
            assert (again.status_code, again.headers.get("Idempotency-Hit")) == (201, "true")
    url = postgres_of_its_own.url("plug")
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT request_id FROM transaction WHERE kind = 'payment'").fetchall()
        balance = connection.execute("SELECT sum(total_yen) FROM wallet").fetchone()
    held = Counter(request_id for (request_id,) in rows)
    assert held == Counter(stream.acknowledged), "every acknowledged payment exactly once, and no other"
    assert balance == (START_YEN - len(stream.acknowledged),)
    _, differences = verify(url)
    assert differences == []


def _made(app: Flask, url: str) -> Stream:
    factories.issuer()
    holder = factories.holder(balance_yen=START_YEN)
    registered = factories.oauth_client(allowed_shops=[holder.shop_id])
    token = factories.access_token(member_id=holder.member_id, client_id=registered.id, scopes=["payment"])
    shop = directory.shop_by_id(holder.shop_id).code
    ledger.close()
    return Stream(url=url, token=token, money=holder.money, shop=shop)


def _web_workers(server: psutil.Process) -> list[psutil.Process]:
    """The processes that answer requests: granian forks itself for each."""
    workers = [child for child in server.children() if child.cmdline() == server.cmdline()]
    assert len(workers) == WORKERS, [child.cmdline() for child in server.children()]
    return workers


def _wait_for_more(stream: Stream, count: int) -> None:
    goal = len(stream.acknowledged) + count
    eventually(lambda: stream.unexpected or len(stream.acknowledged) >= goal or None, within_s=ANSWERED_WITHIN_S)


def _start_again(postgres: EmbeddedPostgres) -> None:
    """As an operator would: PostgreSQL refuses to start until the last process of the killed one is gone."""

    def start() -> bool | None:
        try:
            postgres.start_again()
        except Exception:
            return None
        return True

    eventually(start, within_s=STARTED_WITHIN_S)
