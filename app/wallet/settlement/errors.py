"""Why something about a settlement is refused."""

from __future__ import annotations

from app.errors import DomainError


class SettlementDayInFuture(DomainError):
    """A day that has not come yet cannot be closed."""

    code, status = "settlement_day_in_future", 422


class NothingToSettle(DomainError):
    """The shop has no settlement yet, and nothing to make one of."""

    code, status = "nothing_to_settle", 409


class SettlementNotPosted(DomainError):
    """The ledger refused to post a settlement; it stays as it is, to be looked into. `problem` is its code."""

    code, status = "settlement_not_posted", 409


class PaidMoneyIsReimbursed(DomainError):
    """Only a free money can be left out of what a shop is paid."""

    code, status = "paid_money_is_reimbursed", 422


class UnwritableKana(DomainError):
    """A bank's file cannot hold this text. `field` is where, `character` what (or how many are too many)."""

    code, status = "unwritable_kana", 422


class BankTextTooLong(DomainError):
    """`field` has more than `max` characters in half-width kana, marks of voicing counted."""

    code, status = "bank_text_too_long", 422


class WrongBankNumber(DomainError):
    """`field` is not of so many digits."""

    code, status = "wrong_bank_number", 422


class NoTransferRequester(DomainError):
    """The issuer's own account is not set."""

    code, status = "no_transfer_requester", 409


class NothingToTransfer(DomainError):
    """Every closed settlement is paid, or has nothing to pay or nowhere to pay to."""

    code, status = "nothing_to_transfer", 409


class NoBankingDay(DomainError):
    """Banks do not work on that day, it is past, or further away than a file's MMDD can say."""

    code, status = "no_banking_day", 422


class TransferDayTaken(DomainError):
    """Another file is for that day."""

    code, status = "transfer_day_taken", 409


class TransferTooLarge(DomainError):
    """A field of the bank's file has no room for that amount."""

    code, status = "transfer_too_large", 422
