"""Settlement: what a shop took in a period that is closed leaves its takings."""

from __future__ import annotations

from uuid import UUID

from app.wallet.books import NewTransaction
from app.wallet.law.draft import Draft, Entry, Refusal
from app.wallet.law.wallets import money_rule
from app.wallet.postings import Settle


def settle(draft: Draft, transaction_id: UUID, posting: Settle) -> NewTransaction:
    """Judged by no balance: the period is closed, whatever came after it. A shop that is closed is settled too."""
    shop = draft.books.rules.shops.get(posting.shop_id)
    if shop is None:
        raise Refusal("shop_unknown")
    missing = sorted(money for money in posting.amounts if money not in shop.monies)
    if missing or not posting.amounts:
        raise Refusal("money_not_accepted", money=", ".join(missing))
    if min(posting.amounts.values()) < 1:
        raise Refusal("invalid_amount", max_yen=max(posting.amounts.values()))
    entry = Entry(draft, transaction_id)
    for money, amount_yen in posting.amounts.items():
        rule = money_rule(draft, money)
        takings = draft.books.account(shop.monies[money].takings_id, rule.id)
        book = draft.books.account(rule.books["settled_with_shops"], rule.id)
        entry.settle(takings, book, amount_yen)
    first = next(iter(posting.amounts))
    return NewTransaction(
        id=transaction_id,
        kind="settlement",
        posting=posting,
        member_id=None,
        money=first,
        money_id=draft.books.rules.monies[first].id,
        shop_id=posting.shop_id,
        amount_yen=sum(posting.amounts.values()),
        balance_yen=0,
        transfers=entry.transfers,
    )
