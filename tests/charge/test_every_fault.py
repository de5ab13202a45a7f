"""Every fault of the sandbox's console, with webhooks sent for real, two pollers and a page that asks: credited once.

What must come of it is not said here but by the gateway's own record of what it received.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from app.charge.gateways.current import current_gateway
from app.charge.poller import Charges
from app.charge.sandbox import faults
from tests.charge.scene import Scene
from tests.charge.vendor import Vendor
from tests.live import eventually
from tests.wallet.api.caller import taken

pytestmark = pytest.mark.ledger

SECONDS = {"api_slow": 0.2, "api_timeout": 0.2, "webhook_late": 0.3, "card_slow": 0.1, "paid_after_cancel": 0.1}
"""As long as the fault takes, where it takes any time."""
OVER = ("paid", "failed", "cancelled", "expired")
CASES = [
    (kind, method)
    for kind in faults.KINDS
    for method in ("card", "konbini")
    if (method == "card" or kind not in faults.CARD) and (method == "konbini" or kind not in faults.CANCELLING)
]


@pytest.fixture(scope="module")
def listening(charging_app: Flask) -> Iterator[str]:
    """The server on a port; yields the address of its webhooks."""
    server = make_server("127.0.0.1", 0, charging_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/charge/webhooks/sandbox"
    server.shutdown()
    thread.join()


@pytest.fixture
def told(scene: Scene, listening: str) -> Scene:
    """A member whose gateway sends its webhooks."""
    scene.vendor.webhooks_to(listening)
    return scene


def poll(scene: Scene) -> None:
    """What a worker does, with this member's orders due; past the lock that lets only one work."""
    with scene.app.app_context():
        scene.rows("UPDATE charge_order SET due_at = now() WHERE payer_id = :m RETURNING 1", m=scene.member_id)
        Charges(scene.app, scene.app.extensions["kumiai.settings"]).poll(current_gateway())


def recorded(scene: Scene) -> dict[str, tuple[str, int]]:
    """What the server knows of arrivals: by the gateway's id, its state and amount."""
    sql = (
        "SELECT r.id, r.state, r.amount_yen FROM charge_received r JOIN charge_order o ON o.id = r.order_id"
        " WHERE o.payer_id = :m"
    )
    return {received_id: (state, yen) for received_id, state, yen in scene.rows(sql, m=scene.member_id)}


def make_it_happen(scene: Scene, kind: str, method: str) -> str:
    """Order and pay, with the fault on the way; returns the payment's ref."""
    how: dict[str, Any] = {"seconds": SECONDS[kind]} if kind in SECONDS else {}
    if kind in faults.GROUPS["api"]:
        for operation in ("create", "get"):  # each call of the server's fails once
            scene.vendor.fault(kind, operation=operation, **how)
    key = f"every-fault-{kind}-{method}"
    first = scene.order(3_000, method=method, key=key)
    ordered = taken(first if first.status_code == 201 else scene.order(3_000, method=method, key=key))
    ref = scene.ref(ordered["id"])
    if kind not in faults.GROUPS["api"]:
        scene.vendor.fault(kind, payment_id=ref, **how)
    if kind in faults.CANCELLING:
        scene.cancel(ordered["id"])
    elif method == "card":
        paid = scene.vendor.card(ref, "visa")
        if paid["state"] == "pending" and kind in ("three_ds_failed", "abandoned"):
            (scene.vendor.challenge(ref, "wrong") if kind == "three_ds_failed" else scene.vendor.expire(ref))
    else:
        scene.vendor.pay(ref)
    return ref


def is_over(payment: dict[str, Any], kind: str) -> bool:
    """Nothing more comes of it. What is paid although it was cancelled arrives a moment later."""
    return payment["state"] in OVER and bool(payment["received"] or kind not in faults.CANCELLING)


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_what_the_gateway_received_is_credited_once(told: Scene, sandbox: Vendor, kind: str, method: str) -> None:
    ref = make_it_happen(told, kind, method)
    eventually(lambda: is_over(sandbox.payment(ref), kind) or None)
    arrived = {one["id"]: one["amount_yen"] for one in sandbox.payment(ref)["received"]}

    [(order_id,)] = told.rows("SELECT id FROM charge_order WHERE gateway_ref = :r", r=ref)
    with ThreadPoolExecutor(4) as pool:
        racing = [pool.submit(poll, told), pool.submit(poll, told), pool.submit(told.charge, str(order_id))]
        racing.append(pool.submit(sandbox.send))
        for one in racing:
            one.result()

    def settled() -> dict[str, tuple[str, int]] | None:
        poll(told)
        known = recorded(told)
        waits = any(state == "waiting" for state, _ in known.values())
        return known if known.keys() == arrived.keys() and not waits else None

    known = eventually(settled)
    as_ordered = [received_id for received_id, amount_yen in arrived.items() if amount_yen == 3_000]
    assert known == {
        received_id: ("credited" if received_id in as_ordered else "suspense", amount_yen)
        for received_id, amount_yen in arrived.items()
    }
    assert told.balance_yen() == 3_000 * len(as_ordered)
    order = told.charge(str(order_id))
    assert (order["state"] in ("paid", "late_paid", "duplicate_paid")) == bool(arrived)
    assert told.reserved_yen() == 0
    for headers, body in sandbox.messages(ref):
        assert told.app.test_client().post("/charge/webhooks/sandbox", headers=headers, data=body).status_code == 204
    assert told.balance_yen() == 3_000 * len(as_ordered)
