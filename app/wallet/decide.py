"""The whole law of the ledger: `decide(books, batch) -> Decision`. Pure: no clock, no database, no chance.

Postings are judged in order of arrival, each against what the earlier ones of its batch left; a refused one
changes nothing and the next goes on. The database holds the same rules a second time (CHECK, UNIQUE, triggers).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from app.money import MAX_AMOUNT_YEN
from app.wallet.books import (
    AccountChange,
    AccountState,
    Books,
    Control,
    Decision,
    NewTransaction,
    NewTransfer,
    Original,
    Ruling,
    SameAs,
    WalletState,
)
from app.wallet.postings import SETTLED_WITH_SHOPS, Charge, Declined, Payment, Posting, Refund, Refused, Settle

_STATUS_REFUSAL = {
    ("card", "lost"): "card_lost",
    ("card", "revoked"): "card_lost",
    ("terminal", "revoked"): "terminal_revoked",
    ("terminal", "lost"): "terminal_revoked",
    ("grant", "revoked"): "mandate_exceeded",
    ("grant", "lost"): "mandate_exceeded",
}

_OVER_CARD = {"payment": "payment_limit_exceeded", "day": "daily_limit_exceeded", "month": "monthly_limit_exceeded"}
_OVER = {
    "card": {**_OVER_CARD, "until": "card_expired"},
    "terminal": {**_OVER_CARD, "until": "terminal_revoked"},
    "grant": dict.fromkeys(("payment", "day", "month", "until"), "mandate_exceeded"),
}
"""What is said where a limit of a control is exceeded: a card and a terminal have a code for each, a grant has one."""


class _Refusal(Exception):
    """Ends the judging of one posting."""

    def __init__(self, code: str, **detail: Any) -> None:
        self.refused = Refused(code=code, detail=detail)


class _Draft:
    """The books as the batch leaves them so far. A posting's transfers are applied only once all are allowed."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.accounts: dict[int, AccountChange] = {}
        self.wallets: dict[UUID, int] = {}
        self.refunded: set[UUID] = set()
        self.spent: dict[UUID, int] = {}

    def posted_yen(self, account: AccountState) -> int:
        assert account.posted_yen is not None, "nothing is judged by a balance that was not read under its lock"
        change = self.accounts.get(account.id)
        return account.posted_yen + change.change_yen if change else account.posted_yen

    def total_yen(self, wallet: WalletState) -> int:
        return self.wallets.get(wallet.id, wallet.total_yen)

    def spent_yen(self, control: Control) -> tuple[int, int]:
        """What was paid under a control today and this month."""
        day_yen, month_yen = control.spent_yen(self.books.today)
        added_yen = self.spent.get(control.id, 0)
        return day_yen + added_yen, month_yen + added_yen

    def spend(self, control_ids: Iterable[UUID], amount_yen: int) -> None:
        for control_id in control_ids:
            if self.books.controls[control_id].counts:
                self.spent[control_id] = self.spent.get(control_id, 0) + amount_yen

    def move(self, *, debit: AccountState, credit: AccountState, amount_yen: int) -> NewTransfer:
        assert debit.money_id == credit.money_id, "value never changes its money inside a transfer"
        return NewTransfer(
            debit_account_id=debit.id,
            credit_account_id=credit.id,
            money_id=debit.money_id,
            amount_yen=amount_yen,
            debit_after_yen=self._change(debit, -amount_yen),
            credit_after_yen=self._change(credit, amount_yen),
        )

    def change_total(self, wallet: WalletState, change_yen: int) -> int:
        self.wallets[wallet.id] = after = self.total_yen(wallet) + change_yen
        return after

    def _change(self, account: AccountState, change_yen: int) -> int:
        before = self.accounts.get(account.id)
        after = AccountChange(
            account=account,
            change_yen=change_yen + (before.change_yen if before else 0),
            transfers=1 + (before.transfers if before else 0),
        )
        self.accounts[account.id] = after
        return after.change_yen + (account.posted_yen or 0)


def decide(books: Books, batch: Sequence[tuple[UUID, Posting]]) -> Decision:
    """Judge each posting of `batch`, given with the id its transaction would get.

    Returns one ruling per posting, in the batch's order: a transaction to write, a refusal, or the answer that
    an earlier request of the same name already got.
    """
    draft = _Draft(books)
    rulings: list[Ruling] = []
    first: dict[tuple[str, str], int] = {}
    for index, (transaction_id, posting) in enumerate(batch):
        key = (posting.requester, posting.request_id)
        repeated = _repeated(books, batch, first.get(key), posting)
        if repeated is not None:
            rulings.append(repeated)
            continue
        first[key] = index
        try:
            rulings.append(_judge(draft, index, transaction_id, posting))
        except _Refusal as refusal:
            rulings.append(refusal.refused)
    return Decision(
        rulings=tuple(rulings), accounts=tuple(draft.accounts.values()), wallets=draft.wallets, spent=draft.spent
    )


