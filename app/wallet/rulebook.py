"""The rules as a poster keeps them: read when they are first needed, forgotten when their version changes.

A batch names what it needs, is judged by what was read, and looks at the version under its locks; where that has
moved on, it begins again with the new rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import psycopg

from app.wallet import statements as sql
from app.wallet.rules import Accepts, MoneyRule, MoveRule, Rules, ShopRule

Connection = psycopg.Connection[tuple[Any, ...]]


class RulesChanged(Exception):
    """The rules are not those a batch began with."""


class Rulebook:
    """One connection's copy of the rules."""

    def __init__(self, connection: Connection, issuer_id: UUID) -> None:
        self._connection = connection
        self._issuer_id = issuer_id
        self._codes: dict[int, str] = {}
        self.version = -1
        self.rules = Rules()

    def code_of(self, money_id: int) -> str:
        """The code of the money of a row that refers to it. Codes never change."""
        if money_id not in self._codes:
            self._codes.update(self._connection.execute(sql.MONEY_CODES, {"ids": [money_id]}).fetchall())
        return self._codes[money_id]

    def id_of(self, code: str) -> int:
        """The id of a money; 0, by which no row is found, of one that does not exist."""
        rule = self.rules.monies.get(code)
        return rule.id if rule else 0

    def need(self, *, monies: Iterable[str], shops: Iterable[UUID]) -> None:
        """Have the rules of these, and of what they lead to. What does not exist is looked for at every need."""
        if self.version < 0:
            self._begin()
        codes = {code for code in monies if code not in self.rules.monies}
        unknown = [shop_id for shop_id in shops if shop_id not in self.rules.shops]
        if unknown:
            codes |= self._read_shops(unknown)
        if codes:
            self._read_monies({"codes": list(codes), "ids": []})

    def check(self, version: int) -> None:
        """Raises RulesChanged, with nothing remembered, where the database's version is another."""
        if version != self.version:
            self.version = -1
            self.rules = Rules()
            raise RulesChanged

    def _begin(self) -> None:
        """The version first: what changes while the rest is read is then seen to be newer."""
        [[self.version]] = self._connection.execute(sql.RULES_VERSION).fetchall()
        for from_id, to_id, *amounts in self._connection.execute(sql.MOVES).fetchall():
            min_yen, max_yen, step_yen = amounts
            pair = self.code_of(from_id), self.code_of(to_id)
            self.rules.moves[pair] = MoveRule(min_yen=min_yen, max_yen=max_yen, step_yen=step_yen)

    def _read_monies(self, wanted: dict[str, list[Any]]) -> None:
        """Monies by code or by id, and the points they earn."""
        rows = self._connection.execute(sql.MONIES, {"issuer": self._issuer_id, **wanted}).fetchall()
        self._codes.update((row[0], row[1]) for row in rows)
        books: dict[int, dict[str, int]] = {}
        for money_id, book, account_id in self._connection.execute(sql.BOOKS, {"monies": [row[0] for row in rows]}):
            books.setdefault(money_id, {})[book] = account_id
        for row in rows:
            self.rules.monies[row[1]] = self._money(row, books.get(row[0], {}))
        earned = {rule.points_money for rule in self.rules.monies.values() if rule.points_money}
        if more := [code for code in earned if code not in self.rules.monies]:
            self._read_monies({"codes": more, "ids": []})

    def _money(self, row: tuple[Any, ...], books: dict[str, int]) -> MoneyRule:
        money_id, code, backing, position, groups, expiry, month_day, min_days, months, grace_days, *rest = row
        ceiling_yen, payment_yen, day_yen, month_yen, points_money_id, points_rate_bp, rounding = rest
        return MoneyRule(
            id=money_id,
            code=code,
            backing=backing,
            position=position,
            groups=None if groups is None else frozenset(groups),
            expiry=expiry,
            expires_month_day=month_day,
            expiry_min_days=min_days,
            expiry_months=months,
            refund_grace_days=grace_days,
            ceiling_yen=ceiling_yen,
            max_per_payment_yen=payment_yen,
            max_per_day_yen=day_yen,
            max_per_month_yen=month_yen,
            points_money=None if points_money_id is None else self.code_of(points_money_id),
            points_rate_bp=points_rate_bp,
            points_rounding=rounding,
            books=books,
        )

    def _read_shops(self, shop_ids: list[UUID]) -> set[str]:
        """Shops with the monies they accept. Returns the codes of monies that are not known yet."""
        found: dict[UUID, ShopRule] = {}
        for shop_id, status, money_id, *accepts in self._connection.execute(sql.SHOPS, {"shops": shop_ids}).fetchall():
            shop = found.setdefault(shop_id, ShopRule(id=shop_id, status=status, monies={}))
            if money_id is not None:
                takings_id, accepted, falls_to, points_rate_bp = accepts
                money = self.code_of(money_id)
                shop.monies[money] = Accepts(
                    money=money,
                    takings_id=takings_id,
                    accepted=accepted,
                    falls_to=tuple(falls_to),
                    points_rate_bp=points_rate_bp,
                )
        self.rules.shops.update(found)
        named = {
            code
            for shop in found.values()
            for code, accepts in shop.monies.items()
            for code in (code, *accepts.falls_to)
        }
        return {code for code in named if code not in self.rules.monies}
