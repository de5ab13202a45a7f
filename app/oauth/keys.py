"""The key that signs ID tokens: made when first needed, kept sealed, published as a JWK set (RFC 7517)."""

from __future__ import annotations

import json
from typing import Any

from joserfc.jwk import ECKey
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from app.db import session
from app.oauth.models import SigningKey
from app.seal import seal, unseal

ALG = "ES256"


def current_key(*, sealing_key: bytes) -> ECKey:
    """The private key that signs now; its `kid` is its thumbprint (RFC 7638). Makes it where there is none.

    Runs in the caller's transaction. Raises SealBroken where KUMIAI_SEALING_KEY is not the one it was sealed with.
    """
    row = _current()
    if row is None:
        _make(sealing_key)
        row = _current()
    assert row is not None, "just made, here or by a process that was faster"
    key = ECKey.import_key(json.loads(unseal(sealing_key, row.private_sealed)))
    key.ensure_kid()
    return key


def public_keys(*, sealing_key: bytes) -> dict[str, Any]:
    """Every key a token may still be signed with, as a JWK set. Runs in the caller's transaction."""
    current_key(sealing_key=sealing_key)
    return {"keys": list(session().scalars(select(SigningKey.public_jwk).order_by(SigningKey.created_at)))}


def _current() -> SigningKey | None:
    return session().scalar(select(SigningKey).where(SigningKey.alg == ALG, SigningKey.state == "current"))


def _make(sealing_key: bytes) -> None:
    """Insert a current key unless another process does so first; then its transaction is waited for."""
    key = ECKey.generate_key("P-256")
    kid = key.thumbprint()
    row = {
        "kid": kid,
        "alg": ALG,
        "state": "current",
        "private_sealed": seal(sealing_key, json.dumps(key.as_dict(private=True)).encode()),
        "public_jwk": {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALG},
    }
    statement = insert(SigningKey).values(row)
    session().execute(statement.on_conflict_do_nothing(index_elements=["alg"], index_where=text("state = 'current'")))
