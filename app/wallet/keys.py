"""What a batch touches: the keys of everything it may have to lock, each once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from app.wallet.books import HoldState, Original
from app.wallet.postings import (
    Adjustment,
    Capture,
    Charge,
    Close,
    Expiry,
    Move,
    Payment,
    Posting,
    Refund,
    Release,
    Settle,
    Spending,
)
from app.wallet.rules import Rules


@dataclass(slots=True)
class Keys:
    """Keys by kind of row. Wallets are named by member and code of money."""

    controls: set[UUID] = field(default_factory=set)
    wallets: set[tuple[UUID, str]] = field(default_factory=set)
    accounts: set[int] = field(default_factory=set)
    """Takings and books."""
    codes: set[UUID] = field(default_factory=set)
    periods: set[date] = field(default_factory=set)
    judged: bool = False
    """Whether something is judged by what takings or books hold, so that they must be locked before."""


def monies_of(postings: Iterable[Posting]) -> set[str]:
    """The codes of the monies that postings name."""
    found: set[str] = set()
    for posting in postings:
        if isinstance(posting, Spending | Charge | Move | Adjustment | Expiry | Close):
            found.add(posting.money)
        if isinstance(posting, Move):
            found.add(posting.to_money)
        if isinstance(posting, Settle):
            found |= posting.amounts.keys()
    return found


def shops_of(postings: Iterable[Posting], originals: Iterable[Original], holds: Iterable[HoldState]) -> set[UUID]:
    """The shops that postings name, or what they refer to."""
    found = {posting.shop_id for posting in postings if isinstance(posting, Spending | Settle)}
    found |= {original.shop_id for original in originals if original.shop_id is not None}
    return found | {held.shop_id for held in holds}


def keys_of(
    postings: Sequence[Posting],
    *,
    rules: Rules,
    originals: dict[UUID, Original],
    holds: dict[UUID, HoldState],
    lot_monies: dict[int, str],
) -> Keys:
    """Everything that `postings` may touch by these rules. `lot_monies`: the money of each held lot."""
    keys = Keys()
    for posting in postings:
        match posting:
            case Spending():
                _spending(keys, posting, rules)
            case Charge() | Adjustment() | Expiry() | Close():
                keys.wallets.add((posting.member_id, posting.money))
                keys.accounts.update(_books(rules, posting.money))
                if isinstance(posting, Charge) and posting.code_id is not None:
                    keys.codes.add(posting.code_id)
                if isinstance(posting, Close):
                    keys.periods.add(posting.period_begins_on)
            case Move():
                for money in (posting.money, posting.to_money):
                    keys.wallets.add((posting.member_id, money))
                    keys.accounts.update(_books(rules, money, "moved", "expired"))
            case Settle():
                _settle(keys, posting, rules)
            case Refund() if posting.transaction_id in originals:
                _refund(keys, originals[posting.transaction_id], rules)
            case Capture() | Release() if posting.hold_id in holds:
                held = holds[posting.hold_id]
                keys.controls.update(held.controls)
                monies = {lot_monies[account_id] for account_id, _ in held.parts} | {held.money}
                _shop(keys, rules, held.member_id, held.shop_id, monies)
    return keys


def _spending(keys: Keys, posting: Spending, rules: Rules) -> None:
    monies = rules.candidates(money=posting.money, shop_id=posting.shop_id, money_only=posting.money_only)
    keys.controls.update(posting.controls)
    _shop(keys, rules, posting.member_id, posting.shop_id, monies)
    if isinstance(posting, Payment) and posting.code_id is not None:
        keys.codes.add(posting.code_id)


def _shop(keys: Keys, rules: Rules, member_id: UUID, shop_id: UUID, monies: Iterable[str]) -> None:
    """The wallets that pay, the takings they pay into, and the points that earns."""
    shop = rules.shops.get(shop_id)
    for money in monies:
        keys.wallets.add((member_id, money))
        if shop is not None and money in shop.monies:
            keys.accounts.add(shop.monies[money].takings_id)
        rule = rules.monies.get(money)
        if rule is not None and rule.points_money is not None:
            keys.wallets.add((member_id, rule.points_money))
            keys.accounts.update(_books(rules, rule.points_money, "points_granted", "expired"))


def _settle(keys: Keys, posting: Settle, rules: Rules) -> None:
    shop = rules.shops.get(posting.shop_id)
    for money in posting.amounts:
        keys.accounts.update(_books(rules, money, "settled_with_shops"))
        if shop is not None and money in shop.monies:
            keys.accounts.add(shop.monies[money].takings_id)


def _refund(keys: Keys, original: Original, rules: Rules) -> None:
    keys.judged = True
    keys.wallets.add((original.member_id, original.money))  # whose balance is told, whether it paid or not
    for past in original.transfers:
        keys.wallets.add((original.member_id, past.money))
        keys.accounts.update(past.outside)
        keys.accounts.update(_books(rules, past.money, "expired"))


def _books(rules: Rules, money: str, *names: str) -> Iterable[int]:
    rule = rules.monies.get(money)
    if rule is None:
        return ()
    return rule.books.values() if not names else [rule.books[name] for name in names if name in rule.books]
