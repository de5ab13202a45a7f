"""The books as a batch leaves them so far, and one posting's transfers on the way into them.

Every posting is judged first; only when all is allowed are its transfers applied. So a refused one changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from datetime import date
from typing import Any
from uuid import UUID

from app.wallet.books import (
    AccountChange,
    AccountState,
    Books,
    Control,
    ControlChange,
    HoldState,
    NewTransaction,
    NewTransfer,
    WalletChange,
    WalletState,
    spent_yen,
)
from app.wallet.postings import Part, Refused


class Refusal(Exception):
    """Ends the judging of one posting."""

    def __init__(self, code: str, **detail: Any) -> None:
        self.refused = Refused(code=code, detail=detail)


class Draft:
    """What the postings judged so far change."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.accounts: dict[int, AccountChange] = {}
        self.wallets: dict[WalletState, WalletChange] = {}
        self.controls: dict[UUID, ControlChange] = {}
        self.refunded: dict[UUID, int] = {}
        self.ended_holds: dict[UUID, str] = {}
        self.codes: dict[UUID, UUID] = {}
        self.paid_out: dict[date, int] = {}
        self.entries = 0

    def fork(self) -> Draft:
        """A draft to try something out in, which leaves this one as it is."""
        other = Draft(self.books)
        other.accounts = {key: copy(change) for key, change in self.accounts.items()}
        other.wallets = {key: copy(change) for key, change in self.wallets.items()}
        other.controls = {key: copy(change) for key, change in self.controls.items()}
        other.refunded, other.ended_holds = dict(self.refunded), dict(self.ended_holds)
        other.codes, other.paid_out = dict(self.codes), dict(self.paid_out)
        return other

    # --- what there is ---

    def posted_yen(self, account: AccountState) -> int:
        assert account.posted_yen is not None, "nothing is judged by a balance that was not read under its lock"
        change = self.accounts.get(account.id)
        return account.posted_yen + change.change_yen if change else account.posted_yen

    def free_yen(self, lot: AccountState) -> int:
        """What of a lot is there and not held."""
        change = self.accounts.get(lot.id)
        held_yen = lot.pending_yen + change.pending_yen if change else lot.pending_yen
        return self.posted_yen(lot) - held_yen

    def total_yen(self, wallet: WalletState) -> int:
        change = self.wallets.get(wallet)
        return wallet.total_yen + change.change_yen if change else wallet.total_yen

    def pending_yen(self, wallet: WalletState) -> int:
        change = self.wallets.get(wallet)
        return wallet.pending_yen + change.pending_yen if change else wallet.pending_yen

    def is_over(self, wallet: WalletState, lot: AccountState) -> bool:
        """Whether a lot's value has expired. The undated lot has its day from its wallet."""
        last_day = lot.expires_on
        if last_day is None:
            change = self.wallets.get(wallet)
            last_day = change.expires_on if change is not None and change.expires_on else wallet.expires_on
        return last_day is not None and last_day < self.books.today

    def expired(self, wallet: WalletState) -> list[tuple[AccountState, int]]:
        """The lots whose value has expired and is still there, with what is free of each: what is held stays."""
        return [
            (lot, free_yen) for lot in wallet.lots if self.is_over(wallet, lot) and (free_yen := self.free_yen(lot)) > 0
        ]

    def status(self, wallet: WalletState) -> str:
        change = self.wallets.get(wallet)
        return "closed" if change is not None and change.closes else wallet.status

    def wallet_spent_yen(self, wallet: WalletState) -> tuple[int, int]:
        """What was paid out of a wallet today and this month."""
        day_yen, month_yen = spent_yen(
            wallet.spent_on, wallet.spent_day_yen, wallet.spent_month_yen, today=self.books.today
        )
        change = self.wallets.get(wallet)
        return (day_yen + change.day_yen, month_yen + change.month_yen) if change else (day_yen, month_yen)

    def spent_yen(self, control: Control) -> tuple[int, int]:
        """What was paid under a control today and this month."""
        day_yen, month_yen = spent_yen(
            control.spent_on, control.spent_day_yen, control.spent_month_yen, today=self.books.today
        )
        change = self.controls.get(control.id)
        return (day_yen + change.day_yen, month_yen + change.month_yen) if change else (day_yen, month_yen)

    # --- what changes ---

    def account_change(self, account: AccountState) -> AccountChange:
        change = self.accounts.get(account.id)
        if change is None:
            change = self.accounts[account.id] = AccountChange(account)
        return change

    def wallet_change(self, wallet: WalletState) -> WalletChange:
        change = self.wallets.get(wallet)
        if change is None:
            change = self.wallets[wallet] = WalletChange(wallet)
        return change

    def spend(self, control_ids: Iterable[UUID], amount_yen: int) -> None:
        """Add to the sums of controls."""
        for control_id in control_ids:
            if self.books.controls[control_id].counts:
                change = self.controls.setdefault(control_id, ControlChange())
                change.day_yen += amount_yen
                change.month_yen += amount_yen

    def give_back(self, hold: HoldState, wallet_yen: dict[WalletState, int], amount_yen: int) -> None:
        """Take from the sums what a hold set aside and nobody took: of the day and the month it was counted in."""
        today = self.books.today
        if (hold.held_on.year, hold.held_on.month) != (today.year, today.month):
            return
        same_day = hold.held_on == today
        for control_id in hold.controls:
            control = self.books.controls.get(control_id)
            if control is not None and control.counts and amount_yen:
                change = self.controls.setdefault(control_id, ControlChange())
                change.day_yen -= amount_yen if same_day else 0
                change.month_yen -= amount_yen
                change.given_back_yen += amount_yen
        for wallet, yen in wallet_yen.items():
            self.wallets[wallet].day_yen -= yen if same_day else 0
            self.wallets[wallet].month_yen -= yen


