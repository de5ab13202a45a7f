"""From the ledger to a client's server: what arrives, signed how, and what happens when it is not taken."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from app.db import transaction
from app.wallet.webhooks import backoff, service
from tests.wallet.webhooks.conftest import World
from tests.wallet.webhooks.receiver import Receiver


def test_a_payment_arrives_signed_and_says_what_v1_says(world: World, listening: Receiver) -> None:
    endpoint = world.service.listen(listening)
    token = world.allow("history")
    paid = world.pay(450, description="昼食 A定食", metadata={"order": "A-17"}, key="order-1")
    assert world.work() == 1

    (got,) = listening.taken
    assert got.headers["Content-Type"] == "application/json"
    assert got.body.keys() == {"type", "timestamp", "data"}
    assert got.body["type"] == "payment.created"
    assert datetime.fromisoformat(got.body["timestamp"]) == paid.created_at
    headers = {"Authorization": f"Bearer {token}"}
    shown = world.app.test_client().get(f"/v1/transactions/{paid.transaction_id}", headers=headers).get_json()
    assert shown.pop("receipt_url")
    for named in (shown["money"], shown["shop"], *(part["money"] for part in shown["parts"])):
        del named["name"]
    assert got.data == {"member_id": str(world.holder.member_id), **shown}
    assert got.data["balance_yen"] is None
    (delivery,) = world.service.deliveries(endpoint)
    assert delivery["id"] == got.id
    assert (delivery["state"], delivery["attempt_count"]) == ("delivered", 1)
    assert world.sql("SELECT * FROM webhook_lane") == []


def test_a_test_event_arrives(world: World, listening: Receiver) -> None:
    endpoint = world.service.listen(listening)
    answer = world.service.call("POST", f"/{endpoint}/test")
    assert answer.status_code == 202
    assert world.work() == 1
    (got,) = listening.taken
    assert got.id == answer.get_json()["delivery_id"]
    assert (got.body["type"], got.data) == ("webhook.test", {"endpoint_id": endpoint})


class TestSecrets:
    def test_while_it_rotates_both_sign_and_afterwards_the_new_one(self, world: World, listening: Receiver) -> None:
        endpoint = world.service.listen(listening)
        old = listening.secrets["/hook"]
        answer = world.service.call("POST", f"/{endpoint}/rotate-secret", json={"overlap_s": 3600}).get_json()
        new = answer["secret"]
        assert answer["previous_secret_until"]
        assert new.startswith("whsec_")
        assert new != old
        for known in (old, new):
            listening.secrets["/hook"] = known
            world.service.call("POST", f"/{endpoint}/test")
            world.work()
        assert [got.status for got in listening.got] == [204, 204]
        assert len(listening.got[0].headers["webhook-signature"].split()) == 2

        world.sql("UPDATE webhook_endpoint SET previous_until = now() WHERE id = %(id)s", id=endpoint)
        world.service.call("POST", f"/{endpoint}/test")
        world.work()
        assert len(listening.got[-1].headers["webhook-signature"].split()) == 1
        assert listening.got[-1].status == 204
        listening.secrets["/hook"] = old
        world.service.call("POST", f"/{endpoint}/test")
        world.work()
        assert listening.got[-1].status == 401, "the old one is dead"

    def test_one_that_leaked_ends_at_once(self, world: World, listening: Receiver) -> None:
        endpoint = world.service.listen(listening)
        world.service.call("POST", f"/{endpoint}/rotate-secret", json={"overlap_s": 0})
        world.service.call("POST", f"/{endpoint}/test")
        world.work()
        assert [got.status for got in listening.got] == [401]

    def test_they_are_kept_sealed(self, world: World, listening: Receiver) -> None:
        endpoint = world.service.listen(listening)
        ((kept,),) = world.sql("SELECT secret_sealed FROM webhook_endpoint WHERE id = %(id)s", id=endpoint)
        assert listening.secrets["/hook"].encode() not in kept
        assert "secret" not in world.service.endpoint(endpoint)
        with world.app.app_context(), transaction():
            row = service.one(endpoint, client_id=world.service.id)  # type: ignore[arg-type]
            assert service.keys(row) == [listening.secrets["/hook"]]


class TestNotTaken:
    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_any_2xx_is_taken(self, world: World, listening: Receiver, status: int) -> None:
        listening.answer = lambda _: status
        endpoint = world.service.listen(listening)
        world.pay()
        assert (world.work(), world.work()) == (1, 0)
        assert [each["state"] for each in world.service.deliveries(endpoint)] == ["delivered"]

    @pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 418, 500])
    def test_anything_else_is_tried_again_under_the_same_id(
        self, world: World, listening: Receiver, status: int
    ) -> None:
        answers = [status, 204]
        listening.answer = lambda _: answers.pop(0)
        listening.text = "だめ".encode()
        endpoint = world.service.listen(listening)
        world.pay()
        assert (world.work(), world.work()) == (1, 0)
        (delivery,) = world.service.deliveries(endpoint, state="waiting")
        assert (delivery["last_status"], delivery["last_error"]) == (status, "NotTaken")
        world.time_passes()
        assert world.work() == 1
        first, second = listening.got
        assert (first.id, first.raw) == (second.id, second.raw)
        log = world.service.log(endpoint, delivery["id"])
        assert [(each["status"], each["response_body"]) for each in log["attempts"]] == [
            (status, "だめ"),
            (204, ""),
        ]
        assert log["payload"] == first.raw
        assert log["attempts"][0]["request_headers"]["webhook-id"] == delivery["id"]

    def test_the_pauses_grow_over_days(self, world: World, listening: Receiver) -> None:
        listening.answer = lambda _: 500
        endpoint = world.service.listen(listening)
        world.pay()
        pauses = []
        while world.work():
            if left := world.sql("SELECT due_at - now() FROM webhook_lane"):
                pauses.append(left[0][0])
            world.time_passes()
        assert len(listening.got) == backoff.MAX_TRIES
        assert timedelta(seconds=4) < pauses[0] < timedelta(seconds=6)
        assert timedelta(minutes=4) < pauses[1] < timedelta(minutes=6)
        assert pauses[-1] > timedelta(hours=22)
        assert timedelta(days=5) < sum(pauses, timedelta()) < timedelta(days=6)
        (delivery,) = world.service.deliveries(endpoint)
        assert (delivery["state"], delivery["attempt_count"]) == ("given_up", backoff.MAX_TRIES)

    def test_nobody_there(self, world: World, listening: Receiver) -> None:
        from tests.ports import free_port

        endpoint = str(world.service.create(f"http://127.0.0.1:{free_port()}/")["id"])
        world.pay()
        world.work()
        (delivery,) = world.service.deliveries(endpoint)
        assert (delivery["last_status"], delivery["last_error"]) == (None, "ConnectionRefusedError")
        (attempt,) = world.service.log(endpoint, delivery["id"])["attempts"]
        assert attempt["response_headers"] is None
        assert attempt["response_body"] is None

    @pytest.mark.parametrize(
        ("status", "asked", "least", "most"),
        [(429, "120", 115, 120), (503, None, 3, 5), (504, "soon", 3, 5), (502, "9" * 8, 3500, 3600)],
    )
    def test_one_with_too_much_to_do_is_left_alone(
        self, world: World, listening: Receiver, status: int, asked: str | None, least: int, most: int
    ) -> None:
        listening.answer = lambda _: status
        listening.headers = {"Retry-After": asked} if asked else {}
        world.service.listen(listening)
        one, other = world.members(2)
        world.pay(member_id=one)
        world.work()
        world.pay(member_id=other)
        assert world.work() == 0, "nothing is sent to it meanwhile, whoever it is about"
        ((left,),) = world.sql("SELECT paused_until - now() FROM webhook_endpoint WHERE status = 'active'")
        assert timedelta(seconds=least) < left <= timedelta(seconds=most)
        listening.answer = lambda _: 204
        world.time_passes()
        assert world.work() == 2

    def test_an_answer_without_end_is_read_for_a_while_only(self, world: World, listening: Receiver) -> None:
        listening.answer = lambda _: 200
        listening.text = b"x" * 100_000
        endpoint = world.service.listen(listening)
        world.pay()
        world.work()
        (delivery,) = world.service.deliveries(endpoint)
        assert delivery["state"] == "delivered"
        (attempt,) = world.service.log(endpoint, delivery["id"])["attempts"]
        assert attempt["response_body"] == "x" * 4_096

    def test_the_longer_it_is_away_the_longer_it_is_left_alone(self) -> None:
        def seconds(minutes: float) -> float:
            pause = backoff.pause(None, None, failing_for=timedelta(minutes=minutes))
            assert pause
            return pause.total_seconds()

        assert [seconds(minutes) for minutes in (0, 0.1, 2, 20, 2_000)] == [5, 5, 30, 300, 300]

    def test_back_from_an_outage_nobody_waits_for_hours(self, world: World, listening: Receiver) -> None:
        listening.answer = lambda _: 503
        world.service.listen(listening)
        for member_id in world.members(3):
            world.pay(member_id=member_id)
        world.work()
        world.sql("UPDATE webhook_lane SET due_at = now() + interval '5 hours', tries = 5")
        away = (
            "UPDATE webhook_endpoint SET failing_since = now() - %(span)s, paused_until = now() WHERE status = 'active'"
        )
        listening.answer = lambda _: 204
        other, another = world.members(2)
        world.sql(away, span=timedelta(minutes=1))
        world.pay(member_id=other)
        assert world.work() == 1, "it was a moment"
        world.sql(away, span=timedelta(hours=3))
        world.pay(member_id=another)
        assert world.work() == 4
        assert len(listening.taken) == 5


class TestDisabling:
    def mails(self, world: World) -> list[dict[str, Any]]:
        import json

        from app.seal import unseal

        kept = world.sql("SELECT payload_sealed FROM outbox WHERE topic = 'mail' AND state = 'waiting'")
        return [json.loads(unseal(world.settings.sealing_key, sealed)) for (sealed,) in kept]

    def test_410_disables_it_and_someone_is_told(self, world: World, listening: Receiver) -> None:
        listening.answer = lambda _: 410
        endpoint = world.service.listen(listening)
        world.pay()
        world.work()
        shown = world.service.endpoint(endpoint)
        assert (shown["status"], shown["disabled_reason"]) == ("disabled", "gone")
        (mail,) = self.mails(world)
        assert mail["to"] == "ops@example.ac.jp"
        assert "試験サービス" in mail["subject"]
        assert endpoint in mail["text"]
        assert "410" in mail["text"]
        assert self.again(world) == 0

    def again(self, world: World) -> int:
        world.time_passes()
        return world.work()

    def test_five_days_of_failures_disable_it_once(self, world: World, listening: Receiver) -> None:
        listening.answer = lambda _: 500
        endpoint = world.service.listen(listening)
        one, other = world.members(2)
        world.pay(member_id=one)
        world.pay(member_id=other)
        world.work()
        assert world.service.endpoint(endpoint)["failing_since"]
        self.failing_for(world, timedelta(days=4, hours=23))
        self.again(world)
        assert world.service.endpoint(endpoint)["status"] == "active"
        self.failing_for(world, timedelta(days=5))
        self.again(world)
        shown = world.service.endpoint(endpoint)
        assert (shown["status"], shown["disabled_reason"]) == ("disabled", "failing")
        assert len(self.mails(world)) == 1
        assert len(world.service.deliveries(endpoint, state="waiting")) == 2, "what waits is kept"

        world.pay(member_id=one)
        world.feed()
        listening.answer = lambda _: 204
        assert world.service.call("PATCH", f"/{endpoint}", json={"status": "active"}).status_code == 200
        assert world.work() == 2, "what waited goes out; what happened meanwhile was not kept for it"
        assert world.service.endpoint(endpoint)["failing_since"] is None

    def failing_for(self, world: World, span: timedelta) -> None:
        world.sql("UPDATE webhook_endpoint SET failing_since = now() - %(span)s WHERE status = 'active'", span=span)

    def test_one_success_and_the_days_count_anew(self, world: World, listening: Receiver) -> None:
        listening.answer = lambda _: 500
        endpoint = world.service.listen(listening)
        world.pay()
        world.work()
        self.failing_for(world, timedelta(days=6))
        listening.answer = lambda _: 204
        assert self.again(world) == 1
        shown = world.service.endpoint(endpoint)
        assert (shown["status"], shown["failing_since"]) == ("active", None)

    def test_the_mail_is_in_english_where_the_server_is(self, app: Flask) -> None:
        from app.messaging.compose import compose_mail

        with app.test_request_context():
            for gone in (True, False):
                mail = compose_mail(
                    to="a@b.example",
                    message="webhook_disabled",
                    locale="en",
                    client="Test",
                    url="https://x.example/",
                    endpoint_id="e1",
                    gone=gone,
                    since="23 Nov 2026 12:34",
                )
                assert "Test" in mail["subject"]
                assert ("410" in mail["text"]) is gone
                assert ("23 Nov" in mail["text"]) is not gone


def test_a_client_that_lost_its_scope_is_sent_nothing(world: World, listening: Receiver) -> None:
    world.service.listen(listening)
    world.pay()
    world.feed()
    world.sql("UPDATE oauth_client SET scopes = '{shop:read}' WHERE id = %(id)s", id=world.service.id)
    assert world.work() == 0
    world.sql("UPDATE oauth_client SET scopes = '{webhook}', status = 'revoked' WHERE id = %(id)s", id=world.service.id)
    assert world.work() == 0
    assert listening.got == []


def test_a_deleted_endpoint_is_sent_nothing(world: World, listening: Receiver) -> None:
    endpoint = world.service.listen(listening)
    world.pay()
    world.feed()
    assert world.service.call("DELETE", f"/{endpoint}").status_code == 204
    assert world.work() == 0
    assert world.service.call("GET", f"/{endpoint}").status_code == 404
    assert world.service.call("GET").get_json() == {"endpoints": []}
