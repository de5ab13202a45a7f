"""Identifiers: time-ordered UUIDs for rows, and secret random values for everything that grants access."""

import hashlib
import hmac
import secrets
import uuid

from uuid_utils.compat import uuid7 as _uuid7


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562 section 5.7): rows made together lie together in an index."""
    return _uuid7()


def new_secret(prefix: str) -> str:
    """256 random bits behind a visible prefix (`kat_`, `krt_`, …), so that leak scanners recognise the kind."""
    return prefix + secrets.token_urlsafe(32)


def secret_hash(secret: str) -> bytes:
    """SHA-256 of a 256-bit secret; enough for values nobody can guess. Never use it for codes, PINs or passwords."""
    return hashlib.sha256(secret.encode()).digest()


def keyed_hash(key: bytes, *, purpose: str, value: str) -> bytes:
    """HMAC-SHA-256 of a guessable value (a six-digit code, a card number), bound to its purpose."""
    return hmac.digest(key, f"{purpose}\0{value}".encode(), "sha256")


def same(left: bytes, right: bytes) -> bool:
    """Compare two hashes in constant time."""
    return hmac.compare_digest(left, right)
