"""What `decide` looks at: the part of the books a batch touches, as read under lock. Plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from app.wallet.postings import Outcome, Posting


def spent_yen(spent_on: date | None, day_yen: int, month_yen: int, *, today: date) -> tuple[int, int]:
    """What sums of the day `spent_on` and its month say of today and this month."""
    if spent_on is None or (spent_on.year, spent_on.month) != (today.year, today.month):
        return 0, 0
    return (day_yen if spent_on == today else 0), month_yen


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A spend control: may this grant, card or terminal spend, and how much."""

    id: UUID
    kind: str
    status: str
    max_per_payment_yen: int | None
    max_per_day_yen: int | None
    max_per_month_yen: int | None
    valid_until: date | None
    monies: frozenset[str] | None
    shops: frozenset[UUID] | None
    spent_on: date | None
    """The day its sums are of."""
    spent_day_yen: int
    spent_month_yen: int

    @property
    def counts(self) -> bool:
        """Whether what is paid under it is added up: for its ceilings, and of a grant for the member to see."""
        return self.kind == "grant" or self.max_per_day_yen is not None or self.max_per_month_yen is not None

    def spent_yen(self, today: date) -> tuple[int, int]:
        """What was paid under it today and this month."""
        return spent_yen(self.spent_on, self.spent_day_yen, self.spent_month_yen, today=today)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """An account. `money_id` is the same on both sides of every transfer.

    `posted_yen` is None where nothing has to be judged by it: such an account, a shop's takings or a book, is
    locked only when the batch is written, so that a shop everybody pays at is held for one statement.
    """

    id: int
    money_id: int
    posted_yen: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletState:
    """A wallet with its lots, nearest expiry first, the undated one last."""

    id: UUID
    status: str
    total_yen: int
    lots: tuple[AccountState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """A request that has its answer already."""

    params_hash: bytes
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTransfer:
    """A transfer of a transaction to be refunded, with what its two accounts are now."""

    debit: AccountState
    credit: AccountState
    amount_yen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A transaction to be refunded."""

    kind: str
    member_id: UUID
    money: str
    shop_id: UUID | None
    amount_yen: int
    refunded_yen: int
    transfers: tuple[PastTransfer, ...]


@dataclass(slots=True, kw_only=True)
class Books:
    """Everything a batch may look at. What is missing here does not exist."""

    today: date
    """The issuer's day, by the database's clock."""
    requests: dict[tuple[str, str], PastRequest] = field(default_factory=dict)
    controls: dict[UUID, Control] = field(default_factory=dict)
    wallets: dict[tuple[UUID, str], WalletState] = field(default_factory=dict)
    shops: dict[UUID, str] = field(default_factory=dict)
    """Shop id to its status."""
    takings: dict[tuple[UUID, str], AccountState] = field(default_factory=dict)
    books: dict[tuple[str, str], AccountState] = field(default_factory=dict)
    originals: dict[UUID, Original] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTransfer:
    """A transfer to be written, with both balances after it.

    The balance of an account whose `posted_yen` was not read counts from zero here; what it is at the write is added.
    """

    debit_account_id: int
    credit_account_id: int
    money_id: int
    amount_yen: int
    debit_after_yen: int
    credit_after_yen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTransaction:
    """A transaction to be written. `index` is its posting's place in the batch."""

    index: int
    id: UUID
    kind: str
    posting: Posting
    member_id: UUID | None
    money: str
    money_id: int
    shop_id: UUID | None
    amount_yen: int
    balance_yen: int
    reverses: UUID | None
    transfers: tuple[NewTransfer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SameAs:
    """This posting repeats another of the same batch; it gets that one's answer."""

    index: int


Ruling = NewTransaction | Outcome | SameAs


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """By how much a batch changes an account, in how many transfers."""

    account: AccountState
    change_yen: int
    transfers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One ruling per posting, in order, and what changes of the sums."""

    rulings: tuple[Ruling, ...]
    accounts: tuple[AccountChange, ...]
    wallets: dict[UUID, int]
    """Wallet id to total_yen."""
    spent: dict[UUID, int]
    """Spend control id to the yen this batch adds to its sums."""
