"""What members type, and the names of what they ask for."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

MAX_YEN = 9_999_999
_UNDO = 20
_YEN = re.compile(r"[0-9]{1,7}")
_NOISE = re.compile(r"[,\s¥円]")
_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}")


def new_key() -> str:
    """An Idempotency-Key. It is made with the form, so a form that is sent twice asks for the same thing twice."""
    return secrets.token_urlsafe(16)


def key(typed: str | None) -> str:
    """The key of a form that was sent."""
    if typed is None or not _KEY.fullmatch(typed):
        raise BadRequest
    return typed


def yen(typed: str | None) -> int | None:
    """Whole yen, with full-width digits, separators, ¥ or 円; None for what is no amount."""
    plain = _NOISE.sub("", unicodedata.normalize("NFKC", typed or ""))
    return int(plain) if _YEN.fullmatch(plain) else None


def added_up(args: MultiDict[str, str], *, steps: Sequence[int]) -> tuple[str, list[str]]:
    """What stands in the field of an amount after the button (`do`) that was pressed, and what it was before each
    press: one of `steps` adds, `undo` takes the last press back, `clear` empties it."""
    typed, was, do = args.get("amount", ""), args.getlist("was")[-_UNDO:], args.get("do", "")
    if do == "undo":
        return (was[-1], was[:-1]) if was else ("", [])
    if do == "clear":
        return "", [*was, typed][-_UNDO:]
    if do.startswith("+") and (step := yen(do[1:])) in steps and step is not None:
        return str(min((yen(typed) or 0) + step, MAX_YEN)), [*was, typed][-_UNDO:]
    return typed, was


def digits(typed: str | None) -> str:
    """A code without the spaces and hyphens that people type."""
    return re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", typed or ""))[:64]


def phone(typed: str | None) -> str | None:
    """Ten or eleven digits as a store wants them; None for what is no number of Japan."""
    plain = re.sub(r"[\s()\-‐－−ー.]", "", unicodedata.normalize("NFKC", typed or ""))
    plain = re.sub(r"^\+?81(?=[1-9])", "0", plain)
    return plain if re.fullmatch(r"0[0-9]{9,10}", plain) else None


def kana(typed: str | None) -> str:
    """A name in full-width katakana: half-width and hiragana are turned into it, anything else stays as it was."""
    full = unicodedata.normalize("NFKC", typed or "").strip()
    shifted = "".join(chr(ord(one) + 0x60) if "ぁ" <= one <= "ゖ" else one for one in full)
    return re.sub(r"\s+", " ", re.sub(r"(?<=[ァ-ヴー])[-‐－−]", "ー", shifted))


def is_kana(name: str) -> bool:
    return re.fullmatch(r"[ァ-ヴー・ ]{1,40}", name) is not None
