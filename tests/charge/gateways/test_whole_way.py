"""The server over each real adapter: ordered, paid at the vendor (replayed), told by a signed event, credited once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from app.charge.checks import CHARGE_CHECKS
from app.db import database_url, dispose
from app.factory import create_app
from app.settings import Settings
from app.wallet import ledger
from app.wallet.verify import verify
from tests import factories
from tests.charge.gateways import test_komoju as komoju
from tests.charge.gateways import test_stripe as stripe
from tests.charge.gateways.replay import Replay, documented, replay
from tests.charge.scene import Scene
from tests.charge.vendor import Vendor
from tests.wallet.api.caller import taken

pytestmark = pytest.mark.ledger


@dataclass
class Way:
    """One vendor: how it answers, and how it tells."""

    name: str
    vendor: Replay
    scene: Scene

    def tells(self, body: bytes) -> int:
        sign = komoju.signed if self.name == "komoju" else stripe.signed
        sent = self.scene.app.test_client().post(f"/charge/webhooks/{self.name}", headers=sign(body), data=body)
        return sent.status_code

    def answers(self) -> None:
        """To what begins a payment. A slip lasts for a week from now."""
        until = datetime.now(UTC) + timedelta(days=7)
        if self.name == "komoju":
            slip = komoju.slip(payment_details__store="seicomart", payment_deadline=until.isoformat())
            self.vendor.says("POST /api/v1/sessions", documented("komoju_session"))
            self.vendor.says("POST /api/v1/payments", slip)
        else:
            shown = {"next_action__konbini_display_details__expires_at": int(until.timestamp())}
            self.vendor.says("POST /v1/checkout/sessions", documented("stripe_session"))
            self.vendor.says("POST /v1/payment_intents", documented("stripe_konbini", **shown))

    def paid(self, order_id: str, amount_yen: int, *, method: str) -> list[bytes]:
        """The vendor shows it as paid from now on. Returns what it tells of it, each under a name of its own."""
        now = datetime.now(UTC)
        if self.name == "komoju":
            changes: dict[str, Any] = {"external_order_num": order_id, "total": amount_yen, "status": "captured"}
            made = (komoju.card if method == "card" else komoju.slip)(captured_at=now.isoformat(), **changes)
            self.vendor.says(f"GET /api/v1/payments/{made['id']}", made)
            page = documented("komoju_session", status="completed", payment=made)
            self.vendor.says(f"GET /api/v1/sessions/{komoju.SESSION}", page)
            kinds = ("payment.updated", "payment.captured")
            events = [komoju.documented("komoju_event", id=f"ev_{kind}", type=kind, data=made) for kind in kinds]
        else:
            charge = documented("stripe_charge", amount=amount_yen, created=int(now.timestamp()))
            if method == "konbini":
                charge["payment_method_details"] = {"type": "konbini", "konbini": {"store": {"chain": "seicomart"}}}
            made = stripe.paid(amount_received=amount_yen, metadata={"order_id": order_id}, latest_charge=charge)
            page = documented("stripe_session", status="complete", metadata={"order_id": order_id}, payment_intent=made)
            self.vendor.says(f"GET /v1/payment_intents/{stripe.INTENT}", made)
            self.vendor.says(f"GET /v1/checkout/sessions/{stripe.PAGE}", page)
            subjects = (made, charge, page) if method == "card" else (made, charge)
            events = [
                documented("stripe_event", id=f"evt_{number}", data={"object": subject})
                for number, subject in enumerate(subjects)
            ]
        return [json.dumps(event).encode() for event in events]


@pytest.fixture(params=["komoju", "stripe"])
def way(
    request: pytest.FixtureRequest,
    fresh_database: str,
    make_settings: Callable[[str], Settings],
    sandbox: Vendor,
) -> Iterator[Way]:
    name = request.param
    with replay() as vendor:
        given = {
            "charge_gateway": name,
            f"{name}_key": "sk_test_key",
            f"{name}_webhook_secrets": (komoju.SECRET if name == "komoju" else stripe.SECRET,),
            f"{name}_url": f"{vendor.url}/api/v1" if name == "komoju" else vendor.url,
        }
        app: Flask = create_app(replace(make_settings(fresh_database), **given))
        with app.app_context():
            factories.issuer()
        made = Way(name, vendor, Scene(app, sandbox))
        made.answers()
        yield made
        with app.app_context():
            assert verify(database_url(), further=CHARGE_CHECKS)[1] == []
        ledger.close()
        with app.app_context():
            dispose()


@pytest.mark.parametrize("method", ["card", "konbini"])
def test_paid_and_told_of_in_several_ways_it_is_credited_once(way: Way, method: str) -> None:
    ordered = way.scene.ordered(3_000, method=method)
    assert ordered["state"] == "pending"
    assert (ordered["redirect_url"] is not None, ordered["slip"] is not None) == (method == "card", method != "card")
    events = way.paid(ordered["id"], 3_000, method=method)
    assert {way.tells(event) for event in (*events, *reversed(events))} == {204}
    paid = way.scene.charge(ordered["id"])
    assert (paid["state"], paid["credited_yen"], len(paid["received"])) == ("paid", 3_000, 1)
    assert (way.scene.balance_yen(), way.scene.reserved_yen()) == (3_000, 0)
    assert (paid["card"] is not None) == (method == "card")
    way.scene.poll()
    assert way.scene.balance_yen() == 3_000


def test_what_no_event_told_the_return_page_sees(way: Way) -> None:
    ordered = way.scene.ordered(3_000, method="card")
    way.paid(ordered["id"], 3_000, method="card")
    way.scene.rows("UPDATE charge_order SET looked_at = NULL WHERE id = :id RETURNING 1", id=ordered["id"])
    assert way.scene.charge(ordered["id"])["credited_yen"] == 3_000


def test_a_payment_of_another_shop_at_the_same_account_leaves_no_trace(way: Way) -> None:
    for event in way.paid("R-2026-0001", 9_000, method="konbini"):
        assert way.tells(event) == 204
    assert way.scene.rows("SELECT count(*) FROM charge_received") == [(0,)]
    way.scene.poll()
    assert way.scene.rows("SELECT count(*) FROM charge_event WHERE done_at IS NULL") == [(0,)]


def test_a_test_of_the_address_is_taken_and_a_forged_event_is_not(way: Way) -> None:
    about_nothing = (
        documented("komoju_event", type="ping", data={})
        if way.name == "komoju"
        else documented("stripe_event", type="payout.paid", data={"object": {"object": "payout", "id": "po_1"}})
    )
    body = json.dumps(about_nothing).encode()
    assert way.tells(body) == 204
    http = way.scene.app.test_client()
    assert http.post(f"/charge/webhooks/{way.name}", data=body).status_code == 400
    assert way.scene.rows("SELECT count(*) FROM charge_event") == [(0,)]


def test_the_chains_on_offer_are_the_adapters(way: Way) -> None:
    options = taken(way.scene.ask("GET", "/v1/charges/options"), 200)
    chains = next(one["chains"] for one in options["methods"] if one["method"] == "konbini")
    assert len(chains) == (6 if way.name == "komoju" else 4)
    assert ("seven_eleven" in chains) == (way.name == "komoju")