def _repeated(
    books: Books, batch: Sequence[tuple[UUID, Posting]], earlier: int | None, posting: Posting
) -> Ruling | None:
    """The answer for a request whose name was seen before, in the books or earlier in this batch."""
    past = books.requests.get((posting.requester, posting.request_id))
    if past is not None:
        known_hash = past.params_hash
    elif earlier is not None:
        known_hash = batch[earlier][1].params_hash
    else:
        return None
    if known_hash != posting.params_hash:
        return Refused(code="request_id_conflict", detail={"idempotency_key": posting.request_id})
    if past is not None:
        return past.outcome
    assert earlier is not None
    return SameAs(index=earlier)


def _judge(draft: _Draft, index: int, transaction_id: UUID, posting: Posting) -> NewTransaction:
    match posting:
        case Payment():
            return _payment(draft, index, transaction_id, posting)
        case Refund():
            return _refund(draft, index, transaction_id, posting)
        case Charge():
            return _charge(draft, index, transaction_id, posting)
        case Settle():
            return _settle(draft, index, transaction_id, posting)
        case Declined():
            raise _Refusal(posting.refused.code, **posting.refused.detail)
    raise AssertionError(f"no law for {type(posting).__name__}")


def _payment(draft: _Draft, index: int, transaction_id: UUID, payment: Payment) -> NewTransaction:
    _check_amount(payment.amount_yen)
    _check_controls(draft, payment)
    takings = _takings(draft.books, payment.shop_id, payment.money)
    wallet = _spendable_wallet(draft.books, payment.member_id, payment.money)
    balance_yen = draft.total_yen(wallet)
    if balance_yen < payment.amount_yen:
        raise _Refusal("insufficient_balance", balance_yen=balance_yen, short_by_yen=payment.amount_yen - balance_yen)
    transfers = []
    missing_yen = payment.amount_yen
    for lot in wallet.lots:
        part_yen = min(missing_yen, draft.posted_yen(lot))
        if part_yen > 0:
            transfers.append(draft.move(debit=lot, credit=takings, amount_yen=part_yen))
            missing_yen -= part_yen
    assert missing_yen == 0, "a wallet's total is the sum of its lots"
    draft.spend(payment.controls, payment.amount_yen)
    return NewTransaction(
        index=index,
        id=transaction_id,
        kind="payment",
        posting=payment,
        member_id=payment.member_id,
        money=payment.money,
        money_id=takings.money_id,
        shop_id=payment.shop_id,
        amount_yen=payment.amount_yen,
        balance_yen=draft.change_total(wallet, -payment.amount_yen),
        reverses=None,
        transfers=tuple(transfers),
    )


def _refund(draft: _Draft, index: int, transaction_id: UUID, refund: Refund) -> NewTransaction:
    original = draft.books.originals.get(refund.transaction_id)
    if original is None or original.kind != "payment":
        raise _Refusal("not_refundable", transaction_id=str(refund.transaction_id))
    if original.refunded_yen or refund.transaction_id in draft.refunded:
        raise _Refusal("already_refunded", transaction_id=str(refund.transaction_id))
    wallet = draft.books.wallets[original.member_id, original.money]
    if wallet.status == "closed":
        raise _Refusal("wallet_closed", money=original.money)
    _check_takings_cover(draft, original, refund)
    transfers = tuple(
        draft.move(debit=past.credit, credit=past.debit, amount_yen=past.amount_yen)
        for past in reversed(original.transfers)
    )
    draft.refunded.add(refund.transaction_id)
    return NewTransaction(
        index=index,
        id=transaction_id,
        kind="refund",
        posting=refund,
        member_id=original.member_id,
        money=original.money,
        money_id=transfers[0].money_id,
        shop_id=original.shop_id,
        amount_yen=original.amount_yen,
        balance_yen=draft.change_total(wallet, original.amount_yen),
        reverses=refund.transaction_id,
        transfers=transfers,
    )


