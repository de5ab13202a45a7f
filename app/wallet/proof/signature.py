"""The signature over a day: a compact JWS (RFC 7515), ES256, checked without a JOSE library.

`cryptography` does the arithmetic. One algorithm, named in the header and expected here: nothing to choose, so nothing
to talk a checker into.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from app.wallet.proof import commitments
from app.wallet.proof.commitments import ALG, STATEMENT_TYP

_COORDINATE = 32
_MAX_LENGTH = 8_192


class BadSignature(ValueError):
    """No statement of a day that this key signed."""


class UnknownKey(ValueError):
    """No P-256 key, or none of the issuer's."""


def kid(jwk: Mapping[str, Any]) -> str:
    """The name of a P-256 public key, worked out (RFC 7638) and not believed. Raises UnknownKey."""
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or not all(isinstance(jwk.get(n), str) for n in "xy"):
        raise UnknownKey
    return commitments.thumbprint({name: jwk[name] for name in ("crv", "kty", "x", "y")})


def find(keys: Sequence[Mapping[str, Any]], *, kid: str) -> Mapping[str, Any]:
    """The key of this name among several kinds of keys. Raises UnknownKey."""
    for jwk in keys:
        if jwk.get("kty") == "EC" and jwk.get("crv") == "P-256" and _named(jwk) == kid:
            return jwk
    raise UnknownKey


def verified(statement: str, *, jwk: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a day's statement that this key signed. Raises BadSignature, UnknownKey."""
    parts = statement.split(".")
    if len(parts) != 3 or len(statement) > _MAX_LENGTH or not statement.isascii():
        raise BadSignature
    if _document(parts[0]) != {"typ": STATEMENT_TYP, "alg": ALG, "kid": kid(jwk)}:
        raise BadSignature  # `crit` and whatever else a header may have is refused with it
    raw = _decoded(parts[2])
    if len(raw) != 2 * _COORDINATE:
        raise BadSignature
    numbers = (int.from_bytes(half) for half in (raw[:_COORDINATE], raw[_COORDINATE:]))
    try:
        key = _public_numbers(jwk).public_key()
        key.verify(encode_dss_signature(*numbers), f"{parts[0]}.{parts[1]}".encode(), ECDSA(SHA256()))
    except InvalidSignature:
        raise BadSignature from None
    except ValueError:  # no point of the curve
        raise UnknownKey from None
    return _document(parts[1])


def _public_numbers(jwk: Mapping[str, Any]) -> EllipticCurvePublicNumbers:
    x, y = (int.from_bytes(_decoded(jwk[name])) for name in "xy")
    return EllipticCurvePublicNumbers(x, y, SECP256R1())


def _named(jwk: Mapping[str, Any]) -> str | None:
    try:
        return kid(jwk)
    except UnknownKey:
        return None


def _document(part: str) -> dict[str, Any]:
    try:
        document = json.loads(_decoded(part))
    except (ValueError, RecursionError) as error:
        raise BadSignature from error
    if not isinstance(document, dict):
        raise BadSignature
    return document


def _decoded(part: str) -> bytes:
    """Unpadded base64url, and nothing that another decoder might read differently. Raises BadSignature."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSignature from error
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != part:
        raise BadSignature
    return raw
