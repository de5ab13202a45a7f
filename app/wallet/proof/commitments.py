"""What is hashed, and how: the one place both the sealing server and a far-away check take it from (docs/proof.md).

A transaction is three sections. Each is hashed with a nonce of its own, and the leaf is made of the three hashes, so
that one section can be shown without the others, and nobody can find the others by trying.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.wallet.proof import merkle

FORMAT = "kumiai-proof-1"
SECTIONS = ("receipt", "details", "books")
"""What a receipt says; who asked for it, and for whom; which accounts it moved. In this order in the leaf."""
STATEMENT_TYP = "kumiai-day+jwt"
"""`typ` of the JWS over a day (RFC 8725 section 3.11): nothing else that the same key signs passes for it."""
ALG = "ES256"

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
_LARGEST = 2**53 - 1


class NotCanonical(ValueError):
    """A value that has no canonical form here: a fraction, a whole number beyond 2^53, half of a surrogate pair."""


def canonical(value: Any) -> bytes:
    """RFC 8785, for texts, whole numbers, booleans, null, lists and objects. Raises NotCanonical."""
    try:
        return _ENCODER.encode(_ordered(value)).encode()
    except UnicodeEncodeError as error:
        raise NotCanonical("text") from error


def section_digest(nonce: bytes, content: Mapping[str, Any]) -> bytes:
    """The hash that stands for a section. Without the nonce it tells nothing of the content."""
    return hashlib.sha256(b"\x02" + nonce + canonical(content)).digest()


def transaction_leaf(digests: Sequence[bytes]) -> bytes:
    """The leaf of a transaction in its block, of its sections' digests in their order."""
    return merkle.leaf(b"".join(digests))


def block_leaf(header: Mapping[str, Any]) -> bytes:
    """The leaf of a block in its day; also what the next block calls `previous`."""
    return merkle.leaf(canonical(header))


def statement_hash(statement: str) -> str:
    """What the next day's statement calls `previous`."""
    return hashlib.sha256(statement.encode()).hexdigest()


def nonce(blinding: bytes, *, position: int, section: str) -> bytes:
    """The nonce of one section, from its block's secret: told with the section, and telling nothing of any other."""
    return hmac.digest(blinding, f"{position} {section}".encode(), "sha256")


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The name of an EC key: its RFC 7638 thumbprint, in unpadded base64url."""
    digest = hashlib.sha256(canonical({name: jwk[name] for name in ("crv", "kty", "x", "y")})).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _ordered(value: Any) -> Any:
    """The same value, the names of every object in the order of their UTF-16 code units (RFC 8785 section 3.2.3)."""
    kind = type(value)
    if kind is str or value is None or kind is bool or (kind is int and abs(value) <= _LARGEST):
        return value
    if kind is dict:
        names = sorted(value) if "".join(value).isascii() else sorted(value, key=_utf16)
        return {name: _ordered(value[name]) for name in names}
    if kind is list:
        return [_ordered(each) for each in value]
    raise NotCanonical(kind.__name__)


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")