def _charge(draft: _Draft, index: int, transaction_id: UUID, charge: Charge) -> NewTransaction:
    _check_amount(charge.amount_yen)
    book = draft.books.books.get((charge.book, charge.money))
    if book is None:
        raise _Refusal("money_not_accepted", money=charge.money)
    wallet = _spendable_wallet(draft.books, charge.member_id, charge.money)
    undated = wallet.lots[-1]
    transfer = draft.move(debit=book, credit=undated, amount_yen=charge.amount_yen)
    return NewTransaction(
        index=index,
        id=transaction_id,
        kind="charge",
        posting=charge,
        member_id=charge.member_id,
        money=charge.money,
        money_id=book.money_id,
        shop_id=None,
        amount_yen=charge.amount_yen,
        balance_yen=draft.change_total(wallet, charge.amount_yen),
        reverses=None,
        transfers=(transfer,),
    )


def _settle(draft: _Draft, index: int, transaction_id: UUID, settle: Settle) -> NewTransaction:
    """Never refused for a balance: the period is closed, whatever came after it."""
    transfers = []
    for money, amount_yen in settle.amounts.items():
        takings = draft.books.takings.get((settle.shop_id, money))
        settled = draft.books.books.get((SETTLED_WITH_SHOPS, money))
        if takings is None or settled is None:
            raise _Refusal("money_not_accepted", money=money)
        transfers.append(draft.move(debit=takings, credit=settled, amount_yen=amount_yen))
    return NewTransaction(
        index=index,
        id=transaction_id,
        kind="settlement",
        posting=settle,
        member_id=None,
        money=next(iter(settle.amounts)),
        money_id=transfers[0].money_id,
        shop_id=settle.shop_id,
        amount_yen=sum(settle.amounts.values()),
        balance_yen=0,
        reverses=None,
        transfers=tuple(transfers),
    )


def _check_amount(amount_yen: int) -> None:
    if not 1 <= amount_yen <= MAX_AMOUNT_YEN:
        raise _Refusal("invalid_amount", max_yen=MAX_AMOUNT_YEN)


def _check_controls(draft: _Draft, payment: Payment) -> None:
    """Every named control must exist, be active, and allow this money, this shop, this day and this amount."""
    for control_id in payment.controls:
        control = draft.books.controls.get(control_id)
        if control is None:
            raise _Refusal("mandate_exceeded", limit="unknown")
        if control.status != "active":
            raise _Refusal(_STATUS_REFUSAL[control.kind, control.status])
        if control.valid_until is not None and draft.books.today > control.valid_until:
            raise _Refusal(_OVER[control.kind]["until"], limit="until", until=control.valid_until.isoformat())
        over = _OVER[control.kind]["payment"]
        if control.shops is not None and payment.shop_id not in control.shops:
            raise _Refusal(over, limit="shops")
        if control.monies is not None and payment.money not in control.monies:
            raise _Refusal(over, limit="monies")
        if control.max_per_payment_yen is not None and payment.amount_yen > control.max_per_payment_yen:
            raise _Refusal(over, limit="max_per_payment_yen", max_yen=control.max_per_payment_yen)
        _check_sums(draft, control, payment.amount_yen)


def _check_sums(draft: _Draft, control: Control, amount_yen: int) -> None:
    """The ceilings for a day and a month. A refund gives nothing back of them."""
    day_yen, month_yen = draft.spent_yen(control)
    for period, max_yen, spent_yen in (
        ("day", control.max_per_day_yen, day_yen),
        ("month", control.max_per_month_yen, month_yen),
    ):
        if max_yen is not None and spent_yen + amount_yen > max_yen:
            raise _Refusal(
                _OVER[control.kind][period],
                limit=f"max_per_{period}_yen",
                max_yen=max_yen,
                left_yen=max(0, max_yen - spent_yen),
            )


def _takings(books: Books, shop_id: UUID, money: str) -> AccountState:
    if shop_id not in books.shops:
        raise _Refusal("shop_unknown")
    if books.shops[shop_id] != "open":
        raise _Refusal("shop_closed")
    takings = books.takings.get((shop_id, money))
    if takings is None:
        raise _Refusal("money_not_accepted", money=money)
    return takings


def _spendable_wallet(books: Books, member_id: UUID, money: str) -> WalletState:
    wallet = books.wallets.get((member_id, money))
    if wallet is None:
        raise _Refusal("wallet_unknown", money=money)
    if wallet.status != "active":
        raise _Refusal(f"wallet_{wallet.status}", money=money)
    return wallet


def _check_takings_cover(draft: _Draft, original: Original, refund: Refund) -> None:
    """A shop's takings never go below zero: what was settled with the shop cannot be refunded from here."""
    if draft.posted_yen(original.transfers[0].credit) < original.amount_yen:
        raise _Refusal("not_refundable", transaction_id=str(refund.transaction_id))
