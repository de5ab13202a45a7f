"""Value that enters, moves between or leaves wallets without a shop: charges, moves, grants, expiry, closing."""

from __future__ import annotations

from uuid import UUID

from app.wallet.books import AccountState, NewTransaction, WalletState
from app.wallet.law.draft import Draft, Entry, Refusal
from app.wallet.law.paying import check_code, use_code
from app.wallet.law.wallets import (
    active_wallet,
    check_amount,
    check_ceiling,
    expire,
    fresh_lot,
    money_rule,
    not_closed,
    of_wallet,
    pay_in,
    split,
    usable,
    wallet_of,
)
from app.wallet.postings import Adjustment, Charge, Close, Expiry, Move
from app.wallet.rules import MoneyRule

COUNTS_AGAINST_QUOTA = "small_amount"


def charge(draft: Draft, transaction_id: UUID, posting: Charge) -> NewTransaction:
    check_code(draft, posting.code_id)
    check_amount(posting.amount_yen)
    rule = money_rule(draft, posting.money)
    if posting.book not in rule.books or rule.backing != "paid":
        raise Refusal("money_not_accepted", money=posting.money)
    if posting.agreed_before:
        wallet = wallet_of(draft, posting.member_id, posting.money)
        not_closed(draft, wallet)
    else:
        wallet = active_wallet(draft, posting.member_id, posting.money)
        check_ceiling(draft, wallet, rule, posting.amount_yen)
    use_code(draft, posting.code_id, transaction_id)
    entry = Entry(draft, transaction_id)
    book = draft.books.account(rule.books[posting.book], rule.id)
    pay_in(entry, wallet, rule, debit=book, amount_yen=posting.amount_yen, lot=fresh_lot(draft, wallet, rule))
    if posting.reserved_yen:
        draft.wallet_change(wallet).reserved_yen -= min(posting.reserved_yen, wallet.reserved_yen)
    return of_wallet(entry, posting, wallet, kind="charge", amount_yen=posting.amount_yen)


def move(draft: Draft, transaction_id: UUID, posting: Move) -> NewTransaction:
    check_amount(posting.amount_yen)
    if posting.money == posting.to_money:
        raise Refusal("same_account", money=posting.money)
    rule, target = money_rule(draft, posting.money), money_rule(draft, posting.to_money)
    allowed = draft.books.rules.moves.get((posting.money, posting.to_money))
    if allowed is None:
        raise Refusal("move_not_allowed", money=posting.money, to_money=posting.to_money)
    wallet = active_wallet(draft, posting.member_id, posting.money)
    into = active_wallet(draft, posting.member_id, posting.to_money)
    if not allowed.min_yen <= posting.amount_yen <= allowed.max_yen or posting.amount_yen % allowed.step_yen:
        raise Refusal("invalid_amount", min_yen=allowed.min_yen, max_yen=allowed.max_yen, step_yen=allowed.step_yen)
    check_ceiling(draft, into, target, posting.amount_yen)
    lots = split(usable(draft, wallet), posting.amount_yen)
    entry = Entry(draft, transaction_id)
    for lot, part_yen in lots:
        entry.take(wallet, lot, credit=draft.books.account(rule.books["moved"], rule.id), amount_yen=part_yen)
    out = draft.books.account(target.books["moved"], target.id)
    pay_in(entry, into, target, debit=out, amount_yen=posting.amount_yen, lot=fresh_lot(draft, into, target))
    return of_wallet(entry, posting, wallet, kind="move", amount_yen=posting.amount_yen)


