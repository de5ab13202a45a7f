"""The co-op of the document's examples: 花子, her monies, the canteen and the bookstore, by the names they have there.

What a server makes up itself (ids, codes, tokens) has other values here; `operations.py` says which.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import text

from app.db import dispose, transaction
from app.factory import create_app
from app.issuer import current_issuer
from app.member.service import register_member
from app.oauth.clients import register_client
from app.reader import cards, terminals
from app.reader.cards import Reading
from app.settings import Settings
from app.wallet import ledger, setup
from app.wallet.bulk.runner import BulkRunner
from app.wallet.bulk.schemas import CSV
from app.wallet.settlement import closing
from tests import factories
from tests.wallet.proof.books import age, look

IDM = "0114B7F2A93C5D60"
BLOCKS = {0: "30313236413130303435202020203031", 2: "39393030303030313230323630343031"}
BLOCKS[3] = "32303330303333313030303130303435"
FOR_MEMBERS = ("profile", "balance", "history", "payment", "charge", "move", "card")
EMAILS = ("hanako@example.ac.jp", "taro@example.ac.jp", "alice@example.ac.jp")


@dataclass(kw_only=True)
class Stage:
    """The co-op with its callers. Everything that is asked of it by name is made by the API."""

    app: Flask
    members: Sequence[UUID]
    shops: Sequence[UUID]
    tokens: dict[str, str] = field(default_factory=dict)
    """Of each caller: what `Authorization: Bearer` it sends."""
    sealed: str = ""
    """A payment of some days ago, which has a proof."""

    def ask(self, caller: str, method: str, path: str, **sent: Any) -> Any:
        """The JSON of an answer that must be a success."""
        headers = {"Authorization": f"Bearer {self.tokens[caller]}", "Idempotency-Key": secrets.token_hex(8)}
        answer = self.app.test_client().open(path, method=method, headers=headers, **sent)
        assert answer.status_code < 300, answer.text
        return answer.get_json()

    def tap(self) -> str:
        """A tap that was just paid."""
        body = {**self.example("/v1/taps"), "tap_id": secrets.token_hex(8)}
        headers = {"Authorization": f"Bearer {self.tokens['till']}"}
        answer = self.app.test_client().post("/v1/taps", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(body["tap_id"])

    def new_idm(self) -> str:
        return f"0114{secrets.token_hex(6)}".upper()

    def card_number(self) -> str:
        """The IDm of a card of hers that may be lost."""
        number = self.new_idm()
        self.ask("member", "POST", "/v1/cards", json={**self.example("/v1/cards"), "idm": number})
        return number

    def card(self) -> str:
        body = {**self.example("/v1/cards"), "idm": self.new_idm()}
        return str(self.ask("member", "POST", "/v1/cards", json=body)["id"])

    def registration_code(self) -> str:
        return str(self.ask("member", "POST", "/v1/cards/registration-codes")["code"])

    def example(self, path: str) -> Any:
        """The body that the document shows of a POST."""
        body = self.app.extensions["kumiai.openapi"]["paths"][path]["post"]["requestBody"]
        return body["content"]["application/json"]["example"]

    def payment(self) -> str:
        return str(self.ask("member", "POST", "/v1/payments", json=self.example("/v1/payments"))["id"])

    def request_id(self) -> str:
        shown = self.ask("member", "GET", f"/v1/transactions/{self.payment()}")
        return str(shown["request_id"])

    def hold(self) -> str:
        return str(self.ask("member", "POST", "/v1/holds", json=self.example("/v1/holds"))["id"])

    def code(self, purpose: str = "payment", *, caller: str = "member") -> dict[str, str]:
        made: dict[str, str] = self.ask(caller, "POST", "/v1/codes", json={"purpose": purpose})
        return made

    def shop_code(self) -> dict[str, str]:
        made: dict[str, str] = self.ask("till", "POST", "/v1/shop-codes", json=self.example("/v1/shop-codes"))
        return made

    def job(self, *, running: bool = False) -> str:
        """The file of the examples, examined; or running."""
        made = self.ask("bulk", "POST", "/v1/bulk", data=CSV.encode(), content_type="text/csv")
        self.work()
        if running:
            body = {"expected_sum_yen": 1_000, "skip_bad_lines": True, "same_file": True}
            self.ask("bulk", "POST", f"/v1/bulk/{made['id']}/start", json=body)
        return str(made["id"])

    def charge(self) -> str:
        return str(self.ask("member", "POST", "/v1/charges", json=self.example("/v1/charges"))["id"])

    def charge_link(self) -> dict[str, str]:
        """The newest; the others end, since a member may have no more than so many."""
        path = "/v1/charge-links"
        for known in self.ask("member", "GET", path)["links"]:
            self.ask("member", "DELETE", f"{path}/{known['id']}")
        made: dict[str, str] = self.ask("member", "POST", path, json=self.example(path))
        return made

    def work(self) -> None:
        """What a worker does with files."""
        runner = BulkRunner(self.app, rest=0)
        while runner.work():
            pass

    def settlement(self) -> str:
        self.payment()
        with self.app.app_context():
            return str(closing.close(shop_id=self.shops[0]))

    def endpoint(self) -> str:
        """The only one: a client may have no more than so many."""
        path = "/v1/webhook-endpoints"
        for known in self.ask("service", "GET", path)["endpoints"]:
            self.ask("service", "DELETE", f"{path}/{known['id']}")
        return str(self.ask("service", "POST", path, json=self.example(path))["id"])

    def delivery(self) -> tuple[str, str]:
        """An endpoint, and a delivery to it."""
        endpoint = self.endpoint()
        sent = self.ask("service", "POST", f"/v1/webhook-endpoints/{endpoint}/test")
        return endpoint, str(sent["delivery_id"])

    def codes_last(self) -> None:
        """A code is good for a minute; what tries a thousand requests takes longer."""
        with self.app.app_context(), transaction() as session:
            session.execute(text("UPDATE one_time_code SET expires_at = now() + interval '1 hour'"))


@contextmanager
def stage(settings: Settings) -> Iterator[Stage]:
    """The co-op over an empty database."""
    app = create_app(settings)
    with app.app_context():
        factories.issuer(name_ja="くみあい大学生協", name_en="Kumiai University Co-op")
        made = Stage(app=app, members=_members(), shops=_shops())
        _open_wallets(made.members)
        _callers(made)
    made.sealed = made.payment()
    age(app)
    look(app)
    yield made
    ledger.close()
    with app.app_context():
        dispose()


def _members() -> list[UUID]:
    """花子 and 太郎, by the ids of the examples, and Alice."""
    ids = [UUID(f"01936a7c-5b1e-7a10-8000-{number:012}") for number in (10, 11, 12)]
    with transaction():
        for id_, email in zip(ids, EMAILS, strict=True):
            register_member(
                email=email, password=secrets.token_hex(8), family_name="組合", given_name="花子", member_id=id_
            )
    return ids


def _shops() -> list[UUID]:
    issuer_id = current_issuer().id
    with transaction():
        points = setup.open_money(
            issuer_id=issuer_id, code="points", name_ja="ポイント", name_en="Points", backing="free", position=2
        )
        base = setup.open_money(issuer_id=issuer_id, code="base", name_ja="ベースマネー", name_en="Base money")
        meal = setup.open_money(
            issuer_id=issuer_id,
            code="meal",
            name_ja="学食マネー",
            name_en="Meal money",
            position=1,
            groups=["meal", "drink"],
            expiry="fixed_date",
            expires_month_day="03-31",
            expiry_min_days=90,
            points_money_id=points.id,
            points_rate_bp=100,
        )
        setup.allow_move(from_money=base, to_money=meal, min_yen=100, max_yen=10_000, step_yen=100)
        canteen, bookstore = (
            setup.open_shop(issuer_id=issuer_id, code=code, name_ja=ja, name_en=en, accepts=[points, base])
            for code, ja, en in (
                ("canteen", "中央食堂", "Central Canteen"),
                ("bookstore", "書籍購買部", "Bookstore"),
            )
        )
        setup.accept_money(shop=canteen, money=meal, falls_to=["base"])
        return [canteen.id, bookstore.id]


def _open_wallets(members: Sequence[UUID]) -> None:
    """Of everybody; with value in hers."""
    for member_id in members:
        for money in ("base", "meal", "points"):
            factories.wallet(member_id=member_id, money=money)
    for money in ("base", "meal"):
        factories.charge(member_id=members[0], money=money, amount_yen=1_000_000)


def _callers(stage: Stage) -> None:
    hanako, taro, alice = stage.members
    app = factories.oauth_client(client_id="demo_app", allowed_shops=stage.shops, scopes=FOR_MEMBERS)
    wallet_app = factories.oauth_client(allowed_shops=stage.shops, scopes=FOR_MEMBERS)
    plan = factories.oauth_client(allowed_shops=stage.shops, scopes=("payment", "offline_access"))
    stopping = factories.oauth_client(scopes=["suspend"])
    token = partial(factories.access_token, max_per_payment_yen=900_000)
    for member_id in (hanako, taro):
        token(member_id=member_id, client_id=plan.id, scopes=["payment", "offline_access"])
    stage.tokens = {
        "member": token(member_id=hanako, client_id=app.id, scopes=FOR_MEMBERS),
        "wallet": token(member_id=hanako, client_id=wallet_app.id, scopes=FOR_MEMBERS),
        "plan": token(member_id=None, client_id=plan.id, scopes=["payment"]),
        "stopping": token(member_id=alice, client_id=stopping.id, scopes=["suspend"]),
        "till": _till(stage),
        "shop": _program("service", ["shop:read", "shop:refund"], shops=stage.shops),
        "service": _program("service", ["webhook"]),
        "bulk": _program("service", ["bulk"]),
    }


def _till(stage: Stage) -> str:
    scopes = ["till", "till:charge"]
    client_id = _register("till", scopes)
    with transaction():
        terminals.register(shop_id=stage.shops[0], client_id=client_id, name="中央食堂 1番レジ", default_money="meal")
        blocks = {number: bytes.fromhex(block) for number, block in BLOCKS.items()}
        cards.register(Reading(idm=IDM, blocks=blocks), member_id=stage.members[0])
    return factories.access_token(member_id=None, client_id=client_id, scopes=scopes)


def _program(profile: str, scopes: Sequence[str], *, shops: Sequence[UUID] = ()) -> str:
    return factories.access_token(member_id=None, client_id=_register(profile, scopes, shops=shops), scopes=scopes)


def _register(profile: str, scopes: Sequence[str], *, shops: Sequence[UUID] = ()) -> str:
    client_id = f"c_{secrets.token_hex(6)}"
    with transaction():
        register_client(
            client_id=client_id,
            name_ja="店舗の会計",
            name_en="Shop books",
            profile=profile,
            scopes=scopes,
            allowed_shops=shops,
        )
    return client_id
