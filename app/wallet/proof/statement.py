"""Signs the statement of a day with the server's current key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc import jwt

from app.oauth import keys
from app.wallet.proof.commitments import ALG, STATEMENT_TYP


def sign(claims: Mapping[str, Any], *, sealing_key: bytes) -> tuple[str, dict[str, Any]]:
    """A compact JWS of `claims`, and the public key it is checked with. Raises SealBroken.

    The key's row is deleted a year after it retired; what it signed must be checkable for as long as anyone keeps it,
    so the key is kept beside it.
    """
    key = keys.current_key(alg=ALG, sealing_key=sealing_key)
    signed = jwt.encode({"typ": STATEMENT_TYP, "alg": ALG, "kid": key.kid}, dict(claims), key, [ALG])
    public = key.as_dict(private=False)
    return signed, {
        **{name: public[name] for name in ("kty", "crv", "x", "y")},
        "kid": key.kid,
        "use": "sig",
        "alg": ALG,
    }
