"""A member with money, an app that may take some of it, and what the app can do with its token."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from app.wallet import directory
from tests import factories
from tests.oauth.conftest import Member, ThirdParty

SCOPES = "openid profile balance history payment offline_access"


@dataclass(frozen=True)
class Shopper:
    """What an app holds of a member who allowed it to pay at two shops."""

    app: Flask
    member: Member
    third_party: ThirdParty
    money: str
    shops: tuple[str, str]
    tokens: dict[str, Any]

    @property
    def page(self) -> str:
        return f"/account/apps/{self.tokens['grant_id']}"

    def _call(self, method: str, path: str, **options: Any) -> TestResponse:
        bearer = {"Authorization": f"Bearer {self.tokens['access_token']}", "Idempotency-Key": secrets.token_hex(8)}
        return self.app.test_client().open(path, method=method, headers=bearer, **options)

    def wallets(self) -> TestResponse:
        return self._call("GET", "/v1/wallets")

    def transactions(self) -> TestResponse:
        return self._call("GET", "/v1/transactions")

    def pay(self, amount_yen: int, *, shop: int = 0) -> TestResponse:
        body = {"amount_yen": amount_yen, "money": self.money, "shop": self.shops[shop]}
        return self._call("POST", "/v1/payments", json=body)

    def can(self) -> dict[str, int]:
        """The status of each kind of call."""
        calls = {"balance": self.wallets(), "history": self.transactions(), "payment": self.pay(1)}
        return {name: answer.status_code for name, answer in calls.items()}

    def grant(self) -> TestResponse:
        return self._call("GET", f"/oauth/grants/{self.tokens['grant_id']}")


def shopper(app: Flask, member: Member, *, ceiling: str = "1000", **registration: Any) -> Shopper:
    """The member allows everything, up to `ceiling` a payment."""
    with app.app_context():
        money = factories.money()
        ids = [factories.shop(accepts=[money], name_ja=name) for name in ("北食堂", "南書籍部")]
        factories.wallet(member_id=member.id, money=money)
        factories.charge(member_id=member.id, money=money, amount_yen=5_000)
        client = factories.oauth_client(allowed_shops=ids, **registration)
        shops = tuple(directory.shop_by_id(shop).code for shop in ids)
    third_party = ThirdParty(app=app, id=client.id, secret=client.secret, redirect_uri=client.redirect_uris[0])
    tokens = third_party.tokens(member, scope=SCOPES, ticked=["balance", "history", "payment"], ceiling=ceiling)
    return Shopper(app, member, third_party, money, (shops[0], shops[1]), tokens)
