"""Programs that call the API over HTTP: an app that the member of a world allowed, a service, a shop's, a till."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.db import transaction
from app.oauth import grants_service, tokens
from app.oauth.clients import find_client, register_client
from app.oauth.ports import Mandate
from app.reader import terminals
from app.wallet import directory
from app.wallet.spend_control import GrantControls
from tests import factories
from tests.wallet.world import World

FOR_MEMBERS = ("profile", "balance", "history", "payment", "move")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A program with its token, and the names it uses."""

    http: FlaskClient
    client_id: str
    token: str
    member_id: UUID | None = None
    shop: str = ""
    money: str = ""

    def get(self, path: str, **headers: str) -> TestResponse:
        with self.http.application.app_context():  # or what one request leaves would be there for the next
            return self.http.get(path, headers={"Authorization": f"Bearer {self.token}", **headers})

    def post(self, path: str, body: Any, *, key: str | None = "", **headers: str) -> TestResponse:
        """`key`: the Idempotency-Key; empty: a new one; None: none."""
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        if key is not None:
            sent["Idempotency-Key"] = key or secrets.token_hex(8)
        with self.http.application.app_context():
            return self.http.post(path, data=json.dumps(body), content_type="application/json", headers=sent)

    def pay(self, amount_yen: int, *, key: str | None = "", **more: Any) -> TestResponse:
        return self.post("/v1/payments", self.spending(amount_yen, **more), key=key)

    def hold(self, amount_yen: int, *, key: str | None = "", **more: Any) -> TestResponse:
        return self.post("/v1/holds", self.spending(amount_yen, **more), key=key)

    def spending(self, amount_yen: int, **more: Any) -> dict[str, Any]:
        return {"amount_yen": amount_yen, "money": self.money, "shop": self.shop, **more}

    def paid(self, amount_yen: int, **more: Any) -> dict[str, Any]:
        return taken(self.pay(amount_yen, **more))


def taken(answer: TestResponse, status: int = 201) -> dict[str, Any]:
    body = answer.get_json()
    assert answer.status_code == status, body
    assert isinstance(body, dict)
    return body


def refusal(answer: TestResponse) -> tuple[int, str]:
    assert answer.mimetype == "application/problem+json", answer.text
    body = answer.get_json()
    assert body["status"] == answer.status_code
    assert body["title"] != f"error.{body['code']}", "no sentence for this code"
    return answer.status_code, body["code"]


def wrong_fields(answer: TestResponse) -> list[str]:
    assert refusal(answer) == (422, "invalid_fields")
    return sorted(answer.get_json()["errors"])


# --- made in an app context ---


def app_of(
    http: FlaskClient, world: World, *scopes: str, client_id: str | None = None, most_yen: int = 9_000
) -> Caller:
    """An app that the world's member allowed these scopes (default: all), at the world's shop."""
    client_id = client_id or factories.oauth_client(allowed_shops=[world.shop_id], scopes=FOR_MEMBERS).id
    token = factories.access_token(
        member_id=world.member_id, client_id=client_id, scopes=scopes or FOR_MEMBERS, max_per_payment_yen=most_yen
    )
    return _caller(http, world, client_id, token, member_id=world.member_id)


def program_of(http: FlaskClient, world: World, *scopes: str, shops: list[UUID] | None = None) -> Caller:
    """A program with these scopes for itself, at the world's shop: an app if it charges members, else a service."""
    profile = "web" if "payment" in scopes else "service"
    client_id = _register(profile, scopes, shops=[world.shop_id] if shops is None else shops)
    return _caller(http, world, client_id, own_token(client_id, *scopes))


def till_of(http: FlaskClient, world: World, *scopes: str) -> Caller:
    """A till at the world's shop."""
    client_id = _register("till", scopes, shops=[])
    with transaction():
        terminals.register(shop_id=world.shop_id, client_id=client_id, name="レジ", default_money=world.meal)
    return _caller(http, world, client_id, own_token(client_id, *scopes))


def allow(
    client_id: str,
    world: World,
    *,
    max_per_payment_yen: int = 9_000,
    scopes: Sequence[str] = ("payment", "offline_access"),
) -> UUID:
    """The world's member allows a client to take payments; returns the grant's id."""
    mandate = Mandate(
        max_per_payment_yen=max_per_payment_yen,
        max_per_day_yen=50_000,
        max_per_month_yen=50_000,
        shops=(world.shop_id,),
    )
    with transaction():
        return grants_service.allow(
            member_id=world.member_id,
            client_id=client_id,
            scopes=list(scopes),
            mandate=mandate,
            controls=GrantControls(),
        ).id


def own_token(client_id: str, *scopes: str) -> str:
    client = find_client(client_id)
    assert client is not None
    with transaction():
        return tokens.issue_to_client(client=client, scopes=scopes).access_token


def _register(profile: str, scopes: tuple[str, ...], *, shops: list[UUID]) -> str:
    client_id = f"c_{secrets.token_hex(6)}"
    with transaction():
        register_client(
            client_id=client_id,
            name_ja="夜間集計",
            name_en="Nightly",
            profile=profile,
            scopes=scopes,
            redirect_uris=["https://plan.example/callback"] if profile == "web" else [],
            allowed_shops=shops,
        )
    return client_id


def _caller(http: FlaskClient, world: World, client_id: str, token: str, *, member_id: UUID | None = None) -> Caller:
    shop = directory.shop_by_id(world.shop_id).code
    return Caller(http=http, client_id=client_id, token=token, member_id=member_id, shop=shop, money=world.meal)


def shown(caller: Caller, transaction_id: str) -> dict[str, Any]:
    """A transaction as it is shown later, but for its receipt's address, which answers to a request do not have."""
    found = taken(caller.get(f"/v1/transactions/{transaction_id}"), 200)
    assert found.pop("receipt_url").startswith("http")
    return dict(found)
