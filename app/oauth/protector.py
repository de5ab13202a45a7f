"""Tokens at the resource, as Bearer (RFC 6750) or with a DPoP proof (RFC 9449): one query says who may do what.

What a token can do is worked out at each request as token ∩ grant ∩ client, so that narrowing or revoking any of
the three counts at once. This is the hot path of every payment: one indexed read, nothing written. Only a token bound
to a key costs more: its proof is verified, and noted so that it is not accepted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from flask import current_app, g, request

from app.ids import same, secret_hash
from app.lookup import lookup
from app.oauth import dpop
from app.oauth.errors import InsufficientScope, InvalidDpopProof, InvalidToken, MissingToken, ProofRefused
from app.oauth.scopes import SCOPES, Consent

_READ = """
    SELECT token.token_hash, token.client_id, token.member_id, token.grant_id, token.auth_time, token.scopes, token.jkt,
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
    jkt: str | None = None
    """The thumbprint of the key it is bound to."""

    @property
    def scheme(self) -> str:
        """How the token is shown."""
        return "Bearer" if self.jkt is None else "DPoP"

    @property
    def member(self) -> UUID:
        """The member it acts for. Only where the view's protection asks for a scope that a member gave."""
        assert self.member_id is not None
        return self.member_id


class Bearer:
    """A protection: the request carries a living access token that has every one of `scopes`.

    One that is bound to a key comes in the scheme DPoP, any other in the scheme Bearer; never the other way round.

    A scope that members are asked for counts in a token that acts for a member. A client may also get `payment` for
    itself (`app.oauth.scopes.own`); such a token passes only where a view says `for_itself`, and there no other does.
    """

    def __init__(self, *scopes: str, for_itself: bool = False) -> None:
        self.scopes = frozenset(scopes)
        self.named = " ".join(scopes)
        self._for_itself = for_itself
        self._for_a_member = not for_itself and any(SCOPES[scope] is not Consent.NONE for scope in scopes)

    @property
    def ways(self) -> tuple[Bearer, ...]:
        """The kinds of token that pass, each of which is enough."""
        return (self,)

    def admits(self, access: Access) -> bool:
        """Whether a token that is good may come in here."""
        if access.member_id is None:
            return self.scopes <= access.scopes and not self._for_a_member
        return self.scopes <= access.scopes and not self._for_itself

    def check(self) -> None:
        _check(self)

    def describe(self) -> str:
        itself = ", by a client for itself" if self._for_itself else ""
        return f"bearer token: {self.named or 'any'}{itself}"


class AnyOf:
    """A protection: the request carries a token that one of these would let in."""

    def __init__(self, *ways: Bearer) -> None:
        self.ways = ways
        self.named = " ".join(dict.fromkeys(way.named for way in ways))

    def admits(self, access: Access) -> bool:
        return any(way.admits(access) for way in self.ways)

    def check(self) -> None:
        _check(self)

    def describe(self) -> str:
        return " or ".join(way.describe() for way in self.ways)


def _check(protection: Bearer | AnyOf) -> None:
    scheme, token = _shown()
    access = _read_access(token, scheme=scheme)
    if access.scheme != scheme:  # a bound token as Bearer would be as good as unbound (RFC 9449 section 7.2)
        raise InvalidToken(scheme=access.scheme)
    if access.jkt is not None:
        _check_proof(token, jkt=access.jkt)
    if not protection.admits(access):
        raise InsufficientScope(scheme=scheme, scope=protection.named)
    g.access = access


def current_access() -> Access:
    """What this request's token gives. Only for views protected by `Bearer`."""
    access = g.access
    assert isinstance(access, Access)
    return access


def _shown() -> tuple[str, str]:
    """Scheme and token of the Authorization header, the only place one is looked for (RFC 9700 section 4.3.2)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    known = {"bearer": "Bearer", "dpop": "DPoP"}.get(scheme.lower())
    if known is None or not token:
        raise MissingToken
    return known, token


def _read_access(token: str, *, scheme: str) -> Access:
    row = lookup("tokens", _READ).get(secret_hash(token))
    if row is None:
        raise InvalidToken(scheme=scheme)
    client_id, member_id, grant_id, auth_time, token_scopes, jkt, client_scopes, client_shops, granted_scopes = row
    scopes = frozenset(token_scopes).intersection(client_scopes)
    if grant_id is not None:
        scopes = scopes.intersection(granted_scopes)
    return Access(client_id, scopes, member_id, grant_id, auth_time, tuple(client_shops), jkt)


def _check_proof(token: str, *, jkt: str) -> None:
    """The request has a new proof for it, by the key that the token is bound to (RFC 9449 section 7.1)."""
    header = request.headers.get(dpop.HEADER)
    if header is None:
        raise ProofRefused(parameter=dpop.HEADER)
    try:
        # behind a proxy the address of the request is not the one the client called
        url = current_app.config["KUMIAI_ISSUER_URL"] + quote(request.path)
        proof = dpop.check(header, method=request.method, url=url, token=token)
        if not same(proof.jkt.encode(), jkt.encode()):
            raise InvalidToken(scheme="DPoP")
        proof.spend()
    except InvalidDpopProof as refusal:
        raise ProofRefused(parameter=str(refusal.detail["parameter"])) from refusal
