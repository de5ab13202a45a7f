"""Passwords: argon2id, the same time for a wrong password as for an unknown name, and which ones may be chosen.

A password never opens an account alone (a mailed code comes after it), so eight characters do, of any kind: NIST
SP 800-63B-4 section 3.1.1.2, which also says to refuse what attackers try first and to ask for no mixture of kinds.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from app.member.errors import PasswordGuessable, PasswordTooShort

MIN_LENGTH = 8
"""Characters, after NFKC."""

# OWASP's smallest advised argon2id: 19 MiB, two passes, one lane. Every sign-in being checked holds its memory, and
# a co-op's server may be small. Stronger values later cost nothing: each hash is renewed at its next sign-in.
_HASHER = PasswordHasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)
_NOBODY = _HASHER.hash("")


def hash_password(password: str) -> str:
    """The argon2id hash of `password`, with its parameters in it."""
    return _HASHER.hash(_normal(password))


def verify_password(password: str, *, password_hash: str | None) -> bool:
    """Whether `password` matches. None (no such member) takes as long as a wrong password, and never matches."""
    try:
        return _HASHER.verify(password_hash or _NOBODY, _normal(password)) and password_hash is not None
    except VerifyMismatchError:
        return False
    except InvalidHashError:  # a member without a password
        return verify_password(password, password_hash=None)


def outdated(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


def check_new(password: str, *, email: str) -> None:
    """Raises PasswordTooShort or PasswordGuessable for what must not be chosen."""
    typed = _normal(password)
    if len(typed) < MIN_LENGTH:
        raise PasswordTooShort
    small, address = typed.strip().casefold(), email.casefold()
    if len(set(small)) < 3 or small in {address, address.partition("@")[0]} or small in _common():
        raise PasswordGuessable


@cache
def _common() -> frozenset[str]:
    """What attackers try first, as far as it is long enough to be chosen here."""
    return frozenset((Path(__file__).parent / "common_passwords.txt").read_text().split())


def _normal(password: str) -> str:
    """One form for what different keyboards send for the same character (NIST SP 800-63B section 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
