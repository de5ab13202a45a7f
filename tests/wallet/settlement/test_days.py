"""Closing a day that is over: through the last transaction of that day, in the issuer's time zone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from flask import Flask

from app.issuer import current_issuer
from app.wallet.settlement import closing, positions, reading
from app.wallet.settlement.errors import NothingToSettle, SettlementDayInFuture
from tests.live import eventually
from tests.wallet.settlement.shopkeeper import Shopkeeper, settlements, shopkeeper

pytestmark = pytest.mark.ledger

TOKYO = ZoneInfo("Asia/Tokyo")
DAY = datetime.now(TOKYO).date() + timedelta(days=10)
"""The database's clock cannot be turned back, but its order can be told that it is later already."""


@pytest.fixture
def keeper(fresh_app: Flask) -> Iterator[Shopkeeper]:
    with fresh_app.app_context():
        yield shopkeeper()


def at(database_url: str, day: date, hour: int, minute: int = 0) -> None:
    """Let the next transactions be of this moment in Tokyo."""
    moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=TOKYO)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE issuer_head SET created_at = %s", [moment])


def close(keeper: Shopkeeper, day: date | None = None) -> reading.SettlementView:
    return reading.settlement(closing.close(shop_id=keeper.shop_id, day=day))


def test_a_day_ends_at_midnight_in_the_issuers_time_zone(keeper: Shopkeeper, fresh_database: str) -> None:
    for day, hour, amount_yen in ((DAY, 0, 1), (DAY, 23, 20), (DAY + timedelta(days=1), 0, 300)):
        at(fresh_database, day, hour, 59 if hour else 0)
        keeper.pay(amount_yen)
    at(fresh_database, DAY + timedelta(days=2), 8)
    yesterdays = close(keeper, DAY)
    assert (yesterdays.settled_yen, yesterdays.first_day, yesterdays.through_day) == (21, DAY, DAY)
    assert close(keeper, DAY) == yesterdays
    next_one = close(keeper, DAY + timedelta(days=1))
    assert (next_one.settled_yen, next_one.number, next_one.first_day) == (300, 2, DAY + timedelta(days=1))


def test_today_is_closed_through_now_and_again_later(keeper: Shopkeeper, fresh_database: str) -> None:
    at(fresh_database, DAY, 14)
    keeper.pay(100)
    first = close(keeper)
    assert (first.through_day, first.settled_yen) == (DAY, 100)
    keeper.pay(50)
    second = close(keeper, DAY)
    assert (second.number, second.settled_yen, second.through_day) == (2, 50, DAY)


def test_a_day_before_what_is_closed_adds_nothing(keeper: Shopkeeper, fresh_database: str) -> None:
    at(fresh_database, DAY, 14)
    keeper.pay(100)
    at(fresh_database, DAY + timedelta(days=1), 9)
    keeper.pay(10)
    whole = close(keeper)
    assert close(keeper, DAY) == whole
    assert settlements(keeper.shop_id) == [whole]


def test_days_without_takings_are_part_of_the_next_period(keeper: Shopkeeper, fresh_database: str) -> None:
    at(fresh_database, DAY, 14)
    with pytest.raises(NothingToSettle):
        close(keeper, DAY)
    at(fresh_database, DAY + timedelta(days=3), 9)
    keeper.pay(10)
    found = close(keeper, DAY + timedelta(days=3))
    assert (found.first_day, found.through_day) == (DAY + timedelta(days=3), DAY + timedelta(days=3))


def test_a_day_to_come_cannot_be_closed(keeper: Shopkeeper, fresh_database: str) -> None:
    at(fresh_database, DAY, 14)
    keeper.pay(100)
    with pytest.raises(SettlementDayInFuture):
        close(keeper, DAY + timedelta(days=1))
    assert settlements(keeper.shop_id) == []


def test_a_batch_in_flight_is_waited_for(keeper: Shopkeeper, fresh_database: str, fresh_app: Flask) -> None:
    """It has its instant, before midnight, but is not committed when the day is cut."""
    at(fresh_database, DAY, 23, 59)
    keeper.pay(100)
    issuer_id = current_issuer().id
    with psycopg.connect(fresh_database) as batch, psycopg.connect(fresh_database, autocommit=True) as watching:
        batch.execute("UPDATE issuer_head SET position = position + 1")
        cuts: list[positions.Cut] = []

        def cut() -> None:
            with fresh_app.app_context():
                cuts.append(positions.cut(issuer_id=issuer_id, day=None))

        thread = threading.Thread(target=cut)
        thread.start()
        waits = "SELECT true FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        eventually(lambda: watching.execute(waits, [batch.info.backend_pid]).fetchone())
        assert cuts == []
        (position,) = batch.execute("SELECT position FROM issuer_head").fetchone() or (0,)
        batch.commit()
        thread.join()
    assert cuts == [positions.Cut(DAY, position)]
