"""The ways in which a member may pay what a shop asks for, each with what would be left: asked of the ledger itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.mypage import overview
from app.mypage.api_client import MemberApi
from app.mypage.errors import Refused, SignInAgain

POINTS_FIRST, MONEY_ONLY = STRATEGIES = ("points_first", "money_only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One money, with points before it or without. `tried` is None where nothing can be tried before a sign-in."""

    money: dict[str, Any]
    strategy: str
    earns: str | None = None
    """The code of the points that paying with this money earns."""
    tried: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None

    @property
    def value(self) -> str:
        return f"{self.money['code']}:{self.strategy}"

    @property
    def spent(self) -> list[dict[str, Any]]:
        """What would leave which wallet (`spent_yen`), before the points that it earns come in."""
        if self.tried is None:
            return []
        spent = [
            {**part, "spent_yen": self._earned_yen(part) - part["signed_amount_yen"]} for part in self.tried["parts"]
        ]
        return [part for part in spent if part["spent_yen"] > 0]

    def _earned_yen(self, part: dict[str, Any]) -> int:
        """A part is what comes of both, where points are spent and earned."""
        return int(self.tried["points_granted_yen"]) if self.tried and part["money"]["code"] == self.earns else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """`possible` in the order in which to suggest them, `impossible` with the reason."""

    possible: list[Way]
    impossible: list[Way]
    sign_in_again: bool
    balances: dict[str, int]


def ways(api: MemberApi, asked: dict[str, Any]) -> Offered:
    """Try each money that the shop accepts and the member has. Raises what reading does."""
    monies, wallets = api.monies(), api.wallets()
    balances = {wallet["money"]["code"]: wallet["available_yen"] for wallet in wallets or ()}
    accepted = _accepted(api.shops(), asked, free=overview.free_monies(monies))
    has = [one for one in accepted if wallets is None or one["money"]["code"] in balances]
    tried: list[Way] = []
    sign_in_again = False
    for one in sorted(has, key=lambda each: _generality(each, monies)):
        try:
            tried += _try(api, one["money"], asked, monies=monies)
        except SignInAgain:
            sign_in_again = True
            tried += [Way(money=one["money"], strategy=strategy) for strategy in STRATEGIES]
    return Offered(
        possible=_distinct([way for way in tried if way.problem is None]),
        impossible=[way for way in tried if way.problem is not None],
        sign_in_again=sign_in_again,
        balances=balances,
    )


def _accepted(shops: Sequence[dict[str, Any]], asked: dict[str, Any], *, free: set[str]) -> list[dict[str, Any]]:
    """What the shop accepts and one may choose: points come before a money, they are not chosen by themselves."""
    accepts: list[dict[str, Any]] = next((shop["accepts"] for shop in shops if shop["id"] == asked["shop"]["id"]), [])
    wanted = asked["money"]
    return [one for one in accepts if one["money"]["code"] not in free and wanted in (None, one["money"]["code"])]


def _generality(one: dict[str, Any], monies: Sequence[dict[str, Any]]) -> int:
    """A pass that falls through to others first, then what others are moved into, then what can be spent anywhere."""
    targets = {rule["money"]["code"] for money in monies for rule in money.get("moves_to", ())}
    return 0 if one["falls_to"] else 1 if one["money"]["code"] in targets else 2


def _try(api: MemberApi, money: dict[str, Any], asked: dict[str, Any], *, monies: list[dict[str, Any]]) -> list[Way]:
    free, found = overview.free_monies(monies), list[Way]()
    points = next((one["points"] for one in monies if one["code"] == money["code"]), None)
    earns = points["money"]["code"] if points else None
    for strategy in STRATEGIES:
        body = {"amount_yen": asked["amount_yen"], "shop": asked["shop"]["code"], "money": money["code"]}
        try:
            way = Way(money=money, strategy=strategy, earns=earns, tried=api.try_payment(**body, strategy=strategy))
        except Refused as error:
            return found or [Way(money=money, strategy=strategy, problem=dict(error.problem))]
        found.append(way)
        if not any(part["money"]["code"] in free for part in way.spent):
            break  # no points in it: without points it is the same
    return found


def _distinct(found: Sequence[Way]) -> list[Way]:
    """Of ways that would spend the very same, the first."""
    seen: dict[tuple[Any, ...], Way] = {}
    for way in found:
        spends = tuple((part["money"]["code"], part["spent_yen"]) for part in way.spent)
        seen.setdefault(spends or (way.value,), way)
    return list(seen.values())
