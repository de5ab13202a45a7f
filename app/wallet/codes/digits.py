"""The digits of a one-time code: short enough for a barcode, checked against misreading, impossible to guess in time.

22 digits: two that say whose code it is, 19 random ones, and a check digit (ISO/IEC 7812-1 annex B, "Luhn"). A code
lives for a minute (a member's) or some minutes (a shop's), so 63 random bits and the limits at the doors are plenty.
"""

from __future__ import annotations

import secrets
import unicodedata

LENGTH = 22
PREFIX = {"member": "20", "shop": "21"}
_RANDOM_DIGITS = 19


def new_digits(side: str) -> str:
    """A new code of a member or of a shop."""
    body = PREFIX[side] + f"{secrets.randbelow(10**_RANDOM_DIGITS):0{_RANDOM_DIGITS}d}"
    return body + _check_digit(body)


def normal(text: str) -> str | None:
    """A code as somebody typed or scanned it, with spaces, hyphens or full-width digits; None where it is none."""
    digits = unicodedata.normalize("NFKC", text).replace(" ", "").replace("-", "")
    is_code = len(digits) == LENGTH and digits.isascii() and digits.isdigit() and digits[:2] in PREFIX.values()
    return digits if is_code and digits[-1] == _check_digit(digits[:-1]) else None


def _check_digit(body: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (1 if place % 2 else 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)
