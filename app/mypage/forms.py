"""What members type, and the names of what they ask for."""

from __future__ import annotations

import re
import secrets
import unicodedata

from werkzeug.exceptions import BadRequest

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


def digits(typed: str | None) -> str:
    """A code without the spaces and hyphens that people type."""
    return re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", typed or ""))[:64]
