"""The whole product with a payment company: server, worker, member page and sandbox gateway as processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from app.settings import Settings
from tests import factories, live
from tests.charge.vendor import Vendor, vendor
from tests.live import Live, Person
from tests.wallet.world import read


@dataclass(frozen=True, kw_only=True)
class Charging:
    """The product with its gateway, and a member with two monies."""

    live: Live
    gateway: Vendor
    meal: str
    textbook: str

    def member(self) -> Person:
        person = self.live.register()
        with self.live.app.app_context():
            for money in (self.meal, self.textbook):
                factories.wallet(member_id=person.id, money=money)
        return person

    def balance_yen(self, person: Person, money: str) -> int:
        with self.live.app.app_context():
            sql = "SELECT total_yen FROM wallet JOIN money ON money.id = money_id WHERE member_id = :m AND code = :c"
            return int(read(sql, m=person.id, c=money)[0][0])

    def is_over(self, order_id: UUID) -> bool:
        """Whether an order is paid or over otherwise."""
        with self.live.app.app_context():
            return bool(read("SELECT ended_at IS NOT NULL FROM charge_order WHERE id = :id", id=order_id)[0][0])

    def last(self, person: Person) -> tuple[UUID, str]:
        """The newest order: its id, and the gateway's ref."""
        with self.live.app.app_context():
            sql = "SELECT id, gateway_ref FROM charge_order WHERE payer_id = :m ORDER BY id DESC LIMIT 1"
            [(order_id, ref)] = read(sql, m=person.id)
        return order_id, ref


@contextmanager
def charging_product(settings: Settings, folder: Path) -> Iterator[Charging]:
    """Over a database of its own; the gateway tells the server by itself."""
    with vendor(folder) as gateway, live.live(replace(settings, **gateway.settings), directory=folder) as running:
        gateway.webhooks_to(f"{running.url}/charge/webhooks/sandbox")
        with running.app.app_context():
            meal = factories.money(code="meal", name_ja="学食マネー", name_en="Meal money")
            textbook = factories.money(code="textbook", name_ja="教科書マネー", name_en="Textbook money")
        yield Charging(live=running, gateway=gateway, meal=meal, textbook=textbook)
