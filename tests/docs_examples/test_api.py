"""The examples of docs/api.md, run against the server, the worker and a member's browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import requests

from app.db import transaction
from app.reader import terminals
from app.wallet import directory
from app.wallet.settlement import closing
from tests import factories
from tests.docs_examples.run import example
from tests.docs_examples.test_profiles import environment
from tests.live import Live, Person
from tests.oauth.browser import Browser
from tests.ports import free_port

FOR_MEMBERS = ("profile", "balance", "history", "payment", "offline_access")


@dataclass(frozen=True)
class Place:
    """A member with ¥5,000 at a shop, and what the examples read of it from their environment."""

    live: Live
    person: Person
    money: str
    shop_id: UUID
    app: factories.RegisteredClient
    known: dict[str, str | None]

    def program(self, profile: str, *scopes: str, shops: bool = False) -> dict[str, str | None]:
        """A client for itself, as an example knows it."""
        with self.live.app.app_context():
            registered = factories.oauth_client(
                profile=profile, scopes=scopes, allowed_shops=[self.shop_id] if shops else []
            )
        return {**self.known, **environment(self.live, registered)}


@pytest.fixture
def place(live_server: Live) -> Place:
    person = live_server.register()
    with live_server.app.app_context():
        money = factories.money()
        shop_id = factories.shop(accepts=[money])
        factories.wallet(member_id=person.id, money=money)
        factories.charge(member_id=person.id, money=money, amount_yen=5_000)
        app = factories.oauth_client(allowed_shops=[shop_id])
        token = factories.access_token(member_id=person.id, client_id=app.id, scopes=FOR_MEMBERS)
        shop = directory.shop_by_id(shop_id).code
    known = {"KUMIAI_URL": live_server.url, "ACCESS_TOKEN": token, "MONEY": money, "SHOP": shop}
    return Place(live=live_server, person=person, money=money, shop_id=shop_id, app=app, known=known)


def said(name: str, known: dict[str, str | None], *arguments: str, status: int = 0) -> str:
    with example(name, *arguments, **known) as running:
        return running.rest(status=status)


def test_a_token_for_the_others(live_server: Live, place: Place) -> None:
    port = free_port()
    with live_server.app.app_context():
        registered = factories.oauth_client(redirect_uris=[f"http://localhost:{port}/callback"])
    known = {**environment(live_server, registered), "PORT": str(port), "SCOPE": "openid balance"}
    with example("get_token.py", **known) as running:
        browser = Browser(live_server)
        page = browser.sign_in(browser.open(running.address()), place.person)
        requests.get(browser.send(page, decision="allow", permission=["balance"]).headers["Location"], timeout=10)
        token = running.rest().strip()
    shown = requests.get(f"{live_server.url}/v1/wallets", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert shown.json()["total_yen"] == 5_000


@pytest.mark.parametrize("kind", ["py", "sh"])
def test_a_payment_and_its_refund(place: Place, kind: str) -> None:
    text = said(f"payment.{kind}", place.known)
    assert re.search(r"Paid 450 yen, receipt \d{4}-\d{4}", text)
    assert "Sent twice, paid once" in text
    assert "Refunded 200 yen" in text
    if kind == "py":
        assert "Sent twice, paid once: True true" in text
        assert "Asked by its key: accepted" in text
        assert "250 yen could still be" in text


@pytest.mark.parametrize(("kind", "status"), [("py", 1), ("sh", 1)])
def test_a_payment_that_is_refused(place: Place, kind: str, status: int) -> None:
    assert "shop_unknown" in said(f"payment.{kind}", {**place.known, "SHOP": "nowhere"}, status=status)


def test_a_batch(place: Place) -> None:
    with place.live.app.app_context():
        plan = factories.oauth_client(scopes=["payment", "offline_access"], allowed_shops=[place.shop_id])
        stranger = factories.member()
        factories.access_token(member_id=place.person.id, client_id=plan.id, scopes=["payment", "offline_access"])
    known = {**place.known, **environment(place.live, plan), "MEMBERS": f"{place.person.id} {stranger}"}
    text = said("batch.py", known)
    assert f"plan-2026-11-{place.person.id} 201 paid" in text
    assert f"plan-2026-11-{stranger} 403 mandate_exceeded" in text
    assert "Sent again: [True, True]" in text


def test_a_hold(place: Place) -> None:
    text = said("hold.py", place.known)
    assert "Took 1000 yen" in text
    assert "The other is released" in text


@pytest.mark.parametrize("kind", ["py", "sh"])
def test_history(place: Place, kind: str) -> None:
    said("payment.sh", place.known)
    text = said(f"history.{kind}", place.known)
    if kind == "py":
        assert "学食マネー 4750" in text
        assert "payment -450 昼食 A定食" in text
        assert ",closing," in text
        assert "At the end of New Year's Day: 0" in text
    else:
        assert "-450 昼食 A定食" in text
        assert text.count("%PDF") == 2
        receipt = re.search(r"shown the receipt: (\S+)", text)
        assert receipt
        assert "450" in requests.get(receipt[1], timeout=10).text


def test_codes_both_ways(place: Place) -> None:
    with place.live.app.app_context():
        till = factories.oauth_client(profile="till")
        with transaction():
            terminals.register(shop_id=place.shop_id, client_id=till.id, name="レジ1", default_money=place.money)
        token = factories.access_token(member_id=None, client_id=till.id, scopes=["till"])
    text = said("codes.py", {**place.known, "TILL_TOKEN": token})
    assert "中央食堂 asks for 450 yen" in text or "Central Canteen asks for 450 yen" in text
    assert "The till's code is used" in text
    assert "Paid 380 yen, 4170 yen left" in text
    assert "Read again: code_used" in text


def test_a_webhook_is_heard_and_verified(place: Place) -> None:
    port = free_port()
    known = place.program("service", "webhook", "shop:read", shops=True)
    known |= {"PORT": str(port), "PUBLIC_URL": f"http://localhost:{port}/"}
    with example("webhook.py", **known) as running:
        running.said("webhook.test")
        said("payment.sh", place.known)
        running.said("payment.created 450")
        running.said("refund.created 200")


@pytest.mark.parametrize("kind", ["py", "sh"])
def test_points_from_a_file(place: Place, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "grants.csv"
    lines = [f"{place.person.email},{place.money},500,付与", f"nobody@example.ac.jp,{place.money},500,付与"]
    file.write_text("\n".join(["会員,マネー,金額,種別", *lines]), encoding="cp932")
    text = said(f"bulk.{kind}", place.program("service", "bulk"), str(file))
    assert "Moved 500 yen" in text
    assert re.search(rf"{place.person.email},.*,accepted,", text)
    assert re.search(r"nobody@example.ac.jp,.*,bad,", text)


def test_a_shops_own_books(place: Place) -> None:
    said("payment.sh", place.known)
    with place.live.app.app_context():
        closing.close(shop_id=place.shop_id)
    said("hold.py", place.known)
    text = said("settlement.py", place.program("service", "shop:read", shops=True))
    assert "Not settled yet: 1000 yen" in text
    assert "250 yen to be paid" in text
    assert "True %PDF" not in text
    assert "%PDF" in text
