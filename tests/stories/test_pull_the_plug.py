"""kill -9 in the middle of everything: a web worker, the worker process, PostgreSQL itself.

Sixteen clients pay, give back and move, and a bulk job runs. They do what the API tells them: make the key first, and
after a lost reply or a 503 send the very same request again until there is an answer; now and then one gives up after
its first try. Afterwards every acknowledged request is in the ledger exactly once, every abandoned one at most once,
every line of the bulk job once, and the ledger is clean.
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests
from flask import Flask

from app.db import dispose, transaction
from app.embedded import EmbeddedPostgres
from app.factory import create_app
from app.issuer import current_issuer
from app.migrate import upgrade
from app.settings import Settings
from app.wallet import directory, ledger, setup
from app.wallet.verify import verify
from tests import factories
from tests.folders import data_folder
from tests.live import eventually, process, served, server_env
from tests.ports import free_port

CLIENTS = 16
MEMBERS = 4
WORKERS = 2
START_YEN = 1_000_000
BULK_LINES = 1_000
STARTED_WITHIN_S = 60
"""PostgreSQL, after a crash."""
ANSWERED_WITHIN_S = 3 * STARTED_WITHIN_S
"""A request that was sent right before one: longer than all that it may have to wait for."""
EVERY_NTH_GIVES_UP = 25


@dataclass(frozen=True)
class Place:
    """What there is: members with their tokens, two monies, a shop, a program with a bulk job, all at one server."""

    url: str
    tokens: list[str]
    office: str
    base: str
    meal: str
    shop: str
    lines: str


@dataclass
class Clients:
    """Payments, refunds and moves of many clients at once, until told to stop."""

    place: Place
    stop: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[str] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    bodies: dict[str, tuple[str, str, Mapping[str, Any]]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)

    def run(self, number: int) -> None:
        token = self.place.tokens[number % MEMBERS]
        with requests.Session() as http:
            while not self.stop.is_set():
                paid = self._ask(http, token, "/v1/payments", amount_yen=3, money=self.place.base, shop=self.place.shop)
                if paid is not None:
                    self._ask(http, token, f"/v1/payments/{paid['id']}/refunds", amount_yen=2)
                self._ask(http, token, "/v1/moves", **{"from": self.place.base, "to": self.place.meal}, amount_yen=1)

    def _ask(self, http: requests.Session, token: str, path: str, **body: Any) -> dict[str, Any] | None:
        """What the server made of it in the end; None where this client gave up, or got another answer."""
        key = secrets.token_hex(8)
        self.bodies[key] = (token, path, body)
        deadline = time.monotonic() + ANSWERED_WITHIN_S
        while time.monotonic() < deadline:
            answer = self.send(http, key)
            if answer is not None and answer.status_code == 201:
                self.acknowledged.append(key)
                found: dict[str, Any] = answer.json()
                return found
            if answer is not None and answer.status_code not in (409, 503):
                self.unexpected.append(f"{path} {answer.status_code} {answer.text}")
                return None
            if int(key, 16) % EVERY_NTH_GIVES_UP == 0:
                self.abandoned.append(key)
                return None
        self.unexpected.append(f"no answer within {ANSWERED_WITHIN_S} s")
        return None

    def send(self, http: requests.Session, key: str) -> requests.Response | None:
        token, path, body = self.bodies[key]
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        try:
            return http.post(f"{self.place.url}{path}", json=body, headers=headers, timeout=10)
        except requests.RequestException:
            return None


@dataclass
class Running:
    """The processes, each of which may be killed."""

    postgres: EmbeddedPostgres
    place: Place
    server: psutil.Process
    settings: Settings
    folder: Path
    stack: ExitStack

    def start_worker(self) -> psutil.Process:
        command = [sys.executable, "-c", "from app.cli import main; main()", "worker"]
        running = self.stack.enter_context(process(command, env=server_env(self.settings), log=self.folder / "worker"))
        return psutil.Process(running.pid)

    def kill_web_worker(self, number: int) -> None:
        """granian forks itself for each, and starts another in its place, last of its children. The same one killed
        twice within some seconds it takes for a crash loop, and ends."""
        server = self.server
        workers = [child for child in server.children() if child.cmdline() == server.cmdline()]
        assert len(workers) == WORKERS, [child.cmdline() for child in server.children()]
        workers[number].kill()

    def kill_postgres(self) -> None:
        killed = psutil.Process(self.postgres.pid)
        killed.kill()
        killed.wait(30)

        def start() -> bool | None:
            """PostgreSQL refuses to start until the last process of the killed one is gone."""
            try:
                self.postgres.start_again()
            except Exception:
                return None
            return True

        eventually(start, within_s=STARTED_WITHIN_S)


@pytest.fixture
def postgres_of_its_own() -> Iterator[EmbeddedPostgres]:
    with data_folder() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        postgres.create_database("plug")
        upgrade(postgres.url("plug"))
        yield postgres


@pytest.fixture
def running(
    postgres_of_its_own: EmbeddedPostgres, make_settings: Callable[[str], Settings], tmp_path: Path
) -> Iterator[Running]:
    url = f"http://localhost:{free_port()}"
    settings = replace(make_settings(postgres_of_its_own.url("plug")), issuer_url=url)
    with ExitStack() as stack:
        app = create_app(settings)
        with app.app_context():
            place = _made(app, url)
            ledger.close()
            dispose()
        server = stack.enter_context(
            served("wsgi:app", url, env=server_env(settings), log=tmp_path / "log", workers=WORKERS)
        )
        yield Running(postgres_of_its_own, place, psutil.Process(server.pid), settings, tmp_path, stack)


def test_nothing_acknowledged_is_lost_and_nothing_moves_twice(running: Running) -> None:
    clients = Clients(running.place)
    threads = [threading.Thread(target=clients.run, args=(number,)) for number in range(CLIENTS)]
    worker = running.start_worker()
    job = _bulk_job(running.place)
    for thread in threads:
        thread.start()
    try:
        _wait_for_more(clients, 100)
        running.kill_web_worker(1)
        _wait_for_more(clients, 100)
        for _ in range(2):
            worker.kill()
            worker.wait(30)
            _wait_for_more(clients, 50)
            worker = running.start_worker()
            running.kill_postgres()
            _wait_for_more(clients, 100)
        running.kill_web_worker(0)
        _wait_for_more(clients, 100)
    finally:
        clients.stop.set()
        for thread in threads:
            thread.join()
    assert clients.unexpected == []
    eventually(lambda: _state(running.place, job) == "done" or None, within_s=ANSWERED_WITHIN_S)
    with requests.Session() as http:
        for key in clients.acknowledged[::50]:
            again = clients.send(http, key)
            assert again is not None
            assert (again.status_code, again.headers.get("Idempotency-Hit")) == (201, "true")
    _compare(running.postgres.url("plug"), clients)


def _compare(url: str, clients: Clients) -> None:
    """What the ledger holds with what the clients know."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT request_id, kind, amount_yen FROM transaction WHERE kind IN ('payment', 'refund', 'move')"
        ).fetchall()
        bulk = connection.execute(
            "SELECT request_id, count(*) FROM transaction WHERE metadata ? 'bulk_job' GROUP BY request_id"
        ).fetchall()
        balances = dict(
            connection.execute(
                "SELECT code, sum(total_yen)::bigint FROM wallet JOIN money ON money.id = money_id GROUP BY code"
            ).fetchall()
        )
    held = Counter(key for key, _, _ in rows)
    assert max(held.values()) == 1
    assert set(clients.acknowledged) <= held.keys(), "every acknowledged request is there"
    assert held.keys() <= {*clients.acknowledged, *clients.abandoned}, "and no other, but what a client gave up on"
    assert len(bulk) == BULK_LINES
    assert {count for _, count in bulk} == {1}
    sums = {kind: sum(yen for _, of, yen in rows if of == kind) for kind in ("payment", "refund", "move")}
    out_yen = sums["payment"] - sums["refund"] + sums["move"]
    assert balances[clients.place.base] == MEMBERS * START_YEN - out_yen
    assert balances[clients.place.meal] == sums["move"] + BULK_LINES
    _, differences = verify(url)
    assert differences == []


