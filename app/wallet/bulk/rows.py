"""One line's texts become the values of a row, or the reasons why not. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from app.money import MAX_AMOUNT_YEN
from app.wallet.bulk.columns import FIELDS, REQUIRED, kind_of, plain
from app.wallet.bulk.problems import Problem, problem

MAX_MEMBER, MAX_DESCRIPTION, MAX_REFERENCE = 254, 200, 100
"""Characters. 254: the longest e-mail address (RFC 5321 section 4.5.3.1.3, with its errata)."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@.]+")
_MONEY = re.compile(r"[a-z][a-z0-9_]{1,31}")
_AMOUNT = re.compile(r"[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+")
_DATE = re.compile(r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})")
_MAX_DIGITS = 18

# Only the full-width twins of ASCII and the yen signs: NFKC would read ① and ² as digits, too.
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20, 0xFFE5: 0xA5}


@dataclass(slots=True)
class Row:
    """A line as it was understood; what could not be is None and has a problem."""

    line: int
    member: str | None = None
    money: str | None = None
    amount_yen: int | None = None
    kind: str | None = None
    expires_on: date | None = None
    description: str | None = None
    reference: str | None = None
    problems: list[Problem] = field(default_factory=list)


class _Wrong(Exception):
    def __init__(self, code: str, **detail: str | int) -> None:
        self.code, self.detail = code, detail


def row_of(line: int, texts: Mapping[str, str]) -> Row:
    """The row of one line, given its texts by field. Blank ones count as missing."""
    row = Row(line, description="", reference=str(line))
    for name in FIELDS:
        text = texts.get(name, "").strip()
        try:
            if _CONTROL.search(text):
                raise _Wrong("control_characters")
            if text:
                setattr(row, name, _READ[name](text))
            elif name in REQUIRED:
                raise _Wrong("missing")
        except _Wrong as wrong:
            setattr(row, name, None)
            row.problems.append(problem(wrong.code, field=name, **wrong.detail))
    return row


def _member(text: str) -> str:
    text = _short(half_width(text).strip().lower(), MAX_MEMBER)
    if _ADDRESS.fullmatch(text):
        return text
    try:
        return str(UUID(text))
    except ValueError:
        raise _Wrong("member_form") from None


def _money(text: str) -> str:
    code = plain(text)
    if not _MONEY.fullmatch(code):
        raise _Wrong("money_form")
    return code


def _amount(text: str) -> int:
    """Whole yen: 1500, 1,500, ¥1,500 or 1500円, in digits of either width."""
    digits = half_width(text).strip().removeprefix("¥").removeprefix("\\").removesuffix("円").strip()
    if not _AMOUNT.fullmatch(digits):
        raise _Wrong("amount_form")
    digits = digits.replace(",", "")
    if len(digits) > _MAX_DIGITS or not 1 <= int(digits) <= MAX_AMOUNT_YEN:
        raise _Wrong("amount_range", max_yen=MAX_AMOUNT_YEN)
    return int(digits)


def _kind(text: str) -> str:
    kind = kind_of(text) if len(text) <= MAX_REFERENCE else None
    if kind is None:
        raise _Wrong("kind_form")
    return kind


def _date(text: str) -> date:
    found = _DATE.fullmatch(half_width(text).strip())
    try:
        if found is None:
            raise ValueError
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        raise _Wrong("date_form") from None


def _short(text: str, most: int) -> str:
    if len(text) > most:
        raise _Wrong("too_long", most=most)
    return text


def half_width(text: str) -> str:
    return text.translate(_HALF_WIDTH)


def _description(text: str) -> str:
    return _short(" ".join(text.split()), MAX_DESCRIPTION)


def _reference(text: str) -> str:
    return _short(" ".join(text.split()), MAX_REFERENCE)


_READ: dict[str, Callable[[str], object]] = {
    "member": _member,
    "money": _money,
    "amount_yen": _amount,
    "kind": _kind,
    "expires_on": _date,
    "description": _description,
    "reference": _reference,
}
