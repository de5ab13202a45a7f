"""Who pays what: how an amount is made up of a member's monies, and what points it earns.

Free monies go first, then the one asked for, then those it falls through to at that shop. Each pays for the product
groups it may buy; within a money, the lot that expires first goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

from app.wallet.books import AccountState, WalletState
from app.wallet.law.controls import allows_money, check_wallet_limits
from app.wallet.law.draft import Draft, Entry, Refusal
from app.wallet.law.wallets import active_wallet, fresh_lot, headroom_yen, pay_in, split, usable
from app.wallet.postings import Spending
from app.wallet.rules import MoneyRule, ShopRule

_ANYTHING = ""
"""The product group of an amount that does not say what it is for."""


class Fund(NamedTuple):
    """What one wallet could pay: its usable lots with what is free in each, and their sum."""

    rule: MoneyRule
    wallet: WalletState
    lots: list[tuple[AccountState, int]]
    yen: int


@dataclass(slots=True)
class Share:
    """What one money pays: out of which lots, into which takings."""

    rule: MoneyRule
    wallet: WalletState
    takings: AccountState
    amount_yen: int
    lots: list[tuple[AccountState, int]]


def open_shop(draft: Draft, shop_id: UUID) -> ShopRule:
    shop = draft.books.rules.shops.get(shop_id)
    if shop is None:
        raise Refusal("shop_unknown")
    if shop.status != "open":
        raise Refusal("shop_closed")
    return shop


def shares(draft: Draft, spending: Spending) -> list[Share]:
    """How the amount is made up. Refuses what the shop does not accept, what is not there, and what passes a limit."""
    shop = open_shop(draft, spending.shop_id)
    accepts = shop.monies.get(spending.money)
    if accepts is None or not accepts.accepted:
        raise Refusal("money_not_accepted", money=spending.money)
    funds = _funds(draft, spending)
    amounts, missing_yen = _allot(funds, _needs(spending))
    if missing_yen:
        _refuse(spending, funds, missing_yen)
    found = [_share(draft, shop, fund, amounts[fund.rule.code]) for fund in funds if amounts.get(fund.rule.code)]
    for share in found:
        check_wallet_limits(draft, share.wallet, share.rule, share.amount_yen)
    return found


def _funds(draft: Draft, spending: Spending) -> list[Fund]:
    """The wallets that may pay, in their order, with what each can. Only the one asked for has to exist."""
    rules = draft.books.rules
    asked = active_wallet(draft, spending.member_id, spending.money)
    found = []
    for code in rules.candidates(money=spending.money, shop_id=spending.shop_id, money_only=spending.money_only):
        wallet = asked if code == spending.money else draft.books.wallets.get((spending.member_id, code))
        if wallet is None or draft.status(wallet) != "active":
            continue
        if code == spending.money or allows_money(draft, spending.controls, code):
            lots = usable(draft, wallet)
            found.append(Fund(rules.monies[code], wallet, lots, sum(free_yen for _, free_yen in lots)))
    return found


def _needs(spending: Spending) -> dict[str, int]:
    """What is to be paid, by product group."""
    if not spending.items:
        return {_ANYTHING: spending.amount_yen}
    needs: dict[str, int] = {}
    for item in spending.items:
        needs[item.group] = needs.get(item.group, 0) + item.amount_yen
    return needs


def _allot(funds: Sequence[Fund], needs: dict[str, int]) -> tuple[dict[str, int], int]:
    """How much each money pays, and what nobody can.

    In their order each pays as much as it can. Where nothing is left that it may buy, one before it pays for something
    else instead (augmenting paths of a maximum flow: Ford and Fulkerson), so nothing is refused that can be paid.
    """
    if len(needs) == 1:
        return _allot_one(funds, *needs.popitem())
    unpaid, amounts = dict(needs), dict[str, int]()
    paid: dict[tuple[int, str], int] = {}
    for place, (rule, _, _, left_yen) in enumerate(funds):
        while left_yen and (way := _way(funds, unpaid, paid, place)):
            freed = [(later, before) for (_, before), (later, _) in pairwise(way)]
            part_yen = min(left_yen, unpaid[way[-1][1]], *(paid[one] for one in freed))
            for one in way:
                paid[one] = paid.get(one, 0) + part_yen
            for one in freed:
                paid[one] -= part_yen
            unpaid[way[-1][1]] -= part_yen
            left_yen -= part_yen
            amounts[rule.code] = amounts.get(rule.code, 0) + part_yen
    return amounts, sum(unpaid.values())


def _allot_one(funds: Sequence[Fund], group: str, amount_yen: int) -> tuple[dict[str, int], int]:
    """The same where all is of one group: nobody can make room for another."""
    amounts: dict[str, int] = {}
    for rule, _, _, yen in funds:
        if yen and amount_yen and _buys(rule, group):
            amounts[rule.code] = part_yen = min(yen, amount_yen)
            amount_yen -= part_yen
    return amounts, amount_yen


def _way(
    funds: Sequence[Fund],
    unpaid: dict[str, int],
    paid: dict[tuple[int, str], int],
    place: int,
) -> list[tuple[int, str]]:
    """The shortest way to have the money at `place` pay: it for the first group, who paid for that for the next, and
    so on to a group that is not paid. Empty where there is none."""
    ways = [[(place, group)] for group in unpaid if _buys(funds[place].rule, group)]
    seen = {way[0][1] for way in ways}
    for way in ways:  # grows meanwhile
        last = way[-1][1]
        if unpaid[last]:
            return way
        for payer in [other for (other, group), yen in paid.items() if group == last and yen]:
            further = [group for group in unpaid if group not in seen and _buys(funds[payer].rule, group)]
            seen.update(further)
            ways += [[*way, (payer, group)] for group in further]
    return []


def _buys(rule: MoneyRule, group: str) -> bool:
    return rule.groups is None or group in rule.groups


def _refuse(spending: Spending, funds: Sequence[Fund], missing_yen: int) -> None:
    """Nothing can make up the amount: for want of value, or because no money may buy this."""
    needs = _needs(spending)
    unsold = sorted(group for group in needs if not any(_buys(fund.rule, group) for fund in funds))
    if unsold:
        raise Refusal("money_not_accepted", money=spending.money, groups=[group for group in unsold if group])
    raise Refusal("insufficient_balance", balance_yen=spending.amount_yen - missing_yen, short_by_yen=missing_yen)


def _share(draft: Draft, shop: ShopRule, fund: Fund, amount_yen: int) -> Share:
    takings = draft.books.account(shop.monies[fund.rule.code].takings_id, fund.rule.id)
    return Share(fund.rule, fund.wallet, takings, amount_yen, split(fund.lots, amount_yen))


def grant_points(entry: Entry, *, shop: ShopRule, member_id: UUID, paid: Sequence[tuple[MoneyRule, int]]) -> int:
    """Grant the points that paying these amounts earns, as far as the wallet of points has room. Returns how many."""
    draft = entry.draft
    earned: dict[str, int] = {}
    for rule, amount_yen in paid:
        if rule.points_money is not None:
            accepts = shop.monies.get(rule.code)
            override = accepts.points_rate_bp if accepts else None
            points = points_for(amount_yen, rule, rule.points_rate_bp if override is None else override)
            earned[rule.points_money] = earned.get(rule.points_money, 0) + points
    granted_yen = 0
    for money, points_yen in earned.items():
        rule = draft.books.rules.monies[money]
        wallet = draft.books.wallets.get((member_id, money))
        if wallet is None or draft.status(wallet) != "active":
            continue
        room_yen = headroom_yen(draft, wallet, rule)
        points_yen = points_yen if room_yen is None else min(points_yen, room_yen)
        if points_yen > 0:
            book = draft.books.account(rule.books["points_granted"], rule.id)
            pay_in(entry, wallet, rule, debit=book, amount_yen=points_yen, lot=fresh_lot(draft, wallet, rule))
            granted_yen += points_yen
    return granted_yen


def points_for(amount_yen: int, rule: MoneyRule, rate_bp: int) -> int:
    """Points for an amount, by the rate and the rounding of its money."""
    exact = amount_yen * rate_bp
    match rule.points_rounding:
        case "up":
            return -(-exact // 10_000)
        case "nearest":
            return (exact + 5_000) // 10_000
    return exact // 10_000
