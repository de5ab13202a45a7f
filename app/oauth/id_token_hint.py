"""`id_token_hint` (OpenID Connect Core 3.1.2.1, RP-Initiated Logout 2): an ID token a client shows again."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import select

from app.db import autocommit
from app.oauth.models import SigningKey


class BadHint(ValueError):
    """It is no ID token of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Whom an ID token was of, for which client, and in which session."""

    client_id: str
    member_id: UUID
    sid: str | None


def read(token: str, *, issuer_url: str) -> Hint:
    """An ID token that one of our keys has signed, a retired one too, however long ago. One read. Raises BadHint.

    An expired one is as good: it says whom the client means, and proves nothing. What the header says is not taken to
    the database: anybody can write it.
    """
    with autocommit().connect() as connection:
        keys = connection.scalars(select(SigningKey.public_jwk)).all()
    try:
        key_set = KeySet.import_key_set({"keys": list(keys)})
        decoded = jwt.decode(token, key_set, algorithms=sorted({key["alg"] for key in keys}))
        claims = decoded.claims
        if decoded.header.get("typ", "JWT") != "JWT":  # another kind of token, such as a logout token
            raise BadHint
        if claims["iss"] != issuer_url or not isinstance(claims["aud"], str):
            raise BadHint
        return Hint(client_id=claims["aud"], member_id=UUID(claims["sub"]), sid=claims.get("sid"))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadHint from error


def subject(token: str, *, client_id: str, issuer_url: str) -> UUID:
    """The member of an ID token that we gave this client. Raises BadHint.

    One for another client is refused, so that no app can ask whether the member of a token it found is signed in here.
    """
    hint = read(token, issuer_url=issuer_url)
    if hint.client_id != client_id:
        raise BadHint
    return hint.member_id
