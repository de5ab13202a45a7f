"""What may be done with a wallet: which lots may be spent, where value enters, how much fits in."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID, uuid5

from app.money import MAX_AMOUNT_YEN
from app.wallet.books import AccountState, NewTransaction, WalletState
from app.wallet.law.draft import Draft, Entry, Refusal
from app.wallet.postings import SYSTEM, Expiry, Posting
from app.wallet.rules import MoneyRule


def check_amount(amount_yen: int) -> None:
    if not 1 <= amount_yen <= MAX_AMOUNT_YEN:
        raise Refusal("invalid_amount", max_yen=MAX_AMOUNT_YEN)


def money_rule(draft: Draft, money: str) -> MoneyRule:
    rule = draft.books.rules.monies.get(money)
    if rule is None:
        raise Refusal("money_not_accepted", money=money)
    return rule


def wallet_of(draft: Draft, member_id: UUID, money: str) -> WalletState:
    wallet = draft.books.wallets.get((member_id, money))
    if wallet is None:
        raise Refusal("wallet_unknown", money=money)
    return wallet


def active_wallet(draft: Draft, member_id: UUID, money: str) -> WalletState:
    """The member's wallet, which must be neither suspended nor closed."""
    wallet = wallet_of(draft, member_id, money)
    if (status := draft.status(wallet)) != "active":
        raise Refusal(f"wallet_{status}", money=money)
    return wallet


def not_closed(draft: Draft, wallet: WalletState) -> None:
    if draft.status(wallet) == "closed":
        raise Refusal("wallet_closed", money=wallet.money)


def usable(draft: Draft, wallet: WalletState) -> list[tuple[AccountState, int]]:
    """The lots that may be spent, nearest expiry first, each with what is free in it."""
    return [
        (lot, free_yen)
        for lot in wallet.lots
        if not draft.is_over(wallet, lot) and (free_yen := draft.free_yen(lot)) > 0
    ]


def split(lots: Sequence[tuple[AccountState, int]], amount_yen: int) -> list[tuple[AccountState, int]]:
    """Which of the usable lots make up an amount, which must be there."""
    parts = []
    missing_yen = amount_yen
    for lot, free_yen in lots:
        part_yen = min(missing_yen, free_yen)
        parts.append((lot, part_yen))
        missing_yen -= part_yen
        if not missing_yen:
            return parts
    raise Refusal("insufficient_balance", balance_yen=amount_yen - missing_yen, short_by_yen=missing_yen)


def headroom_yen(draft: Draft, wallet: WalletState, rule: MoneyRule) -> int | None:
    """How much more a wallet may hold, beside what is reserved for charges on their way; None: any amount.

    What has expired takes no room: it leaves before other value enters.
    """
    if rule.ceiling_yen is None:
        return None
    total_yen = draft.total_yen(wallet) - sum(free_yen for _, free_yen in draft.expired(wallet))
    return max(0, rule.ceiling_yen - total_yen - wallet.reserved_yen)


def check_ceiling(draft: Draft, wallet: WalletState, rule: MoneyRule, amount_yen: int) -> None:
    left_yen = headroom_yen(draft, wallet, rule)
    if left_yen is not None and amount_yen > left_yen:
        raise Refusal("wallet_ceiling_exceeded", money=rule.code, max_yen=rule.ceiling_yen, left_yen=left_yen)


def fresh_lot(draft: Draft, wallet: WalletState, rule: MoneyRule) -> AccountState:
    """The lot that value of today enters, by the money's rule."""
    lot = wallet.lot_of(rule.lot_date(draft.books.today))
    assert lot is not None, "the lots a posting may want are made before it is judged"
    return lot


def expire(entry: Entry, wallet: WalletState, rule: MoneyRule) -> int:
    """What has expired leaves the wallet. Returns how much."""
    book = entry.draft.books.account(rule.books["expired"], rule.id)
    over = entry.draft.expired(wallet)
    for lot, free_yen in over:
        entry.take(wallet, lot, credit=book, amount_yen=free_yen)
    return sum(free_yen for _, free_yen in over)


def expire_first(entry: Entry, wallet: WalletState, rule: MoneyRule) -> None:
    """Before value enters a wallet, what has expired in it leaves, as a transaction of its own that nobody asked for.

    The date of the undated lot moves when value enters it: what nobody has swept out yet would come back to life.
    """
    if not entry.draft.expired(wallet):
        return
    transaction_id = uuid5(entry.transaction_id, f"expiry {wallet.id}")
    name = f"expiry:{wallet.id}:before:{entry.transaction_id}"
    asked = Expiry(
        requester=SYSTEM,
        request_id=name,
        params_hash=sha256(name.encode()).digest(),
        member_id=wallet.member_id,
        money=wallet.money,
    )
    own = Entry(entry.draft, transaction_id)
    amount_yen = expire(own, wallet, rule)
    entry.before.append(of_wallet(own, asked, wallet, kind="expiry", amount_yen=amount_yen))


def pay_in(
    entry: Entry, wallet: WalletState, rule: MoneyRule, *, debit: AccountState, amount_yen: int, lot: AccountState
) -> None:
    """Value enters a wallet, and with it the date that the money's rule gives the undated lot."""
    expire_first(entry, wallet, rule)
    entry.give(wallet, lot, debit=debit, amount_yen=amount_yen)
    if (until := rule.wallet_date(entry.draft.books.today)) is not None:
        entry.draft.wallet_change(wallet).expires_on = until


def of_wallet(entry: Entry, posting: Posting, wallet: WalletState, *, kind: str, amount_yen: int) -> NewTransaction:
    """The transaction that is about one wallet."""
    return NewTransaction(
        id=entry.transaction_id,
        kind=kind,
        posting=posting,
        member_id=wallet.member_id,
        money=wallet.money,
        money_id=entry.draft.books.rules.monies[wallet.money].id,
        shop_id=None,
        amount_yen=amount_yen,
        balance_yen=entry.balance_yen(wallet),
        transfers=entry.transfers,
        parts=entry.parts(),
        before=entry.before,
    )
