"""A member who charges through the API, over the sandbox gateway: what the tests of charging share."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from werkzeug.test import TestResponse

from app import clock
from app.charge.checks import CHARGE_CHECKS
from app.charge.gateways.current import current_gateway
from app.charge.poller import Charges
from app.db import database_url
from app.wallet.verify import verify
from tests import factories
from tests.charge.vendor import Vendor
from tests.wallet.api.caller import taken
from tests.wallet.world import World, read

CONTACT = {
    "chain": "seicomart",
    "name": "組合 花子",
    "name_kana": "クミアイ ハナコ",
    "email": "hanako@example.ac.jp",
    "phone": "09012345678",
}


@dataclass
class Scene:
    """One member with base and meal money, who let an app charge them."""

    app: Flask
    vendor: Vendor
    money: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with self.app.app_context():
            self.world = World(**self.money)
            client = factories.oauth_client(scopes=["balance", "history", "charge"])
            self.client_id = client.id
        self.sign_in()

    @property
    def member_id(self) -> UUID:
        return self.world.member_id

    def sign_in(self, *, minutes_ago: float = 0) -> None:
        """The app's access token, of a sign-in so long ago."""
        with self.app.app_context():
            self.token = factories.access_token(
                member_id=self.world.member_id,
                client_id=self.client_id,
                scopes=["balance", "history", "charge"],
                auth_time=clock.now() - timedelta(minutes=minutes_ago),
            )

    # --- what the member's app asks ---

    def ask(self, method: str, path: str, *, key: str | None = None, **sent: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key or secrets.token_hex(8)}
        return self.app.test_client().open(path, method=method, headers=headers, **sent)

    def order(self, amount_yen: int = 3_000, *, key: str | None = None, **body: Any) -> TestResponse:
        """A slip, unless `method` says otherwise."""
        said = {"money": self.world.meal, "amount_yen": amount_yen, "method": "konbini", **body}
        if said["method"] == "konbini":
            said = {**CONTACT, **said}
        return self.ask("POST", "/v1/charges", key=key, json=said)

    def ordered(self, amount_yen: int = 3_000, **body: Any) -> dict[str, Any]:
        return taken(self.order(amount_yen, **body))

    def charge(self, charge_id: str) -> dict[str, Any]:
        return taken(self.ask("GET", f"/v1/charges/{charge_id}"), 200)

    def cancel(self, charge_id: str) -> TestResponse:
        return self.ask("POST", f"/v1/charges/{charge_id}/cancel")

    # --- what happens elsewhere ---

    def ref(self, charge_id: str) -> str:
        [(ref,)] = self.rows("SELECT gateway_ref FROM charge_order WHERE id = :id", id=charge_id)
        return str(ref)

    def deliver(self, ref: str) -> list[int]:
        """All webhooks of a payment, as the gateway signs them; the server's answers."""
        http = self.app.test_client()
        return [
            http.post("/charge/webhooks/sandbox", headers=headers, data=body).status_code
            for headers, body in self.vendor.messages(ref)
        ]

    def poll(self) -> None:
        """What the worker does, with everything due now."""
        with self.app.app_context():
            self.rows("UPDATE charge_order SET due_at = now() - interval '1 s' WHERE due_at IS NOT NULL RETURNING 1")
            Charges(self.app, self.app.extensions["kumiai.settings"]).poll(current_gateway())

    # --- what the books say ---

    def rows(self, sql: str, **values: Any) -> list[Any]:
        with self.app.app_context():
            return read(sql, **values)

    def balance_yen(self) -> int:
        with self.app.app_context():
            return self.world.balance_yen(self.world.meal)

    def reserved_yen(self) -> int:
        [(yen,)] = self.rows("SELECT sum(reserved_yen)::bigint FROM wallet WHERE member_id = :m", m=self.member_id)
        return int(yen)

    def clean(self) -> None:
        """The books agree with themselves and with what is known of charges."""
        with self.app.app_context():
            assert verify(database_url(), further=CHARGE_CHECKS)[1] == []