def _made(app: Flask, url: str) -> Place:
    issuer_id = factories.issuer()
    members = [factories.member() for _ in range(MEMBERS)]
    with transaction():
        base, meal = (
            setup.open_money(issuer_id=issuer_id, code=code, name_ja=code, name_en=code) for code in ("base", "meal")
        )
        setup.allow_move(from_money=base, to_money=meal)
        shop = setup.open_shop(
            issuer_id=current_issuer().id, code="canteen", name_ja="食堂", name_en="Canteen", accepts=[base, meal]
        )
        for member_id in members:
            for money in (base, meal):
                setup.open_wallet(issuer_id=issuer_id, member_id=member_id, money=money)
        shop_id = shop.id
    for member_id in members:
        factories.charge(member_id=member_id, money="base", amount_yen=START_YEN)
    scopes = ["payment", "move"]
    registered = factories.oauth_client(allowed_shops=[shop_id], scopes=scopes)
    program = factories.oauth_client(profile="service", scopes=["bulk"])
    return Place(
        url=url,
        tokens=[
            factories.access_token(
                member_id=member_id,
                client_id=registered.id,
                scopes=scopes,
            )
            for member_id in members
        ],
        office=factories.access_token(member_id=None, client_id=program.id, scopes=["bulk"]),
        base="base",
        meal="meal",
        shop=directory.shop_by_id(shop_id).code,
        lines="member,money,amount_yen,kind\r\n"
        + "".join(f"{members[line % MEMBERS]},meal,1,grant\r\n" for line in range(BULK_LINES)),
    )


def _bulk_job(place: Place) -> str:
    """A job that was examined and started."""
    headers = {"Authorization": f"Bearer {place.office}", "Idempotency-Key": "job-1", "Content-Type": "text/csv"}
    made = requests.post(f"{place.url}/v1/bulk", data=place.lines.encode(), headers=headers, timeout=30)
    assert made.status_code == 201, made.text
    job: str = made.json()["id"]
    eventually(lambda: _state(place, job) == "examined" or None)
    started = requests.post(
        f"{place.url}/v1/bulk/{job}/start",
        json={"expected_sum_yen": BULK_LINES},
        headers={"Authorization": f"Bearer {place.office}"},
        timeout=30,
    )
    assert started.status_code == 200, started.text
    return job


def _state(place: Place, job: str) -> str | None:
    """A job's state; None where a server that was killed cannot tell just now."""
    try:
        answer = requests.get(
            f"{place.url}/v1/bulk/{job}", headers={"Authorization": f"Bearer {place.office}"}, timeout=30
        )
    except requests.RequestException:
        return None
    assert answer.status_code in (200, 503), answer.text
    return answer.json()["state"] if answer.ok else None


def _wait_for_more(clients: Clients, count: int) -> None:
    goal = len(clients.acknowledged) + count
    eventually(lambda: clients.unexpected or len(clients.acknowledged) >= goal or None, within_s=ANSWERED_WITHIN_S)
