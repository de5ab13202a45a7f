"""The web server killed at each step of a charge, with real processes: what was agreed is credited once, by whoever
comes next.

Where it dies is held by what it waits for: the gateway, or a row that somebody else has locked.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
import requests
from flask import Flask

from app.db import dispose
from app.factory import create_app
from app.settings import Settings
from app.wallet import ledger
from tests import factories
from tests.charge.scene import CONTACT, Scene
from tests.charge.vendor import Vendor
from tests.live import eventually, served, server_env
from tests.ports import free_port

pytestmark = pytest.mark.ledger


class Dying:
    """A server that will be killed, and a member of its co-op."""

    def __init__(self, app: Flask, sandbox: Vendor, server: psutil.Process, url: str, settings: Settings) -> None:
        self.scene, self.server, self.url, self.settings = Scene(app, sandbox), server, url, settings
        self.key = secrets.token_hex(8)

    def order(self) -> None:
        """As the member's app asks. Nobody is told what became of it."""
        headers = {"Authorization": f"Bearer {self.scene.token}", "Idempotency-Key": self.key}
        body = {"money": self.scene.world.meal, "amount_yen": 3_000, "method": "konbini", **CONTACT}
        self._in_background(lambda: requests.post(f"{self.url}/v1/charges", json=body, headers=headers, timeout=30))

    def tell(self, ref: str) -> None:
        """The gateway's newest event."""
        headers, body = self.scene.vendor.messages(ref)[-1]
        address = f"{self.url}/charge/webhooks/sandbox"
        self._in_background(lambda: requests.post(address, data=body, headers=headers, timeout=30))

    def ordered_and_paid(self) -> str:
        """A slip that was paid, of which the server does not know; its ref."""
        ordered = self.scene.ordered()
        ref = self.scene.ref(ordered["id"])
        self.scene.vendor.pay(ref)
        return ref

    def kill(self) -> None:
        """The plug. Both granian and its worker, so that nobody takes up what it had in hand."""
        for one in (self.server, *self.server.children(recursive=True)):
            one.kill()
        self.server.wait(10)

    @contextmanager
    def locked(self, sql: str) -> Iterator[psycopg.Connection]:
        """Somebody else holds a row."""
        with psycopg.connect(self.settings.database_url) as connection:
            connection.execute(sql, {"m": self.scene.member_id})
            yield connection

    def wait_until_blocked(self, connection: psycopg.Connection) -> None:
        """The server waits for what `connection` holds."""
        pid = connection.info.backend_pid
        sql = "SELECT true FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))"
        eventually(lambda: self.scene.rows(sql, pid=pid) or None)

    def wait_for(self, sql: str) -> None:
        eventually(lambda: self.scene.rows(sql, m=self.scene.member_id) or None)

    @staticmethod
    def _in_background(call: Callable[[], object]) -> None:
        def run() -> None:
            try:
                call()
            except requests.RequestException:
                return

        threading.Thread(target=run, daemon=True).start()


WALLET = "SELECT id FROM wallet WHERE member_id = %(m)s ORDER BY id FOR UPDATE"
ORDER = "SELECT id FROM charge_order WHERE member_id = %(m)s FOR UPDATE"
WAITING = "SELECT 1 FROM charge_received r JOIN charge_order o ON o.id = r.order_id WHERE o.member_id = :m"
POSTED = "SELECT 1 FROM transaction WHERE member_id = :m AND kind = 'charge'"


def stored_and_the_gateway_not_asked(dying: Dying) -> None:
    dying.scene.vendor.fault("api_slow", operation="create", seconds=20)
    dying.order()
    dying.wait_for("SELECT 1 FROM charge_order WHERE member_id = :m AND state = 'created'")
    dying.kill()


def the_gateways_answer_not_heard(dying: Dying) -> None:
    dying.scene.vendor.fault("api_timeout", operation="create", seconds=20)
    dying.order()
    dying.wait_for("SELECT 1 FROM charge_order WHERE member_id = :m AND state = 'created'")
    eventually(lambda: dying.scene.vendor.of_order(_order_id(dying)) or None)
    dying.kill()


def the_events_payment_not_looked_up(dying: Dying) -> None:
    ref = dying.ordered_and_paid()
    dying.scene.vendor.fault("api_slow", operation="get", seconds=20, payment_id=ref)
    dying.tell(ref)
    dying.wait_for("SELECT 1 FROM charge_event e JOIN charge_order o ON o.gateway_ref = e.ref WHERE o.member_id = :m")
    dying.kill()


def looked_up_and_nothing_recorded(dying: Dying) -> None:
    ref = dying.ordered_and_paid()
    with dying.locked(ORDER) as held:
        dying.tell(ref)
        dying.wait_until_blocked(held)
        dying.kill()


def recorded_and_not_posted(dying: Dying) -> None:
    ref = dying.ordered_and_paid()
    with dying.locked(WALLET) as held:
        dying.tell(ref)
        dying.wait_for(WAITING)
        dying.wait_until_blocked(held)
        dying.kill()


def posted_and_not_marked(dying: Dying) -> None:
    ref = dying.ordered_and_paid()
    with dying.locked(WALLET) as wallet:
        dying.tell(ref)
        dying.wait_for(WAITING)
        with dying.locked(ORDER):
            wallet.rollback()
            dying.wait_for(POSTED)
            dying.kill()


def _order_id(dying: Dying) -> object:
    [(order_id,)] = dying.scene.rows("SELECT id FROM charge_order WHERE member_id = :m", m=dying.scene.member_id)
    return order_id


STEPS = (
    stored_and_the_gateway_not_asked,
    the_gateways_answer_not_heard,
    the_events_payment_not_looked_up,
    looked_up_and_nothing_recorded,
    recorded_and_not_posted,
    posted_and_not_marked,
)


@pytest.fixture
def dying(
    fresh_database: str, make_settings: Callable[[str], Settings], sandbox: Vendor, tmp_path: Path
) -> Iterator[Dying]:
    url = f"http://localhost:{free_port()}"
    settings = replace(make_settings(fresh_database), issuer_url=url, **sandbox.settings)
    app = create_app(settings)
    with app.app_context():
        factories.issuer()
    with served("wsgi:app", url, env=server_env(settings), log=tmp_path / "log") as server:
        yield Dying(app, sandbox, psutil.Process(server.pid), url, settings)
    ledger.close()
    with app.app_context():
        dispose()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_killed_at_this_step_it_is_credited_once(dying: Dying, step: Callable[[Dying], None]) -> None:
    step(dying)
    scene = dying.scene
    scene.vendor.calm()
    scene.poll()
    [charge] = scene.ask("GET", "/v1/charges").get_json()["charges"]
    if charge["state"] == "pending":  # it died before it could be paid
        assert (scene.balance_yen(), scene.reserved_yen()) == (0, 3_000)
        scene.vendor.pay(scene.ref(charge["id"]))
        scene.poll()
    scene.deliver(scene.ref(charge["id"]))
    scene.poll()
    charge = scene.charge(charge["id"])
    assert (charge["state"], charge["credited_yen"], len(charge["received"])) == ("paid", 3_000, 1)
    assert (scene.balance_yen(), scene.reserved_yen()) == (3_000, 0)
    scene.clean()
