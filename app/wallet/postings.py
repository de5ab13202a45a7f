"""What may be asked of the ledger, and what it answers. Plain values, nothing else.

A posting names its request (`requester`, `request_id`) before it is sent, so that asking again is always safe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One request for value to move.

    `requester` is the client_id of who asks, `request_id` its own name for this request (the Idempotency-Key),
    `params_hash` the SHA-256 of what is asked (`app.wallet.ledger.params_hash`): the same name with other
    parameters is refused.
    """

    requester: str
    request_id: str
    params_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment(Posting):
    """Value of a member's wallet goes to a shop. `controls` are the grant, or the terminal and the card."""

    member_id: UUID
    money: str
    shop_id: UUID
    amount_yen: int
    controls: tuple[UUID, ...]
    grant_id: UUID | None = None
    terminal_id: UUID | None = None
    card_id: UUID | None = None
    description: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    taken_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund(Posting):
    """A whole payment goes back to the lots it came from."""

    transaction_id: UUID
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge(Posting):
    """Value is issued into a member's wallet, against a book account such as `issued_by_cash`."""

    member_id: UUID
    money: str
    amount_yen: int
    book: str
    description: str = ""


SETTLED_WITH_SHOPS = "settled_with_shops"
"""The book account that a shop's takings go to when they are settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(Posting):
    """What was settled with a shop leaves its takings, in each money (by code), against `settled_with_shops`.

    It is a matter of what was before, so it is never refused for what the takings are now: where more was given back
    since, they go below zero, and the shop owes it.
    """

    shop_id: UUID
    amounts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Value moved: the transaction as written. `hit` is true where an earlier request had already moved it."""

    transaction_id: UUID
    position: int
    kind: str
    amount_yen: int
    money: str
    member_id: UUID | None
    shop_id: UUID | None
    created_at: datetime
    balance_yen: int
    """The wallet's balance in that money right after this transaction (not: now)."""
    hit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing moved, and why: an error code of docs/errors, with the detail its sentence needs."""

    code: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    hit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined(Posting):
    """A request refused at its door, before any book is looked at (a card nobody registered, a shop nobody opened).

    It is posted so that the answer is kept like any other. Where a sending of the same name was decided before, that
    answer stands.
    """

    refused: Refused
    member_id: UUID | None = None


Outcome = Accepted | Refused