def adjustment(draft: Draft, transaction_id: UUID, posting: Adjustment) -> NewTransaction:
    check_amount(posting.amount_yen)
    rule = money_rule(draft, posting.money)
    if posting.book not in rule.books:
        raise Refusal("money_not_accepted", money=posting.money)
    wallet = wallet_of(draft, posting.member_id, posting.money)
    not_closed(draft, wallet)
    book = draft.books.account(rule.books[posting.book], rule.id)
    if posting.takes_back:
        lots = split(usable(draft, wallet), posting.amount_yen)
        entry = Entry(draft, transaction_id)
        for lot, part_yen in lots:
            entry.take(wallet, lot, credit=book, amount_yen=part_yen)
    else:
        check_ceiling(draft, wallet, rule, posting.amount_yen)
        lot = _granted_lot(draft, wallet, rule, posting)
        entry = Entry(draft, transaction_id)
        pay_in(entry, wallet, rule, debit=book, amount_yen=posting.amount_yen, lot=lot)
    return of_wallet(entry, posting, wallet, kind="adjustment", amount_yen=posting.amount_yen)


def _granted_lot(draft: Draft, wallet: WalletState, rule: MoneyRule, posting: Adjustment) -> AccountState:
    """Of the day that the posting names, or of the money's own rule."""
    if posting.expires_on is None:
        return fresh_lot(draft, wallet, rule)
    if posting.expires_on < draft.books.today:
        raise Refusal("already_expired", expires_on=posting.expires_on.isoformat())
    lot = wallet.lot_of(posting.expires_on)
    assert lot is not None, "the lots a posting may want are made before it is judged"
    return lot


def expiry(draft: Draft, transaction_id: UUID, posting: Expiry) -> NewTransaction:
    rule = money_rule(draft, posting.money)
    wallet = wallet_of(draft, posting.member_id, posting.money)
    if not draft.expired(wallet):
        raise Refusal("nothing_expired", money=posting.money)
    entry = Entry(draft, transaction_id)
    amount_yen = expire(entry, wallet, rule)
    return of_wallet(entry, posting, wallet, kind="expiry", amount_yen=amount_yen)


def close(draft: Draft, transaction_id: UUID, posting: Close) -> NewTransaction:
    rule = money_rule(draft, posting.money)
    wallet = wallet_of(draft, posting.member_id, posting.money)
    not_closed(draft, wallet)
    if (held_yen := draft.pending_yen(wallet)) > 0:
        raise Refusal("wallet_has_holds", money=posting.money, held_yen=held_yen)
    if wallet.reserved_yen:
        raise Refusal("wallet_awaits_charges", money=posting.money, reserved_yen=wallet.reserved_yen)
    lots = [
        (lot, left_yen, _book_of_closing(draft.is_over(wallet, lot), rule.backing))
        for lot in wallet.lots
        if (left_yen := draft.free_yen(lot)) > 0
    ]
    paid_out_yen = sum(left_yen for _, left_yen, book in lots if book == "refunded_in_cash")
    if paid_out_yen and posting.reason == COUNTS_AGAINST_QUOTA:
        _check_quota(draft, posting, paid_out_yen)
    entry = Entry(draft, transaction_id)
    for lot, left_yen, book in lots:
        entry.take(wallet, lot, credit=draft.books.account(rule.books[book], rule.id), amount_yen=left_yen)
    draft.wallet_change(wallet).closes = True
    amount_yen = -entry.changed.get(wallet, 0)
    return of_wallet(entry, posting, wallet, kind="close", amount_yen=amount_yen)


def _book_of_closing(is_over: bool, backing: str) -> str:
    """Where what is left goes: what expired is expired; paid value is paid out in cash; free value is forfeited."""
    if is_over:
        return "expired"
    return "refunded_in_cash" if backing == "paid" else "forfeited"


def _check_quota(draft: Draft, posting: Close, paid_out_yen: int) -> None:
    """What may be paid out for small amounts in a period (前払式支払手段に関する内閣府令42条1号、2号)."""
    before_yen = draft.paid_out.get(posting.period_begins_on, 0)
    left_yen = draft.books.quotas.get(posting.period_begins_on, 0) - before_yen
    if paid_out_yen > left_yen:
        raise Refusal("payout_quota_exceeded", left_yen=max(0, left_yen))
    draft.paid_out[posting.period_begins_on] = before_yen + paid_out_yen
