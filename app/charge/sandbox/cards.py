"""Test cards, and what may be known of a card. A number goes through here and is forgotten: nothing keeps it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

BRANDS = {
    "visa": ("4",),
    "mastercard": ("51", "52", "53", "54", "55", "22", "23", "24", "25", "26", "27"),
    "jcb": ("35",),
    "amex": ("34", "37"),
    "diners": ("30", "36", "38", "39"),
}
PAID, SLOW = "paid", "slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCard:
    """`outcome`: paid, slow (paid some seconds later), or the word for why not. `challenge`: 3-D Secure asks first."""

    __test__ = False  # pytest: this is no test

    name: str
    number: str
    outcome: str = PAID
    challenge: bool = False

    @property
    def brand(self) -> str:
        return brand(self.number)

    @property
    def last4(self) -> str:
        return self.number[-4:]

    @property
    def shown(self) -> str:
        """In groups, as it is printed on a card."""
        sizes = {"amex": (4, 6, 5), "diners": (4, 6, 4)}.get(self.brand, (4, 4, 4, 4))
        starts = [sum(sizes[:index]) for index in range(len(sizes))]
        return " ".join(self.number[start : start + size] for start, size in zip(starts, sizes, strict=True))


TEST_CARDS = (
    TestCard(name="visa", number="4242424242424242"),
    TestCard(name="mastercard", number="5555555555554444"),
    TestCard(name="jcb", number="3530111333300000"),
    TestCard(name="amex", number="378282246310005"),
    TestCard(name="diners", number="30569309025904"),
    TestCard(name="challenge", number="4000000000003220", challenge=True),
    TestCard(name="challenge_jcb", number="3566002020360505", challenge=True),
    TestCard(name="declined", number="4000000000000002", outcome="card_declined"),
    TestCard(name="no_funds", number="4000000000009995", outcome="insufficient_funds"),
    TestCard(name="lost", number="4000000000009987", outcome="lost_card"),
    TestCard(name="expired", number="4000000000000069", outcome="expired_card"),
    TestCard(name="challenge_declined", number="4000008400001629", challenge=True, outcome="card_declined"),
    TestCard(name="three_ds_failed", number="4000008400001280", challenge=True, outcome="three_ds_failed"),
    TestCard(name="slow", number="4000000000000077", outcome=SLOW),
)
BY_NAME = {card.name: card for card in TEST_CARDS}
BY_NUMBER = {card.number: card for card in TEST_CARDS}
FAILURES = ("card_declined", "insufficient_funds", "lost_card", "expired_card", "three_ds_failed", "three_ds_cancelled")


def luhn(number: str) -> bool:
    """Whether the check digit fits (ISO/IEC 7812-1, annex B)."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def brand(number: str) -> str:
    """The brand by the first digits, or an empty string."""
    return next((name for name, starts in BRANDS.items() if number.startswith(starts)), "")


def cvc_digits(number: str) -> int:
    return 4 if brand(number) == "amex" else 3


def fingerprint(number: str, *, key: str) -> str:
    """The same for the same card, and of no use for finding its number without the key."""
    return "fp_" + hmac.new(key.encode(), f"card\0{number}".encode(), hashlib.sha256).hexdigest()[:32]
