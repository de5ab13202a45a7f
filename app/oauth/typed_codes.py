"""Codes that people read off one screen and type at another: XXXX-XXXX.

RFC 8628 section 6.1: no vowels, so that no word comes about; no digits, so that none is taken for a letter.
"""

from __future__ import annotations

import re
import secrets
import unicodedata

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8
_BETWEEN = re.compile(r"[\s_.・ー\u00ad\u2010-\u2015\u2212-]+")
"""What a keyboard, a Japanese one too, gives for a blank or a hyphen."""


def new_letters() -> str:
    """34 random bits: enough for minutes of life behind a door that counts the knocks."""
    return "".join(secrets.choice(LETTERS) for _ in range(LENGTH))


def shown(letters: str) -> str:
    """A code as people read it."""
    return f"{letters[:4]}-{letters[4:]}"


def letters_of(typed: str) -> str:
    """A code as somebody typed it: small, full-width, with anything in between. What is none stays what it is."""
    return _BETWEEN.sub("", unicodedata.normalize("NFKC", typed).upper())
