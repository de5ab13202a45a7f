"""What the customer typed on the card page, read and checked. It lives as long as the request."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.charge.sandbox import cards
from app.charge.sandbox.api import JAPAN
from app.charge.sandbox.cards import TestCard

_YEARS_AHEAD = 20


@dataclass(frozen=True)
class CardForm:
    """The three fields, and what is wrong with each: `problems` has keys of sentences by field."""

    number: str = field(default="", repr=False)
    expiry: str = field(default="", repr=False)
    cvc: str = field(default="", repr=False)
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def card(self) -> TestCard:
        """The test card. Only where there are no problems."""
        return cards.BY_NUMBER[_digits(self.number)]


def read(form: Mapping[str, str]) -> CardForm:
    """Read what was sent."""
    number, expiry, cvc = (form.get(name, "").strip()[:40] for name in ("number", "expiry", "cvc"))
    found = {"number": _number_problem(number), "expiry": _expiry_problem(expiry), "cvc": _cvc_problem(cvc, number)}
    return CardForm(number, expiry, cvc, {name: problem for name, problem in found.items() if problem})


def filled(card: TestCard) -> CardForm:
    """The form as it looks with a test card in it."""
    year = (datetime.now(JAPAN).year + 3) % 100
    return CardForm(card.shown, f"12/{year:02}", "1234" if card.brand == "amex" else "123")


def _digits(text: str) -> str:
    return re.sub(r"[\s\u2010-\u2015-]", "", unicodedata.normalize("NFKC", text))


def _number_problem(text: str) -> str | None:
    digits = _digits(text)
    if not digits:
        return "card.number.missing"
    if not re.fullmatch("[0-9]{12,19}", digits) or not cards.luhn(digits):
        return "card.number.wrong"
    return None if digits in cards.BY_NUMBER else "card.number.no_test_card"


def _expiry_problem(text: str) -> str | None:
    found = re.fullmatch(r"([0-9]{1,2})\s*/\s*([0-9]{2}|[0-9]{4})", unicodedata.normalize("NFKC", text))
    found = found or re.fullmatch("([0-9]{2})([0-9]{2})", unicodedata.normalize("NFKC", text))
    if not found or not 1 <= int(found[1]) <= 12:
        return "card.expiry.wrong"
    today = datetime.now(JAPAN)
    ends = (int(found[2]) % 100 + 2000 if len(found[2]) == 2 else int(found[2]), int(found[1]))
    if ends < (today.year, today.month):
        return "card.expiry.past"
    return "card.expiry.wrong" if ends[0] > today.year + _YEARS_AHEAD else None


def _cvc_problem(text: str, number: str) -> str | None:
    digits = cards.cvc_digits(_digits(number))
    return None if re.fullmatch(f"[0-9]{{{digits}}}", unicodedata.normalize("NFKC", text)) else "card.cvc.wrong"
