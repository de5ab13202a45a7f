"""What may be asked of the ledger, and what it answers. Plain values, nothing else.

A posting names its request (`requester`, `request_id`) before it is sent, so that asking again is always safe.

Nothing changes any of these once it is made. Frozen dataclasses would say so, and take three times as long to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

SYSTEM = "kumiai"
"""The requester of what the system does by itself: expiry, holds that ran out, settlements."""


@dataclass(slots=True, kw_only=True)
class Posting:
    """One request for value to move.

    `requester` is the client_id of who asks, `request_id` its own name for this request (the Idempotency-Key),
    `params_hash` the SHA-256 of what is asked (`app.wallet.ledger.params_hash`): the same name with other
    parameters is refused.
    """

    requester: str
    request_id: str
    params_hash: bytes


@dataclass(slots=True, kw_only=True)
class Item:
    """Part of what is paid for: a product group, and its yen."""

    group: str
    amount_yen: int


@dataclass(slots=True, kw_only=True)
class Spending(Posting):
    """What a payment and a hold have in common: value of a member for a shop.

    `money` is what is asked for; free monies go before it (unless `money_only`), and those the shop lets it fall
    through to come after. `controls` are the grant, or the terminal and the card.
    """

    member_id: UUID
    money: str
    shop_id: UUID
    amount_yen: int
    controls: tuple[UUID, ...]
    money_only: bool = False
    items: tuple[Item, ...] = ()
    """What the amount is made of, where a money buys some product groups only. They add up to it."""
    grant_id: UUID | None = None
    description: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Payment(Spending):
    """Value of a member's wallets goes to a shop."""

    terminal_id: UUID | None = None
    card_id: UUID | None = None
    code_id: UUID | None = None
    """The one-time code that was scanned: it must be open, and is used up."""
    taken_at: datetime | None = None
    dry_run: bool = False
    """Judge only: the answer is what would happen now, nothing is written and the name stays free."""


@dataclass(slots=True, kw_only=True)
class Hold(Spending):
    """Value of a member's wallets is set aside for a shop until `expires_at`."""

    expires_at: datetime


@dataclass(slots=True, kw_only=True)
class Capture(Posting):
    """A hold's value goes to its shop, all of it (None) or part; the rest is released."""

    hold_id: UUID
    amount_yen: int | None = None
    description: str = ""


@dataclass(slots=True, kw_only=True)
class Release(Posting):
    """A hold ends without a payment. `expired`: because its time ran out, and only then."""

    hold_id: UUID
    expired: bool = False
    description: str = ""


@dataclass(slots=True, kw_only=True)
class Refund(Posting):
    """A payment, or part of it, goes back to the lots it came from. None: all that is left of it."""

    transaction_id: UUID
    amount_yen: int | None = None
    terminal_id: UUID | None = None
    description: str = ""
    dry_run: bool = False


@dataclass(slots=True, kw_only=True)
class Charge(Posting):
    """Value is issued into a member's wallet, against a book account such as `issued_by_cash`.

    `agreed_before`: it was agreed before the wallet was suspended or its ceiling lowered, and is credited all the same
    (a slip paid at the convenience store); `reserved_yen` of the wallet's headroom was kept for it.
    """

    member_id: UUID
    money: str
    amount_yen: int
    book: str
    agreed_before: bool = False
    reserved_yen: int = 0
    code_id: UUID | None = None
    terminal_id: UUID | None = None
    description: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Move(Posting):
    """A member's value of one money becomes value of another (マネー移動)."""

    member_id: UUID
    money: str
    to_money: str
    amount_yen: int
    grant_id: UUID | None = None
    description: str = ""
    dry_run: bool = False


@dataclass(slots=True, kw_only=True)
class Adjustment(Posting):
    """The office grants value (points, a subsidy), or takes it back, against a book account.

    `expires_on` names the last day of what is granted; None: by the money's own rule.
    """

    member_id: UUID
    money: str
    amount_yen: int
    book: str
    takes_back: bool = False
    expires_on: date | None = None
    description: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Expiry(Posting):
    """What has expired in a member's wallet leaves it."""

    member_id: UUID
    money: str
    description: str = ""


@dataclass(slots=True, kw_only=True)
class Close(Posting):
    """A wallet is closed for ever. Paid value is paid out for a legal `reason`, free value is forfeited.

    `reason` (資金決済法20条5項 and 前払式支払手段に関する内閣府令42条): `abolition`, `small_amount` (against the quota
    of `period_begins_on`), `unavoidable`.
    """

    member_id: UUID
    money: str
    reason: str
    period_begins_on: date
    description: str = ""


@dataclass(slots=True, kw_only=True)
class Settle(Posting):
    """What was settled with a shop leaves its takings, in each money (by code), against `settled_with_shops`.

    It is about what was before, so it is never refused for what the takings are now: where more was given back since,
    they go below zero, and the shop owes it.
    """

    shop_id: UUID
    amounts: Mapping[str, int]


@dataclass(slots=True, kw_only=True)
class Declined(Posting):
    """A request refused at its door, before any book is looked at (a card nobody registered, a shop nobody opened).

    It is posted so that the answer is kept like any other. Where a sending of the same name was decided before, that
    answer stands.
    """

    refused: Refused
    member_id: UUID | None = None


class Part(NamedTuple):
    """What a transaction did to one of the member's wallets: `amount_yen` is negative where value left it."""

    money: str
    amount_yen: int
    balance_yen: int
    """The wallet's balance in that money right after the transaction (not: now)."""


@dataclass(slots=True, kw_only=True)
class Accepted:
    """Value moved: the transaction as written. `hit` is true where an earlier request had already moved it.

    Of a dry run that would have been accepted, `position` is 0 and nothing was written.
    """

    transaction_id: UUID
    position: int
    kind: str
    amount_yen: int
    money: str
    member_id: UUID | None
    shop_id: UUID | None
    created_at: datetime
    balance_yen: int
    """The balance of `money` right after this transaction (not: now)."""
    parts: tuple[Part, ...] = ()
    """Every wallet it touched, where that is not just the one of `money` by the whole amount."""
    points_yen: int = 0
    """Points granted (or, negative, taken back) with it; in `parts` too."""
    points_missing_yen: int = 0
    """Of a refund: points that were to be taken back and had been spent."""
    hit: bool = False


@dataclass(slots=True, kw_only=True)
class Refused:
    """Nothing moved, and why: an error code of docs/errors, with the detail its sentence needs."""

    code: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    hit: bool = False


Outcome = Accepted | Refused
