"""Which lots postings may want that are not there yet. They are made, empty, before the postings are judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from uuid import UUID

from app.wallet.books import Books, WalletState
from app.wallet.postings import Adjustment, Capture, Charge, Move, Payment, Posting, Refund
from app.wallet.rules import MoneyRule


def refund_date(rule: MoneyRule, today: date) -> date:
    """The last day of what is refunded into a lot that has expired."""
    return today + timedelta(days=rule.refund_grace_days)


def missing_lots(books: Books, postings: Iterable[Posting]) -> set[tuple[UUID, str, date]]:
    """Wallet id, money and date of every lot that is wanted and does not exist."""
    return {
        (wallet.id, wallet.money, until)
        for posting in postings
        for wallet, until in _wanted(books, posting)
        if wallet is not None and until is not None and wallet.lot_of(until) is None
    }


def _wanted(books: Books, posting: Posting) -> Iterator[tuple[WalletState | None, date | None]]:
    match posting:
        case Charge():
            yield _by_rule(books, posting.member_id, posting.money)
        case Move():
            yield _by_rule(books, posting.member_id, posting.to_money)
        case Adjustment():
            by_rule = _by_rule(books, posting.member_id, posting.money)
            yield by_rule if posting.expires_on is None else (by_rule[0], posting.expires_on)
        case Payment():
            yield from _points(books, posting.member_id, posting.shop_id)
        case Capture() if posting.hold_id in books.holds:
            held = books.holds[posting.hold_id]
            yield from _points(books, held.member_id, held.shop_id)
        case Refund() if posting.transaction_id in books.originals:
            for past in books.originals[posting.transaction_id].transfers:
                wallet, lot = books.lots.get(past.debit_id, (None, None))
                if wallet is not None and lot is not None and lot.expires_on and lot.expires_on < books.today:
                    yield wallet, refund_date(books.rules.monies[wallet.money], books.today)


def _by_rule(books: Books, member_id: UUID, money: str) -> tuple[WalletState | None, date | None]:
    rule = books.rules.monies.get(money)
    until = rule.lot_date(books.today) if rule is not None else None
    return books.wallets.get((member_id, money)), until


def _points(books: Books, member_id: UUID, shop_id: UUID) -> Iterator[tuple[WalletState | None, date | None]]:
    shop = books.rules.shops.get(shop_id)
    if shop is not None:
        for money in books.rules.earned_by(list(shop.monies)):
            yield _by_rule(books, member_id, money)
