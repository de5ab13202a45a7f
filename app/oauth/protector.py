"""Bearer tokens at the resource (RFC 6750): one query says who may do what.

What a token can do is worked out at each request as token ∩ grant ∩ client, so that narrowing or revoking any of
the three counts at once. This is the hot path of every payment: one indexed read, nothing written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flask import g, request

from app.ids import secret_hash
from app.lookup import lookup
from app.oauth.errors import InsufficientScope, InvalidToken, MissingToken

_READ = """
    SELECT token.token_hash, token.client_id, token.member_id, token.grant_id, token.auth_time, token.scopes,
           client.scopes AS client_scopes, client.allowed_shops, given.scopes AS granted_scopes
      FROM unnest(%(keys)s::bytea[]) AS asked
      JOIN oauth_token token ON token.token_hash = asked
      JOIN oauth_client client ON client.id = token.client_id
      LEFT JOIN oauth_grant given ON given.id = token.grant_id
      LEFT JOIN member ON member.id = token.member_id
     WHERE token.kind = 'access'
       AND token.revoked_at IS NULL AND token.expires_at > now()
       AND client.status = 'active'
       AND (token.grant_id IS NULL OR (given.revoked_at IS NULL AND member.status = 'active'))
"""


@dataclass(frozen=True, slots=True)
class Access:
    """What the token of this request gives. `member_id` and `grant_id` are None for a till acting for itself.

    `client_shops` are the shops this client may take payments for, as the office has it now.
    """

    client_id: str
    scopes: frozenset[str]
    member_id: UUID | None
    grant_id: UUID | None
    auth_time: datetime | None
    client_shops: tuple[UUID, ...]


class Bearer:
    """A protection: the request carries a living access token that has every one of `scopes`."""

    def __init__(self, *scopes: str) -> None:
        self.scopes = frozenset(scopes)
        self._named = " ".join(scopes)

    def check(self) -> None:
        access = _read_access(_bearer_token())
        if not self.scopes <= access.scopes:
            raise InsufficientScope(scope=self._named)
        g.access = access

    def describe(self) -> str:
        return f"bearer token: {self._named or 'any'}"


def current_access() -> Access:
    """What this request's token gives. Only for views protected by `Bearer`."""
    access = g.access
    assert isinstance(access, Access)
    return access


def _bearer_token() -> str:
    """The token of the Authorization header, the only place one is looked for (RFC 9700 section 4.3.2)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise MissingToken
    return token


def _read_access(token: str) -> Access:
    row = lookup("tokens", _READ).get(secret_hash(token))
    if row is None:
        raise InvalidToken
    client_id, member_id, grant_id, auth_time, token_scopes, client_scopes, client_shops, granted_scopes = row
    scopes = frozenset(token_scopes).intersection(client_scopes)
    if grant_id is not None:
        scopes = scopes.intersection(granted_scopes)
    return Access(client_id, scopes, member_id, grant_id, auth_time, tuple(client_shops))