class Entry:
    """One posting's transfers, applied to a draft as they are made. `transaction_id`: of the transaction they make.

    It begins when all has been judged: what it does to the draft stays, so nothing is refused after it. `decide` looks.
    """

    def __init__(self, draft: Draft, transaction_id: UUID) -> None:
        draft.entries += 1
        self.draft = draft
        self.transaction_id = transaction_id
        self.before: list[NewTransaction] = []
        self.transfers: list[NewTransfer] = []
        self.changed: dict[WalletState, int] = {}

    def take(self, wallet: WalletState, lot: AccountState, *, credit: AccountState, amount_yen: int) -> None:
        """Value leaves a lot."""
        self._move(lot, credit, amount_yen)
        self._change(wallet, -amount_yen)

    def give(self, wallet: WalletState, lot: AccountState, *, debit: AccountState, amount_yen: int) -> None:
        """Value enters a lot."""
        self._move(debit, lot, amount_yen)
        self._change(wallet, amount_yen)

    def hold(self, wallet: WalletState, lot: AccountState, amount_yen: int) -> None:
        """Value of a lot is set aside (or, less than zero, not any more)."""
        self.draft.account_change(lot).pending_yen += amount_yen
        self.draft.wallet_change(wallet).pending_yen += amount_yen

    def parts(self) -> tuple[Part, ...]:
        """What it did to each wallet."""
        return tuple([Part(wallet.money, yen, self.draft.total_yen(wallet)) for wallet, yen in self.changed.items()])

    def balance_yen(self, wallet: WalletState | None) -> int:
        return self.draft.total_yen(wallet) if wallet is not None else 0

    def settle(self, takings: AccountState, book: AccountState, amount_yen: int) -> None:
        """Value leaves a shop's takings for a book of the issuer."""
        self._move(takings, book, amount_yen)

    def _change(self, wallet: WalletState, change_yen: int) -> None:
        self.draft.wallet_change(wallet).change_yen += change_yen
        self.changed[wallet] = self.changed.get(wallet, 0) + change_yen

    def _move(self, debit: AccountState, credit: AccountState, amount_yen: int) -> None:
        assert debit.money_id == credit.money_id, "value never changes its money inside a transfer"
        self.transfers.append(
            NewTransfer(
                debit.id,
                credit.id,
                debit.money_id,
                amount_yen,
                self._post(debit, -amount_yen),
                self._post(credit, amount_yen),
            )
        )

    def _post(self, account: AccountState, change_yen: int) -> int:
        change = self.draft.account_change(account)
        change.change_yen += change_yen
        change.transfers += 1
        return change.change_yen + (account.posted_yen or 0)
