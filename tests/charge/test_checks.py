"""What `kumiai ledger verify` finds in charging, and what is forgotten of it. Damage is done behind the triggers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from app.charge import purge
from app.charge.checks import CHARGE_CHECKS
from app.db import database_url
from app.wallet.verify import verify
from tests.charge.scene import Scene

pytestmark = pytest.mark.ledger

DAMAGE = {
    "room kept in a wallet is not what its open charges wait for": (
        "UPDATE wallet SET reserved_yen = reserved_yen + 1 WHERE member_id = %s AND reserved_yen > 0"
    ),
    "a charge that is over keeps room": (
        "UPDATE charge_order SET reserved_yen = amount_yen WHERE payer_id = %s AND state = 'paid'"
    ),
    "money that arrived is not what the ledger credited for it": (
        "UPDATE charge_received SET transaction_id = gen_random_uuid() FROM charge_order o"
        " WHERE o.id = order_id AND o.payer_id = %s"
    ),
    "the ledger credited an arrival that is not recorded as credited": (
        "UPDATE transaction SET created_at = created_at - interval '2 hours',"
        " metadata = metadata || '{\"received_id\": \"another\"}' WHERE member_id = %s AND kind = 'charge'"
    ),
}


@pytest.fixture
def connection(scene: Scene) -> Iterator[psycopg.Connection[Any]]:
    """One paid and one open charge; whatever is done to them over this connection is undone at the end."""
    paid, _ = scene.ordered(2_000), scene.ordered(1_000)
    scene.vendor.pay(scene.ref(paid["id"]))
    scene.charge(paid["id"])
    with scene.app.app_context(), psycopg.connect(database_url()) as damaged:
        yield damaged
        damaged.rollback()


@pytest.mark.parametrize("check", CHARGE_CHECKS)
def test_damage_is_found(scene: Scene, connection: psycopg.Connection[Any], check: str) -> None:
    query = CHARGE_CHECKS[check]
    assert connection.execute(query).fetchone() is None
    connection.execute("SET session_replication_role = replica")  # no triggers: somebody with the superuser's key
    assert connection.execute(DAMAGE[check].encode(), [scene.member_id]).rowcount == 1
    assert connection.execute(query).fetchone() is not None


def test_the_command_runs_them(scene: Scene) -> None:
    with scene.app.app_context():
        differences = verify(database_url(), further={"always wrong": "SELECT 'here'"})[1]
    assert [(found.check, found.where) for found in differences] == [("always wrong", "here")]


def test_followed_events_are_forgotten_after_a_month_and_others_not(scene: Scene) -> None:
    paid = scene.ordered()
    ref = scene.ref(paid["id"])
    scene.vendor.pay(ref)
    scene.deliver(ref)
    events = "SELECT count(*), count(done_at) FROM charge_event WHERE ref = :r"
    [(kept, followed)] = scene.rows(events, r=ref)
    assert kept == followed > 1
    scene.rows(
        "UPDATE charge_event SET done_at = now() - interval '31 days' WHERE ref = :r AND kind <> 'payment.paid'"
        " RETURNING 1",
        r=ref,
    )
    scene.rows("UPDATE charge_event SET done_at = NULL WHERE ref = :r AND kind = 'payment.paid' RETURNING 1", r=ref)
    with scene.app.app_context(), psycopg.connect(database_url(), autocommit=True) as connection:
        purge.tidy(connection)
    assert scene.rows(events, r=ref) == [(1, 0)]
    scene.poll()
    assert scene.rows(events, r=ref) == [(1, 1)]
