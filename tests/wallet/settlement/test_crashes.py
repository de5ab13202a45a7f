"""Closing while the ground shakes: a process that is killed between its steps, and a till that goes on paying."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from app.settings import Settings
from app.wallet import directory
from app.wallet.postings import Accepted
from app.wallet.settlement import closing
from app.wallet.verify import verify
from app.worker import finish_settlements
from tests.live import ROOT, eventually, server_env
from tests.wallet.settlement.shopkeeper import Shopkeeper, settlements, shopkeeper, takings_yen

pytestmark = pytest.mark.ledger

SHOP = "SELECT FROM shop WHERE id = %(shop)s FOR UPDATE"
TAKINGS = "SELECT FROM account WHERE shop_id = %(shop)s FOR UPDATE"
ROW = "SELECT FROM settlement WHERE shop_id = %(shop)s FOR UPDATE"


class Held:
    """A row that somebody else holds, so that a process stops right before it needs it."""

    def __init__(self, database_url: str, shop_id: UUID, statement: str) -> None:
        self.theirs = psycopg.connect(database_url)
        self.theirs.execute(statement.encode(), {"shop": shop_id})
        self.watching = psycopg.connect(database_url, autocommit=True)

    def wait(self) -> None:
        """Until somebody stands in line for it."""
        eventually(self._waiting)

    def cut_off(self) -> None:
        """End whoever stands in line: PostgreSQL would carry out what a process sent it before it died."""
        self.watching.execute("SELECT pg_terminate_backend(%s)", self._waiting())
        eventually(lambda: not self._waiting())

    def _waiting(self) -> tuple[int] | None:
        blocked = "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        return self.watching.execute(blocked, [self.theirs.info.backend_pid]).fetchone()

    def release(self) -> None:
        self.theirs.rollback()

    def close(self) -> None:
        self.theirs.close()
        self.watching.close()


@contextmanager
def held(settings: Settings, keeper: Shopkeeper, statement: str) -> Iterator[Held]:
    one = Held(settings.database_url, keeper.shop_id, statement)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def closing_process(settings: Settings, keeper: Shopkeeper) -> Iterator[None]:
    """`kumiai settlement close` as a process of its own; killed at the end of the block."""
    code = directory.shop_by_id(keeper.shop_id).code
    process = subprocess.Popen(
        [sys.executable, "-c", "from app.cli import main; main()", "settlement", "close", code],
        cwd=ROOT,
        env=server_env(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("dies", ["before its row", "before the ledger", "before its mark"])
def test_a_process_that_is_killed_is_carried_on(app: Flask, settings: Settings, dies: str) -> None:
    with app.app_context():
        keeper = shopkeeper()
        keeper.pay(500)
        with ExitStack() as stack:
            last = stack.enter_context(held(settings, keeper, SHOP if dies == "before its row" else TAKINGS))
            with closing_process(settings, keeper):
                last.wait()
                if dies == "before its mark":
                    row = stack.enter_context(held(settings, keeper, ROW))
                    last.release()
                    last = row
                    last.wait()
            last.cut_off()
        left = settlements(keeper.shop_id)
        assert [one.state for one in left] == ([] if dies == "before its row" else ["closing"])
        posted = takings_yen(settings.database_url, keeper.shop_id)
        assert posted == {keeper.monies[0]: 0 if dies == "before its mark" else 500}
        if left:
            with psycopg.connect(settings.database_url) as connection:
                finish_settlements(app)(connection)
            assert settlements(keeper.shop_id)[0].state == "closed"
        done = keeper.close()
        assert (done.number, done.state, done.settled_yen) == (1, "closed", 500)
        assert takings_yen(settings.database_url, keeper.shop_id) == {keeper.monies[0]: 0}
        assert settlements(keeper.shop_id) == [done]
        assert not verify(settings.database_url)[1]


def test_nothing_is_lost_or_doubled_while_the_till_goes_on(app: Flask, database_url: str) -> None:
    """Four tills pay and give back while two clerks close, again and again."""
    with app.app_context():
        keeper = shopkeeper()
        paid, given_back = [], []
        stop = threading.Event()

        def till() -> None:
            with app.app_context():
                for n in range(25):
                    id_ = keeper.pay(100 + n)
                    paid.append(100 + n)
                    if n % 5 == 4 and isinstance(keeper.give_back(id_), Accepted):
                        given_back.append(100 + n)

        def clerk() -> None:
            with app.app_context():
                while not stop.is_set():
                    if paid:
                        closing.close(shop_id=keeper.shop_id)

        with ThreadPoolExecutor(6) as pool:
            tills = [pool.submit(till) for _ in range(4)]
            clerks = [pool.submit(clerk) for _ in range(2)]
            try:
                for each in tills:
                    each.result()
            finally:
                stop.set()
            for each in clerks:
                each.result()
        keeper.close()
        found = settlements(keeper.shop_id)
        assert len(found) > 1
        assert [one.after_position for one in found] == [0, *(one.through_position for one in found[:-1])]
        lines = [line for one in found for line in one.lines]
        assert sum(line.payments for line in lines) == len(paid) == 100
        assert sum(line.payments_yen for line in lines) == sum(paid)
        assert sum(line.refunds_yen for line in lines) == sum(given_back)
        still = takings_yen(database_url, keeper.shop_id)[keeper.monies[0]]
        assert sum(one.settled_yen for one in found) + still == sum(paid) - sum(given_back)
        assert still == lines[-1].carried_out_yen
        assert all(one.state == "closed" for one in found)
        assert not verify(database_url)[1]
