"""What the law looks at: the part of the books a batch touches, as read under lock, and what it rules. Plain values.

Rows that every payment reads are mutable dataclasses only because frozen ones take three times as long to make;
nothing changes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from app.wallet.postings import Hold, Outcome, Part, Posting
from app.wallet.rules import Rules


def spent_yen(spent_on: date | None, day_yen: int, month_yen: int, *, today: date) -> tuple[int, int]:
    """What sums of the day `spent_on` and its month say of today and this month."""
    if spent_on is None or (spent_on.year, spent_on.month) != (today.year, today.month):
        return 0, 0
    return (day_yen if spent_on == today else 0), month_yen


@dataclass(slots=True, kw_only=True, eq=False)
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


@dataclass(slots=True, eq=False)
class AccountState:
    """An account. `money_id` is the same on both sides of every transfer.

    `posted_yen` is None where nothing has to be judged by it: such an account, a shop's takings or a book, is
    locked only when the batch is written, so that a shop everybody pays at is held for one statement.
    """

    id: int
    money_id: int
    posted_yen: int | None
    pending_yen: int = 0
    expires_on: date | None = None
    floor_yen: int = 0


@dataclass(slots=True, eq=False)
class WalletState:
    """A wallet with its lots, nearest expiry first, the undated one last."""

    id: UUID
    member_id: UUID
    money: str
    status: str
    total_yen: int
    pending_yen: int
    reserved_yen: int
    expires_on: date | None
    """The last day of the undated lot; None: it does not expire."""
    max_per_payment_yen: int | None
    max_per_day_yen: int | None
    max_per_month_yen: int | None
    spent_on: date | None
    spent_day_yen: int
    spent_month_yen: int
    lots: list[AccountState] = field(default_factory=list)

    def lot_of(self, expires_on: date | None) -> AccountState | None:
        return next((lot for lot in self.lots if lot.expires_on == expires_on), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """A request that has its answer already."""

    params_hash: bytes
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class PastTransfer:
    """A transfer of a transaction to be refunded. Where a side is a lot, it is in `Books.lots`."""

    debit_id: int
    credit_id: int
    money: str
    amount_yen: int
    outside: tuple[int, ...]
    """Those of its sides that are no lots: takings, a book."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldState:
    """A hold, with what it sets aside of each lot (account id, yen) in the order of its capture."""

    id: UUID
    member_id: UUID
    money: str
    shop_id: UUID
    requester: str
    controls: tuple[UUID, ...]
    amount_yen: int
    state: str
    is_over: bool
    """Whether its time has run out."""
    held_on: date
    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeState:
    """A one-time code: `status` is open, used, cancelled or expired."""

    id: UUID
    status: str


@dataclass(slots=True, kw_only=True)
class Books:
    """Everything a batch may look at. What is missing here does not exist."""

    today: date
    """The issuer's day, by the database's clock."""
    rules: Rules
    requests: dict[tuple[str, str], PastRequest] = field(default_factory=dict)
    controls: dict[UUID, Control] = field(default_factory=dict)
    wallets: dict[tuple[UUID, str], WalletState] = field(default_factory=dict)
    lots: dict[int, tuple[WalletState, AccountState]] = field(default_factory=dict)
    accounts: dict[int, AccountState] = field(default_factory=dict)
    """Takings and books that were locked and read, for a batch in which something is judged by them."""
    originals: dict[UUID, Original] = field(default_factory=dict)
    holds: dict[UUID, HoldState] = field(default_factory=dict)
    codes: dict[UUID, CodeState] = field(default_factory=dict)
    quotas: dict[date, int] = field(default_factory=dict)
    """What may still be paid out for small amounts in the period that begins on a day."""

    def account(self, account_id: int, money_id: int) -> AccountState:
        """Takings or a book: as read, or, where nothing is judged by it, unread."""
        return self.accounts.get(account_id) or AccountState(account_id, money_id, None)


@dataclass(slots=True)
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
class NewHold:
    """A hold to be written: what it sets aside of each lot (account id, yen)."""

    posting: Hold
    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedHold:
    """How a hold ends."""

    id: UUID
    state: str
    captured_yen: int = 0


@dataclass(slots=True, kw_only=True)
class NewTransaction:
    """A transaction to be written."""

    id: UUID
    kind: str
    posting: Posting
    member_id: UUID | None
    money: str
    money_id: int
    shop_id: UUID | None
    amount_yen: int
    balance_yen: int
    transfers: list[NewTransfer]
    parts: tuple[Part, ...] = ()
    points_yen: int = 0
    points_missing_yen: int = 0
    reverses: UUID | None = None
    hold: NewHold | None = None
    ended_hold: EndedHold | None = None
    before: Sequence[NewTransaction] = ()
    """What must be written before it: value that had expired leaves a wallet before other value enters it."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SameAs:
    """This posting repeats another of the same batch; it gets that one's answer."""

    index: int


Ruling = NewTransaction | Outcome | SameAs


@dataclass(slots=True)
class AccountChange:
    """By how much a batch changes an account, in how many transfers."""

    account: AccountState
    change_yen: int = 0
    pending_yen: int = 0
    transfers: int = 0


@dataclass(slots=True)
class WalletChange:
    """By how much a batch changes a wallet."""

    wallet: WalletState
    change_yen: int = 0
    pending_yen: int = 0
    reserved_yen: int = 0
    day_yen: int = 0
    """What is added to the sum of the day; less than zero where a hold gives back."""
    month_yen: int = 0
    expires_on: date | None = None
    closes: bool = False


@dataclass(slots=True)
class ControlChange:
    """What a batch adds to a control's sums, and what it gives back of them."""

    day_yen: int = 0
    month_yen: int = 0
    given_back_yen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One ruling per posting, in order, and what changes of the sums."""

    rulings: tuple[Ruling, ...]
    accounts: Mapping[int, AccountChange]
    wallets: Mapping[WalletState, WalletChange]
    controls: Mapping[UUID, ControlChange]
    codes: Mapping[UUID, UUID]
    """One-time codes used up, each with its transaction."""
    paid_out: Mapping[date, int]
    """Yen paid out against the quota of each period."""
