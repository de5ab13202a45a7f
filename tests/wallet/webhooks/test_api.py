"""The webhook API over HTTP: what may be registered, what is shown, and that nobody sees another's."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from app.settings import Settings, SettingsError
from app.wallet.webhooks import service
from app.wallet.webhooks.event_types import EVENT_TYPES
from tests import factories
from tests.live import server_env
from tests.wallet.webhooks.conftest import PATH, Service, World, new_service
from tests.wallet.webhooks.receiver import Receiver

GOOD: dict[str, Any] = {
    "url": "https://hooks.example.ac.jp/kumiai?from=coop",
    "events": ["payment.created", "refund.created"],
    "description": "注文サーバー",
    "contact_email": "ops@example.ac.jp",
}


@pytest.fixture
def mine(app: Flask) -> Service:
    return new_service(app)


def test_an_endpoint_is_made_shown_changed_and_deleted(mine: Service) -> None:
    created = mine.call("POST", json=GOOD)
    assert created.status_code == 201
    made = created.get_json()
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert len(secret) == 50
    assert {name: made[name] for name in GOOD} == GOOD
    assert (made["status"], made["disabled_reason"], made["failing_since"]) == ("active", None, None)
    assert mine.endpoint(made["id"]) == made
    assert mine.call("GET").get_json() == {"endpoints": [made]}

    changed = mine.call("PATCH", f"/{made['id']}", json={"events": ["hold.created"], "description": ""}).get_json()
    assert changed == {**made, "events": ["hold.created"], "description": ""}
    stopped = mine.call("PATCH", f"/{made['id']}", json={"status": "disabled"}).get_json()
    assert (stopped["status"], stopped["disabled_reason"]) == ("disabled", "asked")
    for path in ("test", f"deliveries/{uuid4()}/resend"):
        refused = mine.call("POST", f"/{made['id']}/{path}")
        assert (refused.status_code, refused.get_json()["code"]) == (409, "webhook_endpoint_disabled")
    assert mine.call("PATCH", f"/{made['id']}", json={}).get_json() == stopped
    assert mine.call("DELETE", f"/{made['id']}").status_code == 204
    assert mine.call("DELETE", f"/{made['id']}").status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://hooks.example/"),
        ("url", "//hooks.example/"),
        ("url", "https://"),
        ("url", "https://user@hooks.example/"),
        ("url", "https://user:word@hooks.example/"),
        ("url", "https://hooks.example/#part"),
        ("url", "https://hooks.example/#"),
        ("url", "https://hooks.example:99999/"),
        ("url", "https://hooks.example:0/"),
        ("url", "https://[::1/"),
        ("url", "https://hooks.example/a b"),
        ("url", "https://hooks.example/\n"),
        ("url", "https://hooks.example/\r\nX: y"),
        ("url", "https://フック.example/"),
        ("url", "https://hooks.example/" + "x" * 2_000),
        ("url", ""),
        ("url", 1),
        ("url", None),
        ("events", []),
        ("events", ["*"]),
        ("events", ["payment.created", "payment.created"]),
        ("events", ["webhook.test"]),
        ("events", "payment.created"),
        ("events", ["payment.created"] * 100),
        ("description", "x" * 201),
        ("description", "a\u0007"),
        ("description", "\ud800"),
        ("contact_email", "nobody"),
        ("contact_email", "a@example.jp\nBcc: b@example.jp"),
        ("contact_email", "x" * 300 + "@example.jp"),
        ("status", "active"),
        ("surprise", 1),
    ],
)
def test_a_bad_field_is_named(mine: Service, field: str, value: Any) -> None:
    answer = mine.call("POST", data=json.dumps({**GOOD, field: value}), content_type="application/json")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_fields"), answer.text
    assert list(answer.get_json()["errors"]) == [field]


@pytest.mark.parametrize("field", ["url", "events", "contact_email"])
def test_a_missing_field_is_named(mine: Service, field: str) -> None:
    answer = mine.call("POST", json={name: GOOD[name] for name in GOOD if name != field})
    assert list(answer.get_json()["errors"]) == [field]


@pytest.mark.parametrize("overlap_s", [-1, 604_801, "day", 1.5, None, 10**30])
def test_an_overlap_out_of_bounds_is_refused(mine: Service, overlap_s: object) -> None:
    made = mine.create(GOOD["url"])
    answer = mine.call("POST", f"/{made['id']}/rotate-secret", json={"overlap_s": overlap_s})
    assert list(answer.get_json()["errors"]) == ["overlap_s"]


def test_every_type_can_be_chosen(mine: Service) -> None:
    assert mine.create(GOOD["url"], events=EVENT_TYPES)["events"] == list(EVENT_TYPES)


def test_a_client_has_so_many_and_no_more(mine: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_ENDPOINTS", 2)
    made = [mine.create(GOOD["url"]) for _ in range(2)]
    refused = mine.call("POST", json=GOOD)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "webhook_too_many_endpoints")
    mine.call("DELETE", f"/{made[0]['id']}")
    mine.create(GOOD["url"])


INSIDE = (
    "http://hooks.example.ac.jp/",
    "https://localhost/",
    "https://app.localhost/",
    "https://127.0.0.1/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest",
    "https://100.64.0.1/",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[fd00::1]/",
    "https://[fec0::1]/",
    "https://[::7f00:1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://224.0.0.1/",
)


def test_nor_when_they_are_asked_for_at_once(mine: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_ENDPOINTS", 2)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: mine.call("POST", json=GOOD).status_code, range(6)))
    assert sorted(answers) == [201, 201, 409, 409, 409, 409]


class TestInProduction:
    """What the server may not speak to is refused at once, where the address itself says it."""

    @pytest.fixture
    def theirs(self, app: Flask, settings: Settings, new_app: Callable[[Settings], Flask]) -> Service:
        networks = (ip_network("10.20.0.0/16"),)
        return new_service(new_app(replace(settings, environment="production", webhook_networks=networks)))

    def test_an_address_inside_is_refused(self, theirs: Service) -> None:
        made = theirs.create("https://hooks.example.ac.jp/")
        for url in INSIDE:
            answer = theirs.call("POST", json={**GOOD, "url": url})
            assert (answer.status_code, answer.get_json()["code"]) == (422, "webhook_url_refused"), url
            assert answer.get_json()["field"] == "url"
            assert theirs.call("PATCH", f"/{made['id']}", json={"url": url}).status_code == 422
        assert theirs.endpoint(made["id"])["url"] == "https://hooks.example.ac.jp/"

    def test_a_public_one_or_one_of_the_campus_is_not(self, theirs: Service) -> None:
        for url in ("https://93.184.215.14/", "https://10.20.1.1/", "https://hooks.example.ac.jp:8443"):
            assert theirs.create(url)["url"] == url

    def test_the_networks_are_a_setting(self, settings: Settings) -> None:
        env = {**server_env(settings), "KUMIAI_WEBHOOK_NETWORKS": "10.20.0.0/16, fd00::/8"}
        assert Settings.from_env(env).webhook_networks == (ip_network("10.20.0.0/16"), ip_network("fd00::/8"))
        with pytest.raises(SettingsError, match="KUMIAI_WEBHOOK_NETWORKS"):
            Settings.from_env({**env, "KUMIAI_WEBHOOK_NETWORKS": "10.20.0.1/16"})

    def test_at_delivery_a_name_that_stands_for_an_address_inside_is_not_spoken_to(
        self, world: World, listening: Receiver
    ) -> None:
        """It may have stood for another when it was registered."""
        endpoint = world.service.listen(listening)
        world.pay()
        world.settings = replace(world.settings, environment="production")
        world.work()
        assert listening.got == []
        assert [each["last_error"] for each in world.service.deliveries(endpoint)] == ["AddressNotPublic"]


def test_only_with_the_scope(app: Flask, mine: Service) -> None:
    made = mine.create(GOOD["url"])
    with app.app_context():
        holder = factories.holder()
        token = factories.access_token(
            member_id=holder.member_id, client_id=factories.oauth_client().id, scopes=["history"]
        )
    for method, path in [("GET", ""), ("POST", ""), ("GET", f"/{made['id']}"), ("POST", f"/{made['id']}/test")]:
        how: dict[str, Any] = {"method": method, "json": GOOD if method == "POST" else None}
        forbidden = app.test_client().open(PATH + path, headers={"Authorization": f"Bearer {token}"}, **how)
        assert (forbidden.status_code, forbidden.get_json()["code"]) == (403, "insufficient_scope")
        assert app.test_client().open(PATH + path, **how).status_code == 401


def test_another_clients_endpoint_is_not_found(app: Flask, world: World, listening: Receiver) -> None:
    endpoint = world.service.listen(listening)
    delivery = world.service.call("POST", f"/{endpoint}/test").get_json()["delivery_id"]
    other, own = new_service(app), new_service(app)
    theirs = str(own.create(GOOD["url"])["id"])
    for method, path in [
        ("GET", f"/{endpoint}"),
        ("PATCH", f"/{endpoint}"),
        ("DELETE", f"/{endpoint}"),
        ("POST", f"/{endpoint}/rotate-secret"),
        ("POST", f"/{endpoint}/test"),
        ("GET", f"/{endpoint}/deliveries"),
        ("GET", f"/{endpoint}/deliveries/{delivery}"),
        ("POST", f"/{endpoint}/deliveries/{delivery}/resend"),
    ]:
        body = {"json": {}} if method in ("PATCH", "POST") else {}
        assert other.call(method, path, **body).status_code == 404, (method, path)
        assert other.call(method, path.replace(endpoint, str(uuid4())), **body).status_code == 404
    assert own.call("GET", f"/{theirs}/deliveries/{delivery}").status_code == 404, "an endpoint of its own is no key"
    assert own.call("POST", f"/{theirs}/deliveries/{delivery}/resend").status_code == 404


class TestTheLog:
    def test_page_by_page_and_by_state(self, world: World, listening: Receiver) -> None:
        endpoint = world.service.listen(listening)
        for number in range(5):
            world.pay(100 + number)
        world.work()
        listening.answer = lambda _: 500
        world.pay(200)
        world.work()
        pages, query = [], {"limit": 2}
        while True:
            answer = world.service.call("GET", f"/{endpoint}/deliveries", query_string=query).get_json()
            pages.append([each["id"] for each in answer["deliveries"]])
            if answer["next_cursor"] is None:
                break
            query["cursor"] = answer["next_cursor"]
        assert [len(page) for page in pages] == [2, 2, 2]
        ids = [id_ for page in pages for id_ in page]
        assert ids == [each["id"] for each in world.service.deliveries(endpoint)]
        assert ids == list(reversed([got.id for got in listening.got]))
        assert [each["id"] for each in world.service.deliveries(endpoint, state="waiting")] == ids[:1]
        assert [each["id"] for each in world.service.deliveries(endpoint, state="delivered")] == ids[1:]
        assert world.service.deliveries(endpoint, state="given_up") == []

    @pytest.mark.parametrize(
        ("name", "value"), [("state", "lost"), ("limit", "0"), ("limit", "101"), ("cursor", "x"), ("cursor", "あ")]
    )
    def test_a_bad_question_is_named(self, mine: Service, name: str, value: str) -> None:
        endpoint = mine.create(GOOD["url"])["id"]
        answer = mine.call("GET", f"/{endpoint}/deliveries", query_string={name: value})
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [name])

    def test_what_waits_says_when_it_is_tried_next_or_that_it_is_behind(
        self, world: World, listening: Receiver
    ) -> None:
        listening.answer = lambda _: 500
        endpoint = world.service.listen(listening)
        world.pay()
        world.pay()
        world.work()
        second, first = world.service.deliveries(endpoint)
        assert world.service.log(endpoint, first["id"])["next_attempt_at"]
        assert world.service.log(endpoint, second["id"])["next_attempt_at"] is None

    def test_resending_what_was_delivered_sends_the_same_again(self, world: World, listening: Receiver) -> None:
        endpoint = world.service.listen(listening)
        world.pay()
        world.work()
        (delivery,) = world.service.deliveries(endpoint)
        for _ in range(2):  # pressed twice
            answer = world.service.call("POST", f"/{endpoint}/deliveries/{delivery['id']}/resend")
            assert (answer.status_code, answer.get_json()["state"]) == (202, "waiting")
        assert (world.work(), world.work()) == (1, 0)
        first, second = listening.taken
        assert (first.id, first.raw) == (second.id, second.raw)
        assert len(world.service.log(endpoint, delivery["id"])["attempts"]) == 2

    def test_resending_what_waits_tries_it_now(self, world: World, listening: Receiver) -> None:
        listening.answer = lambda _: 500
        endpoint = world.service.listen(listening)
        world.pay()
        world.work()
        (delivery,) = world.service.deliveries(endpoint)
        listening.answer = lambda _: 204
        assert world.work() == 0
        assert world.service.call("POST", f"/{endpoint}/deliveries/{delivery['id']}/resend").status_code == 202
        assert world.work() == 1
        assert len(listening.taken) == 1

    def test_resending_what_was_given_up_takes_its_place_in_the_order(self, world: World, listening: Receiver) -> None:
        listening.answer = lambda _: 500
        endpoint = world.service.listen(listening)
        for _ in range(2):
            world.pay()
        world.feed()
        world.sql("UPDATE webhook_lane SET tries = 11")
        world.work()
        second, first = world.service.deliveries(endpoint)
        assert (first["state"], second["state"]) == ("given_up", "waiting")
        listening.answer = lambda _: 204
        world.service.call("POST", f"/{endpoint}/deliveries/{first['id']}/resend")
        assert world.work() == 2
        assert [got.id for got in listening.taken] == [first["id"], second["id"]]

    def test_its_payloads_are_sealed(self, world: World, listening: Receiver) -> None:
        listening.text = "ありがとう".encode()
        listening.answer = lambda _: 200
        world.service.listen(listening)
        world.pay(description="内緒の昼食")
        world.work()
        ((payload, exchange),) = world.sql(
            "SELECT payload_sealed, exchange_sealed FROM webhook_delivery JOIN webhook_attempt ON delivery_seq = seq"
        )
        assert "内緒" in listening.got[0].raw
        for kept in (payload, exchange):
            assert "内緒".encode() not in kept
            assert b"webhook-id" not in kept


class TestCleanUp:
    def tidy(self, world: World) -> None:
        import psycopg

        from app.wallet.webhooks import purge

        with psycopg.connect(world.settings.database_url, autocommit=True) as connection:
            purge.tidy(connection)

    def test_after_thirty_days_a_delivery_is_forgotten(self, world: World, listening: Receiver) -> None:
        endpoint = world.service.listen(listening)
        world.pay()
        world.work()
        listening.answer = lambda _: 500
        world.pay()
        world.work()
        self.tidy(world)
        assert len(world.service.deliveries(endpoint)) == 2
        world.sql("UPDATE webhook_delivery SET created_at = now() - interval '31 days'")
        self.tidy(world)
        assert world.service.deliveries(endpoint) == []
        assert world.sql("SELECT * FROM webhook_attempt") == []
        world.time_passes()
        world.work()
        assert world.sql("SELECT * FROM webhook_lane") == [], "a lane of nothing ends"

    def test_a_deleted_endpoint_goes_with_all_it_had(self, world: World, listening: Receiver) -> None:
        listening.answer = lambda _: 500
        endpoint = world.service.listen(listening)
        world.pay()
        world.work()
        world.service.call("DELETE", f"/{endpoint}")
        self.tidy(world)
        for table in ("webhook_delivery", "webhook_lane", "webhook_attempt", "webhook_endpoint"):
            assert world.sql(f"SELECT * FROM {table}") == []

    def test_an_old_secret_is_forgotten_when_its_time_is_over(self, world: World, listening: Receiver) -> None:
        endpoint = world.service.listen(listening)
        world.service.call("POST", f"/{endpoint}/rotate-secret", json={})
        self.tidy(world)
        assert world.sql("SELECT 1 FROM webhook_endpoint WHERE previous_sealed IS NOT NULL") == [(1,)]
        world.sql("UPDATE webhook_endpoint SET previous_until = now() - %(span)s", span=timedelta(seconds=1))
        self.tidy(world)
        assert world.sql("SELECT 1 FROM webhook_endpoint WHERE previous_sealed IS NOT NULL") == []
