"""What a client asks when it sends a member here to sign out (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry
from sqlalchemy import select

from app.db import autocommit
from app.member.sessions import SignedInMember
from app.oauth.clients import Client, find_client
from app.oauth.errors import InvalidIdTokenHint, InvalidRequest, LogoutRedirectMismatch, UnknownClient
from app.oauth.models import SigningKey
from app.oauth.request import Parameters

PARAMETERS = ("id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales")
MAX_LENGTH = 2048
"""Of one parameter: an ID token of ours, or a state, has room in it, and all of them in an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """An ID token of ours that a client shows again. That it has expired does not matter (section 4)."""

    client_id: str
    sub: str
    sid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutRequest:
    """A request in good order. `return_to` is a registered address of `client`, with the state it gave."""

    client: Client | None
    hint: Hint | None
    redirect_uri: str | None
    state: str | None

    @property
    def return_to(self) -> str | None:
        if self.redirect_uri is None or self.state is None:
            return self.redirect_uri
        mark = "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{mark}{urlencode({'state': self.state})}"

    def is_of_session(self, member: SignedInMember) -> bool:
        """Whether the client shows an ID token of this very session: it took part in it."""
        hint = self.hint
        return hint is not None and (hint.sub, hint.sid) == (str(member.id), str(member.session_id))


def read(parameters: Parameters, *, issuer_url: str) -> LogoutRequest:
    """Check the request. `logout_hint` is not looked at: the page says who is signed in.

    Raises InvalidRequest, InvalidIdTokenHint, UnknownClient, LogoutRedirectMismatch.
    """
    values = _values(parameters)
    hint = _hint(values["id_token_hint"], issuer_url=issuer_url) if "id_token_hint" in values else None
    client = _client(values.get("client_id"), hint)
    redirect_uri = values.get("post_logout_redirect_uri")
    # section 3: exactly a registered one, and only with a client it is registered for
    if redirect_uri is not None and (client is None or redirect_uri not in client.post_logout_redirect_uris):
        raise LogoutRedirectMismatch
    return LogoutRequest(client=client, hint=hint, redirect_uri=redirect_uri, state=values.get("state"))


def _values(parameters: Parameters) -> dict[str, str]:
    """The parameters that mean something here; an empty one is left out (RFC 6749 section 3.1)."""
    unusable = parameters.unusable()
    if unusable in PARAMETERS:
        raise InvalidRequest(parameter=unusable)
    values = {name: parameters.data[name] for name in PARAMETERS if parameters.data.get(name)}
    for name, value in values.items():
        if len(value) > MAX_LENGTH:
            raise InvalidRequest(parameter=name)
    return values


def _client(client_id: str | None, hint: Hint | None) -> Client | None:
    """The client that asks, which must be the one the hint was issued to (section 2)."""
    if hint is not None and client_id not in (None, hint.client_id):
        raise InvalidIdTokenHint
    asks = hint.client_id if hint else client_id
    if asks is None:
        return None
    client = find_client(asks)
    if client is None:
        raise UnknownClient
    return client


def _hint(token: str, *, issuer_url: str) -> Hint:
    """Raises InvalidIdTokenHint for anything but an ID token that one of our keys has signed, retired ones too."""
    try:
        header = jws.extract_compact(token.encode()).headers()
        key = _key(header["kid"])
        claims: dict[str, Any] = jwt.decode(token, JWKRegistry.import_key(key), algorithms=[key["alg"]]).claims
        if header.get("typ", "JWT") != "JWT" or claims["iss"] != issuer_url or not isinstance(claims["aud"], str):
            raise InvalidIdTokenHint  # another kind of token, such as a logout token
        return Hint(client_id=claims["aud"], sub=str(UUID(claims["sub"])), sid=claims.get("sid"))
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidIdTokenHint from error


def _key(kid: str) -> dict[str, Any]:
    """The public key of this id, whatever has become of it since. Raises KeyError. One read."""
    with autocommit().connect() as connection:
        key = connection.execute(select(SigningKey.public_jwk).where(SigningKey.kid == kid)).scalar_one_or_none()
    if key is None:
        raise KeyError
    found: dict[str, Any] = key
    return found
