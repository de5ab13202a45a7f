"""`id_token_hint`: an ID token of ours that a client shows again, to say which member or which session it means
(OpenID Connect Core 3.1.2.1, RP-Initiated Logout 2).

An expired one is as good: it proves nothing about now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry
from sqlalchemy import select

from app.db import autocommit
from app.oauth.models import SigningKey


class BadHint(ValueError):
    """It is no ID token of ours, or not for this client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What such an ID token says: to which client it was given, and of whom and which session it speaks."""

    client_id: str
    member_id: UUID
    sid: str | None


def subject(token: str, *, client_id: str, issuer_url: str) -> UUID:
    """The member of an ID token that we gave this client, however long ago. One read. Raises BadHint.

    One for another client is refused, so that no app can ask whether the member of a token it found is signed in here.
    """
    hint = read(token, issuer_url=issuer_url)
    if hint.client_id != client_id:
        raise BadHint
    return hint.member_id


def read(token: str, *, issuer_url: str) -> Hint:
    """What an ID token says that one of our keys has signed, retired ones too. One read. Raises BadHint."""
    try:
        header = jws.extract_compact(token.encode()).headers()
        key = _key(header["kid"])
        claims: dict[str, Any] = jwt.decode(token, JWKRegistry.import_key(key), algorithms=[key["alg"]]).claims
        # RFC 8725 section 3.11: another kind of token that we sign, such as a logout token, is none
        if header.get("typ", "JWT") != "JWT" or claims["iss"] != issuer_url or not isinstance(claims["aud"], str):
            raise BadHint
        return Hint(client_id=claims["aud"], member_id=UUID(claims["sub"]), sid=claims.get("sid"))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadHint from error


def _key(kid: str) -> dict[str, Any]:
    """The public key of this id, whatever has become of it since. Raises KeyError."""
    if not isinstance(kid, str) or "\0" in kid:
        raise KeyError
    with autocommit().connect() as connection:
        key = connection.execute(select(SigningKey.public_jwk).where(SigningKey.kid == kid)).scalar_one_or_none()
    if key is None:
        raise KeyError
    found: dict[str, Any] = key
    return found
