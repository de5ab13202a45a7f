"""The issuer's monies and shops by name: what a request may call them, what an answer shows.

Kept in the process for a short while (a copy, never the truth: the ledger itself reads the rows it needs). An
unknown name looks once more.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app.db import autocommit, extension
from app.wallet.models import Money, Shop

MAX_AGE_S = 30.0


@dataclass(frozen=True, slots=True)
class MoneyEntry:
    id: int
    code: str
    name_ja: str
    name_en: str
    position: int
    backing: str

    def view(self, locale: str) -> dict[str, str]:
        return {"code": self.code, "name": self.name_en if locale == "en" else self.name_ja}


@dataclass(frozen=True, slots=True)
class ShopEntry:
    id: UUID
    code: str
    name_ja: str
    name_en: str

    def view(self, locale: str) -> dict[str, str]:
        return {"id": str(self.id), "code": self.code, "name": self.name_en if locale == "en" else self.name_ja}


class Directory:
    """Monies and shops, by code and by id."""

    def __init__(self, monies: Iterable[MoneyEntry], shops: Iterable[ShopEntry]) -> None:
        self.read_at = time.monotonic()
        self.monies = {money.code: money for money in monies}
        self.monies_by_id = {money.id: money for money in self.monies.values()}
        self.shops = {shop.code: shop for shop in shops}
        self.shops_by_id = {shop.id: shop for shop in self.shops.values()}


def money(code: str) -> MoneyEntry | None:
    """The money of this code, or None."""
    return _current().monies.get(code) or _current(fresh=True).monies.get(code)


def money_by_id(money_id: int) -> MoneyEntry:
    """The money of a row that refers to it."""
    return _current().monies_by_id.get(money_id) or _current(fresh=True).monies_by_id[money_id]


def monies() -> list[MoneyEntry]:
    """The issuer's monies, in their order on pages."""
    return list(_current().monies.values())


def shop(code: str) -> ShopEntry | None:
    """The shop of this code, or None."""
    return _current().shops.get(code) or _current(fresh=True).shops.get(code)


def shop_by_id(shop_id: UUID) -> ShopEntry:
    """The shop of a row that refers to it."""
    return _current().shops_by_id.get(shop_id) or _current(fresh=True).shops_by_id[shop_id]


def naming(*, monies: Iterable[str], shops: Iterable[str]) -> Directory:
    """All monies and shops; where one of these codes is not among them, read once more."""
    known = _current()
    if known.monies.keys() >= set(monies) and known.shops.keys() >= set(shops):
        return known
    return _current(fresh=True)


def _current(*, fresh: bool = False) -> Directory:
    slots: dict[str, Directory] = extension("kumiai.directory", dict)
    known = slots.get("current")
    if known is None or fresh:
        known = slots["current"] = _read()
    elif time.monotonic() - known.read_at > MAX_AGE_S:
        # Names in an answer about value that has moved: an older copy of them is better than none.
        with suppress(OperationalError):
            known = slots["current"] = _read()
    return known


def _read() -> Directory:
    with autocommit().connect() as connection:
        monies = connection.execute(
            select(Money.id, Money.code, Money.name_ja, Money.name_en, Money.position, Money.backing).order_by(
                Money.position
            )
        )
        shops = connection.execute(select(Shop.id, Shop.code, Shop.name_ja, Shop.name_en))
        return Directory([MoneyEntry(*row) for row in monies], [ShopEntry(*row) for row in shops])
