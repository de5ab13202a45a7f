"""JWTs that clients sign, client assertions and DPoP proofs: taken apart, their keys, their times (RFC 7515, 7519).

joserfc does the cryptography. What it would break on (a header that is no object) or let through (an unknown
critical extension, a private key where a public one belongs) is refused before it is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import base64_to_int, urlsafe_b64decode

from app import clock

ALGS = ("ES256", "PS256", "EdDSA")
"""FAPI 2.0 Security Profile 5.4.1: nothing else. `EdDSA` means its Ed25519 variant."""
SKEW_S = 60
"""How far a client's clock may be ahead. FAPI 2.0 5.3.2.1 wants 10 s borne and more than 60 s refused; laptops and
tills are set by hand, so it is the most that is allowed."""
MAX_KEYS = 10
_MAX_LENGTH = 8_192
_MAX_JTI_LENGTH = 256
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class BadJwt(ValueError):
    """A JWT that is not accepted; `part` is the header, claim or step that is at fault."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part


class BadKey(ValueError):
    """No public key for this algorithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What the public key of an algorithm looks like (RFC 7518 section 6, RFC 8037 section 2)."""

    key_class: type[ECKey] | type[RSAKey] | type[OKPKey]
    fixed: Mapping[str, str]
    numbers: tuple[str, ...]


_KINDS = {
    "ES256": _Kind(key_class=ECKey, fixed={"kty": "EC", "crv": "P-256"}, numbers=("x", "y")),
    "PS256": _Kind(key_class=RSAKey, fixed={"kty": "RSA"}, numbers=("n", "e")),
    "EdDSA": _Kind(key_class=OKPKey, fixed={"kty": "OKP", "crv": "Ed25519"}, numbers=("x",)),
}
_RSA_BITS = range(2_048, 4_097)
"""FAPI 2.0 5.4.1 names the least; more than the most only costs time at each request."""


class _Registry(JWSRegistry):
    """joserfc's default takes no header with an RSA key in it, and warns of `EdDSA`, the name FAPI knows it by."""

    max_header_length = _MAX_LENGTH

    def get_alg(self, name: str) -> Any:
        if name not in ALGS:
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)  # RFC 7515 section 4: unknown header parameters are ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt:
    """A JWT as it came. Nothing of it is to be believed before `verify`."""

    compact: str
    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def alg(self) -> str:
        alg: str = self.header["alg"]
        return alg

    def verify(self, key: Key) -> None:
        """Raises BadJwt where `key` did not sign it."""
        try:
            jws.deserialize_compact(self.compact, key, registry=_REGISTRY)
        except (JoseError, ValueError) as error:
            raise BadJwt("signature") from error


def parse(compact: str) -> Jwt:
    """Take a JWT in compact form apart. Raises BadJwt.

    No extension is understood here, so one that is critical is refused (RFC 7515 section 4.1.11); `b64` is one.
    """
    parts = compact.split(".")
    if len(compact) > _MAX_LENGTH or len(parts) != 3:
        raise BadJwt("JWT")
    header, claims = _document(parts[0]), _document(parts[1])
    for refused in ("crit", "b64"):
        if refused in header:
            raise BadJwt(refused)
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in ALGS:
        raise BadJwt("alg")
    return Jwt(compact=compact, header=header, claims=claims)


def public_key(jwk: object, *, alg: str) -> Key:
    """The key of a JWK, for one algorithm. What else the JWK says is not looked at. Raises BadKey."""
    if not isinstance(jwk, dict) or _PRIVATE & jwk.keys():
        raise BadKey
    kind = _KINDS[alg]
    if any(jwk.get(name) != value for name, value in kind.fixed.items()):
        raise BadKey
    numbers = {name: jwk[name] for name in kind.numbers if isinstance(jwk.get(name), str)}
    if len(numbers) != len(kind.numbers):
        raise BadKey
    try:
        if alg == "PS256" and base64_to_int(numbers["n"]).bit_length() not in _RSA_BITS:
            raise BadKey
        key: Key = kind.key_class.import_key({**kind.fixed, **numbers})
    except (JoseError, ValueError) as error:
        raise BadKey from error
    return key


def keys_for(jwks: Mapping[str, Any], jwt: Jwt) -> list[Key]:
    """The keys of a client's set that may have signed `jwt`: the one of its `kid`, or all that fit its algorithm."""
    kid = jwt.header.get("kid")
    found = []
    for jwk in jwks["keys"]:
        if (kid is None or jwk.get("kid") == kid) and jwk.get("use", "sig") == "sig":
            try:
                if jwk.get("alg", jwt.alg) == jwt.alg:
                    found.append(public_key(jwk, alg=jwt.alg))
            except BadKey:
                continue  # a key for something else
    return found


def registrable(jwks: object) -> bool:
    """Whether a client may register this JWK set: a few public keys, and at least one that can sign an assertion.

    Of two keys with one `kid` nobody could say which is meant.
    """
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not 0 < len(keys) <= MAX_KEYS:
        return False
    if not all(isinstance(jwk, dict) and not _PRIVATE & jwk.keys() for jwk in keys):
        return False
    kids = [jwk["kid"] for jwk in keys if "kid" in jwk]
    if not all(isinstance(kid, str) for kid in kids) or len(kids) != len(set(kids)):
        return False
    return any(_usable(jwk) for jwk in keys)


def instant(claims: Mapping[str, Any], name: str) -> datetime | None:
    """A NumericDate claim (RFC 7519 section 2), None where it is absent. Raises BadJwt."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadJwt(name)
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise BadJwt(name) from error


def check_times(claims: Mapping[str, Any]) -> None:
    """`iat` and `nbf` are hardly ahead, `exp` is not past (RFC 7519 section 4.1). Raises BadJwt."""
    now = clock.now()
    for name in ("iat", "nbf"):
        value = instant(claims, name)
        if value is not None and value > now + timedelta(seconds=SKEW_S):
            raise BadJwt(name)
    expires_at = instant(claims, "exp")
    if expires_at is not None and expires_at <= now:
        raise BadJwt("exp")


def jti(claims: Mapping[str, Any]) -> str:
    """The JWT's own name, which its maker gives no other. Raises BadJwt."""
    value = claims.get("jti")
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_JTI_LENGTH or not value.isprintable():
        raise BadJwt("jti")
    return value


def _usable(jwk: dict[str, Any]) -> bool:
    for alg in ALGS:
        try:
            if jwk.get("use", "sig") == "sig" and jwk.get("alg", alg) == alg:
                public_key(jwk, alg=alg)
                return True
        except BadKey:
            continue
    return False


def _document(segment: str) -> dict[str, Any]:
    try:
        value = json.loads(urlsafe_b64decode(segment.encode("ascii")), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadJwt("JWT") from error
    if not isinstance(value, dict):
        raise BadJwt("JWT")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity, which are no JSON
