"""What the server asks of a payment gateway, and what a gateway answers. Each adapter in `gateways/` is one `Gateway`.

A gateway is believed only where it was asked: an event says which payment to look up, never what became of it. So
events may come late, twice, out of order or not at all; `lookup` is what counts. No card number, expiry or security
code ever appears here: cards are entered on the gateway's own page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class Chain(StrEnum):
    """Convenience stores, in the order in which they are offered."""

    LAWSON = "lawson"
    FAMILYMART = "familymart"
    MINISTOP = "ministop"
    SEICOMART = "seicomart"
    DAILY_YAMAZAKI = "daily_yamazaki"
    SEVEN_ELEVEN = "seven_eleven"


class GatewayState(StrEnum):
    """What a gateway says of one payment. PAID also where it was paid after its end, or in part, or twice."""

    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class GatewayUnavailable(Exception):
    """No answer, or none that says anything: whether the gateway did what was asked is not known. Ask again."""


class GatewayRefused(Exception):
    """The gateway did not do what was asked, and would not the next time either. `code` is its own word for why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class EventRefused(Exception):
    """What came is not from the gateway, or is too old, or makes no sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRequest:
    """A card payment to be made on the gateway's page until `pay_until`. `return_url` is where the page leads then."""

    order_id: UUID
    pay_until: datetime
    amount_yen: int
    description: str
    return_url: str
    locale: str
    email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KonbiniRequest:
    """A slip to be paid at a convenience store. `name_kana` in full-width katakana, `phone` 10 or 11 digits.

    A vendor that counts days counts from `ordered_at`: the same order is the same request on the next day.
    """

    order_id: UUID
    ordered_at: datetime
    amount_yen: int
    description: str
    chain: Chain
    name: str
    name_kana: str
    email: str
    phone: str
    pay_until: datetime
    locale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPage:
    """`ref` is the gateway's id of the payment, `url` its page."""

    ref: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """What the member shows or types at the store. Which of these a chain has is in `docs/gateways.md`."""

    ref: str
    chain: Chain
    pay_until: datetime
    receipt_no: str | None = None
    confirmation_no: str | None = None
    company_code: str | None = None
    barcode: str | None = None
    voucher_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Money that reached the gateway: `id` is the gateway's own of this one arrival, credited at most once for ever."""

    id: str
    amount_yen: int
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSeen:
    """What may be known of a card: the gateway's fingerprint of it (the same for the same card), brand, last four."""

    fingerprint: str
    brand: str
    last4: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the gateway knows of one payment now. A slip paid twice has two `received`."""

    ref: str
    order_id: UUID | None
    state: GatewayState
    received: tuple[Received, ...] = ()
    failure: str | None = None
    """The gateway's word for why it failed."""
    card: CardSeen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to a payment: look it up. `id` is the same however often it is sent.

    `ref` is None where it is about something else: a test of the address, say.
    """

    id: str
    kind: str
    ref: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledLine:
    """One line of the gateway's settlement file. `number` counts lines from 1, the heading being 1."""

    number: int
    received_id: str
    ref: str
    order_id: UUID | None
    amount_yen: int
    fee_yen: int
    settled_on: date


class Gateway(Protocol):
    """One gateway. Calls go over the network and may take seconds: never within a transaction of the database.

    `start_card`, `start_konbini` and `cancel` may be repeated: the same order gives the same payment, once.
    All raise GatewayUnavailable and GatewayRefused.
    """

    name: str
    chains: Sequence[Chain]
    """The convenience stores on offer; empty where it has none."""
    has_cards: bool

    def start_card(self, request: CardRequest) -> CardPage: ...

    def start_konbini(self, request: KonbiniRequest) -> Slip: ...

    def cancel(self, ref: str) -> GatewayState:
        """Make a payment unpayable. PAID where the money was faster, else a state in which nobody can pay."""
        ...

    def lookup(self, ref: str) -> Found: ...

    def parse_event(self, headers: Mapping[str, str], body: bytes) -> Event:
        """Read what was posted to our address. Raises EventRefused."""
        ...

    def settlement(self, file: str) -> Iterable[SettledLine]:
        """The lines of a settlement file of this gateway. Raises ValueError that names the line."""
        ...
