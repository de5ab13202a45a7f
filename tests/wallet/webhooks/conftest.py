"""A developer with a service, an app and endpoints; and the worker's work, done step by step in this process."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.db import transaction
from app.settings import Settings
from app.wallet import directory, ledger
from app.wallet.postings import Accepted
from app.wallet.webhooks import feed, lanes, sender
from app.wallet.webhooks.models import WebhookApp
from tests import factories
from tests.wallet.postings import payment
from tests.wallet.webhooks.receiver import Receiver, receiver

PATH = "/v1/webhook-endpoints"


@dataclass
class Service:
    """A service client as its developer uses it."""

    app: Flask
    id: str
    token: str

    def call(self, method: str, path: str = "", **how: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.app.test_client().open(PATH + path, method=method, headers=headers, **how)

    def create(self, url: str, *, events: Sequence[str] = ("payment.created",), **more: Any) -> dict[str, Any]:
        body = {"url": url, "events": list(events), "contact_email": "ops@example.ac.jp", **more}
        answer = self.call("POST", json=body)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.get_json()
        return created

    def listen(self, receiver: Receiver, *, path: str = "/hook", **how: Any) -> str:
        """An endpoint at this receiver, which knows its secret; returns its id."""
        created = self.create(receiver.url + path, **how)
        receiver.secrets[path] = created["secret"]
        return str(created["id"])

    def endpoint(self, endpoint_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.call("GET", f"/{endpoint_id}").get_json()
        return shown

    def deliveries(self, endpoint_id: str, **query: Any) -> list[dict[str, Any]]:
        answer = self.call("GET", f"/{endpoint_id}/deliveries", query_string={"limit": 100, **query})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.get_json()["deliveries"]
        return found

    def log(self, endpoint_id: str, delivery_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/{endpoint_id}/deliveries/{delivery_id}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.get_json()
        return shown


def new_service(app: Flask, *, shops: Sequence[UUID] = (), scopes: Sequence[str] = ("webhook",)) -> Service:
    """A registered service with a token of its own."""
    with app.app_context():
        client_id = service_client(shops=shops, scopes=scopes)
        token = factories.access_token(member_id=None, client_id=client_id, scopes=["webhook"])
    return Service(app=app, id=client_id, token=token)


def service_client(*, shops: Sequence[UUID], scopes: Sequence[str]) -> str:
    from app.oauth.clients import register_client

    with transaction():
        row, _ = register_client(
            client_id=f"c_{secrets.token_hex(6)}",
            name_ja="試験サービス",
            name_en="Test service",
            profile="service",
            scopes=scopes,
            allowed_shops=shops,
        )
        return row.id


def connect(service_id: str, app_id: str) -> None:
    with transaction() as session:
        session.add(WebhookApp(client_id=service_id, app_id=app_id))


@dataclass
class World:
    """A member, a shop, an app the member allowed something, and the service of that app's developer."""

    app: Flask
    settings: Settings
    holder: factories.Holder
    app_id: str
    service: Service

    def allow(self, *scopes: str, member_id: UUID | None = None) -> str:
        """The member allows the app these scopes; returns an access token."""
        with self.app.app_context():
            return factories.access_token(
                member_id=member_id or self.holder.member_id, client_id=self.app_id, scopes=scopes
            )

    def pay(self, amount_yen: int = 100, *, by: str | None = None, **how: Any) -> Accepted:
        """A payment that the app asked for, or `by` another client."""
        with self.app.app_context():
            outcome = ledger.post(payment(self.holder, amount_yen, requester=by or self.app_id, **how))
        assert isinstance(outcome, Accepted), outcome
        return outcome

    def members(self, count: int, *, balance_yen: int = 100_000) -> list[UUID]:
        """More members with a wallet of the same money."""
        with self.app.app_context():
            found = []
            for _ in range(count):
                found.append(factories.member())
                factories.wallet(member_id=found[-1], money=self.holder.money)
                factories.charge(member_id=found[-1], money=self.holder.money, amount_yen=balance_yen)
            return found

    def feed(self) -> int:
        with self.app.app_context(), transaction():
            return feed.fan_out()

    def work(self) -> int:
        """Feed, and send all that is due; returns how many lanes were taken."""
        while self.feed():
            pass
        taken = 0
        with psycopg.connect(self.settings.database_url, autocommit=True) as connection:
            while found := lanes.lease(connection, room=16, busy=[]):
                for lane in found:
                    sender.deliver(self.app, lane, settings=self.settings)
                taken += len(found)
        return taken

    def sql(self, statement: str, **values: Any) -> list[Any]:
        with psycopg.connect(self.settings.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement, values)  # type: ignore[call-overload]  # a test's own text
            return cursor.fetchall() if cursor.description else []

    def time_passes(self, span: timedelta = timedelta(days=2)) -> None:
        """Pauses are over, and leases have run out."""
        self.sql(
            "UPDATE webhook_lane SET due_at = due_at - %(span)s, leased_until = leased_until - %(span)s", span=span
        )
        self.sql("UPDATE webhook_endpoint SET paused_until = paused_until - %(span)s", span=span)

    @property
    def shop(self) -> str:
        with self.app.app_context():
            return directory.shop_by_id(self.holder.shop_id).code


def new_world(app: Flask, settings: Settings) -> World:
    with app.app_context():
        holder = factories.holder(balance_yen=1_000_000)
        app_id = factories.oauth_client(allowed_shops=[holder.shop_id]).id
    service = new_service(app)
    with app.app_context():
        connect(service.id, app_id)
    return World(app=app, settings=settings, holder=holder, app_id=app_id, service=service)


@pytest.fixture
def world(app: Flask, settings: Settings) -> Iterator[World]:
    made = new_world(app, settings)
    made.sql("DELETE FROM webhook_lane")
    made.sql("DELETE FROM webhook_delivery")
    made.sql("UPDATE webhook_endpoint SET status = 'deleted', disabled_reason = NULL")
    made.sql("DELETE FROM outbox")
    yield made


@pytest.fixture
def listening() -> Iterator[Receiver]:
    with receiver() as state:
        yield state


Make = Callable[..., Any]
