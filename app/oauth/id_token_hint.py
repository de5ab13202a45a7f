"""`id_token_hint` (OpenID Connect Core 3.1.2.1): which member a client means, by an ID token it was given."""

from __future__ import annotations

from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import select

from app.db import autocommit
from app.oauth.models import SigningKey


class BadHint(ValueError):
    """It is no ID token of ours for this client."""


def subject(hint: str, *, client_id: str, issuer_url: str) -> UUID:
    """The member of an ID token that we gave this client, however long ago. One read. Raises BadHint.

    An expired one is as good: it says whom the client means, and proves nothing. One for another client is refused,
    so that no app can ask whether the member of a token it found is signed in here.
    """
    with autocommit().connect() as connection:
        keys = connection.scalars(select(SigningKey.public_jwk)).all()
    try:
        key_set = KeySet.import_key_set({"keys": list(keys)})
        claims = jwt.decode(hint, key_set, algorithms=sorted({key["alg"] for key in keys})).claims
        if claims["iss"] != issuer_url or claims["aud"] != client_id:
            raise BadHint
        return UUID(claims["sub"])
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadHint from error
