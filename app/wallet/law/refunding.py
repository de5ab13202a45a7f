"""Refunds: a payment, or part of it, goes back to the very lots it came from, and the points it earned are undone."""

from __future__ import annotations

from uuid import UUID

from app.wallet.books import AccountState, NewTransaction, Original, PastTransfer, WalletState
from app.wallet.law.draft import Draft, Entry, Refusal
from app.wallet.law.lots import refund_date
from app.wallet.law.wallets import check_amount, expire_first, not_closed
from app.wallet.postings import Refund


def refund(draft: Draft, transaction_id: UUID, posting: Refund) -> NewTransaction:
    original = draft.books.originals.get(posting.transaction_id)
    if original is None or original.kind not in ("payment", "capture"):
        raise Refusal("not_refundable", transaction_id=str(posting.transaction_id))
    before_yen = original.refunded_yen + draft.refunded.get(posting.transaction_id, 0)
    amount_yen = _amount(posting, original, before_yen)
    back = _back(draft, original, skip_yen=before_yen, amount_yen=amount_yen)
    _check_takings(draft, posting, back)
    entry = Entry(draft, transaction_id)
    for wallet, lot, takings, part_yen in back:
        if draft.is_over(wallet, lot):  # the undated lot: its date is the wallet's
            rule = draft.books.rules.monies[wallet.money]
            expire_first(entry, wallet, rule)
            draft.wallet_change(wallet).expires_on = refund_date(rule, draft.books.today)
        entry.give(wallet, lot, debit=takings, amount_yen=part_yen)
    points_yen, missing_yen = _undo_points(entry, original, before_yen=before_yen, amount_yen=amount_yen)
    draft.refunded[posting.transaction_id] = draft.refunded.get(posting.transaction_id, 0) + amount_yen
    return NewTransaction(
        id=transaction_id,
        kind="refund",
        posting=posting,
        member_id=original.member_id,
        money=original.money,
        money_id=draft.books.rules.monies[original.money].id,
        shop_id=original.shop_id,
        amount_yen=amount_yen,
        balance_yen=entry.balance_yen(draft.books.wallets.get((original.member_id, original.money))),
        reverses=posting.transaction_id,
        transfers=entry.transfers,
        before=entry.before,
        parts=entry.parts(),
        points_yen=-points_yen,
        points_missing_yen=missing_yen,
    )


def _amount(posting: Refund, original: Original, before_yen: int) -> int:
    """What is to be given back: all that is left where the posting names nothing."""
    left_yen = original.amount_yen - before_yen
    if left_yen == 0:
        raise Refusal("already_refunded", transaction_id=str(posting.transaction_id))
    amount_yen = left_yen if posting.amount_yen is None else posting.amount_yen
    check_amount(amount_yen)
    if amount_yen > left_yen:
        raise Refusal("refund_exceeds_payment", max_yen=left_yen, transaction_id=str(posting.transaction_id))
    return amount_yen


def _back(
    draft: Draft, original: Original, *, skip_yen: int, amount_yen: int
) -> list[tuple[WalletState, AccountState, AccountState, int]]:
    """Wallet, lot, takings and yen of each way back: the last taken first, after what went back before."""
    found = []
    for past in reversed(original.transfers):
        if not _is_paid(draft, past):
            continue
        skipped_yen = min(skip_yen, past.amount_yen)
        skip_yen -= skipped_yen
        part_yen = min(amount_yen, past.amount_yen - skipped_yen)
        if part_yen:
            wallet, lot = _lot_back(draft, past)
            takings = draft.books.account(past.credit_id, lot.money_id)
            found.append((wallet, lot, takings, part_yen))
            amount_yen -= part_yen
    assert amount_yen == 0, "a payment's transfers add up to it"
    return found


def _is_paid(draft: Draft, past: PastTransfer) -> bool:
    """Whether this transfer paid the shop; the others granted points."""
    return past.debit_id in draft.books.lots


def _lot_back(draft: Draft, past: PastTransfer) -> tuple[WalletState, AccountState]:
    """The lot it came from; where that has expired meanwhile, the one of the money's days of grace."""
    wallet, lot = draft.books.lots[past.debit_id]
    not_closed(draft, wallet)
    if lot.expires_on is not None and draft.is_over(wallet, lot):
        rule = draft.books.rules.monies[wallet.money]
        fresh = wallet.lot_of(refund_date(rule, draft.books.today))
        assert fresh is not None, "the lots a posting may want are made before it is judged"
        return wallet, fresh
    return wallet, lot


def _check_takings(
    draft: Draft, posting: Refund, back: list[tuple[WalletState, AccountState, AccountState, int]]
) -> None:
    """What was settled with the shop cannot be given back from here, beyond what the issuer lets its takings go below
    zero."""
    wanted: dict[int, tuple[AccountState, int]] = {}
    for _, _, takings, part_yen in back:
        wanted[takings.id] = takings, part_yen + (wanted[takings.id][1] if takings.id in wanted else 0)
    for takings, yen in wanted.values():
        if draft.posted_yen(takings) - yen < takings.floor_yen:
            raise Refusal("not_refundable", transaction_id=str(posting.transaction_id), limit="takings")


def _undo_points(entry: Entry, original: Original, *, before_yen: int, amount_yen: int) -> tuple[int, int]:
    """Take back the points that the refunded part had earned, as far as they are still there. Returns taken, missing.

    After each refund as many are left granted as the part not refunded earned, rounded down; after the last, none.
    """
    draft = entry.draft
    taken_yen = missing_yen = 0
    for past in original.transfers:
        if past.credit_id not in draft.books.lots or _is_paid(draft, past):
            continue
        wallet, lot = draft.books.lots[past.credit_id]
        left_before = past.amount_yen * (original.amount_yen - before_yen) // original.amount_yen
        left_after = past.amount_yen * (original.amount_yen - before_yen - amount_yen) // original.amount_yen
        due_yen = left_before - left_after
        book = draft.books.account(past.debit_id, lot.money_id)
        for one in (lot, *(other for other in wallet.lots if other is not lot)):
            part_yen = min(due_yen, draft.free_yen(one))
            if part_yen > 0:
                entry.take(wallet, one, credit=book, amount_yen=part_yen)
                taken_yen += part_yen
                due_yen -= part_yen
        missing_yen += due_yen
    return taken_yen, missing_yen
