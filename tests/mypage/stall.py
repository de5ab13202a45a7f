"""A shop with a till that takes two monies and points, and members who have them. Made once for a server."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import requests
from sqlalchemy import select, text

from app.db import transaction
from app.issuer import current_issuer
from app.oauth.clients import register_client
from app.oauth.models import OAuthClient
from app.oauth.registry import set_shops
from app.reader import terminals
from app.wallet import ledger, setup
from app.wallet.models import Money
from app.wallet.postings import Accepted, Adjustment
from tests import factories
from tests.live import Live, Person

POINTS_UNTIL = datetime.now(UTC).date() + timedelta(days=40)
ALL = ("balance", "history", "payment", "charge", "move", "card")


@dataclass(frozen=True, kw_only=True)
class Stall:
    live: Live
    base: str
    meal: str
    points: str
    shop_id: UUID
    till: str
    """Its access token."""

    def member(self, *, base_yen: int = 3_000, meal_yen: int = 1_000, points_yen: int = 120) -> Person:
        """A member with some of each."""
        person = self.live.register()
        with self.live.app.app_context():
            for money, amount_yen in ((self.base, base_yen), (self.meal, meal_yen)):
                factories.wallet(member_id=person.id, money=money)
                if amount_yen:
                    factories.charge(member_id=person.id, money=money, amount_yen=amount_yen)
            factories.wallet(member_id=person.id, money=self.points)
            if points_yen:
                self._grant(person, points_yen)
        return person

    def balances(self, person: Person) -> dict[str, int]:
        """What the books say: base, meal, points."""
        with self.live.app.app_context(), transaction() as session:
            found = dict(
                session.execute(
                    text(
                        "SELECT m.code, w.total_yen FROM wallet w JOIN money m ON m.id = w.money_id"
                        " WHERE w.member_id = :id"
                    ),
                    {"id": person.id},
                ).all()
            )
        return {name: found[getattr(self, name)] for name in ("base", "meal", "points")}

    def code(self, amount_yen: int, **body: Any) -> dict[str, Any]:
        """The till shows a code with an amount."""
        answer = self.ask("POST", "/shop-codes", {"amount_yen": amount_yen, **body})
        assert answer.status_code == 201, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def scan(self, digits: str, amount_yen: int, **body: Any) -> requests.Response:
        """The till reads a member's code."""
        return self.ask("POST", "/code-payments", {"code": digits, "amount_yen": amount_yen, **body})

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.till}", "Idempotency-Key": secrets.token_hex(8)}
        return requests.request(method, f"{self.live.url}/v1{path}", json=body, headers=headers, timeout=30)

    def _grant(self, person: Person, amount_yen: int) -> None:
        outcome = ledger.post(
            Adjustment(
                requester="test",
                request_id=secrets.token_hex(8),
                params_hash=b"points",
                member_id=person.id,
                money=self.points,
                amount_yen=amount_yen,
                book="points_granted",
                expires_on=POINTS_UNTIL,
            )
        )
        assert isinstance(outcome, Accepted), outcome


def stall(live: Live) -> Stall:
    tag = secrets.token_hex(4)
    with live.app.app_context(), transaction() as session:
        issuer_id = current_issuer().id
        points = _money(f"points_{tag}", "ポイント", "Points", backing="free", position=9)
        earns = {"points_money_id": points.id, "points_rate_bp": 100, "points_rounding": "down"}
        base = _money(f"base_{tag}", "ベースマネー", "Base money", position=1)
        meal = _money(f"meal_{tag}", "学食マネー", "Meal money", position=2, **earns)
        setup.allow_move(from_money=base, to_money=meal, min_yen=100, max_yen=10_000, step_yen=100)
        shop = setup.open_shop(
            issuer_id=issuer_id,
            code=f"canteen-{tag}",
            name_ja="中央食堂",
            name_en="Central Canteen",
            accepts=[base, meal, points],
        )
        mypage = session.scalars(select(OAuthClient).where(OAuthClient.id == "mypage")).one()
        set_shops(mypage, [*mypage.allowed_shops, shop.id])
        codes = {"base": base.code, "meal": meal.code, "points": points.code}
        shop_id, till = shop.id, f"till_{tag}"
        register_client(client_id=till, name_ja="レジ", name_en="Till", profile="till", scopes=["till", "till:refund"])
        terminals.register(shop_id=shop_id, client_id=till, name="レジ1", default_money=codes["meal"])
    with live.app.app_context():
        token = factories.access_token(member_id=None, client_id=till, scopes=["till", "till:refund"])
    return Stall(live=live, **codes, shop_id=shop_id, till=token)


def _money(code: str, name_ja: str, name_en: str, **rules: Any) -> Money:
    return setup.open_money(issuer_id=current_issuer().id, code=code, name_ja=name_ja, name_en=name_en, **rules)
