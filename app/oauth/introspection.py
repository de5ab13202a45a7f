"""Introspection (RFC 7662), of any token by the client it was given to; as a signed JWT where asked (RFC 9701)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from flask import request as http_request

from app import clock
from app.ids import secret_hash
from app.lookup import lookup
from app.oauth import keys
from app.oauth.clients import Client
from app.oauth.details import payment_detail
from app.oauth.errors import InvalidClient, InvalidRequest
from app.oauth.ports import Mandate
from app.oauth.request import OAuthRequest
from app.oauth.scopes import in_order

JSON = "application/json"
JWT_TYPE = "token-introspection+jwt"
JWT = f"application/{JWT_TYPE}"

Answer = dict[str, Any]

# A refresh token that was spent is over, although the grace for a lost answer may still shield it.
_READ = """
    SELECT token.token_hash, token.kind, token.client_id, token.member_id, token.scopes, client.scopes, given.scopes,
           token.issued_at, token.expires_at, token.auth_time, token.jkt, given.mandate
      FROM unnest(%(keys)s::bytea[]) AS asked
      JOIN oauth_token token ON token.token_hash = asked
      JOIN oauth_client client ON client.id = token.client_id
      LEFT JOIN oauth_grant given ON given.id = token.grant_id
      LEFT JOIN member ON member.id = token.member_id
     WHERE token.revoked_at IS NULL AND token.rotated_at IS NULL AND token.expires_at > now()
       AND client.status = 'active'
       AND (token.grant_id IS NULL OR (given.revoked_at IS NULL AND member.status = 'active'))
"""


class Living(NamedTuple):
    """A token that can be used now."""

    kind: str
    client_id: str
    member_id: UUID | None
    token_scopes: list[str]
    client_scopes: list[str]
    granted_scopes: list[str] | None
    issued_at: datetime
    expires_at: datetime
    auth_time: datetime | None
    jkt: str | None
    mandate: dict[str, Any] | None

    @property
    def scopes(self) -> tuple[str, ...]:
        """token ∩ grant ∩ client, as at every use of it."""
        granted = self.token_scopes if self.granted_scopes is None else self.granted_scopes
        return in_order(set(self.token_scopes).intersection(self.client_scopes, granted))


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]  # Authlib ships no types
    """What is not a living token of the asking client's is not active, and no more is said (section 2.2)."""

    def create_endpoint_response(self, request: OAuthRequest) -> tuple[int, Answer | str, list[tuple[str, str]]]:
        client = self.authenticate_endpoint_client(request)
        token = self.authenticate_token(request, client)
        answer = {"active": False} if token is None else self._describe(token)
        # RFC 9110 section 12.5.5: caches are told that the form depends on what was asked for
        vary = ("Vary", "Accept")
        if http_request.accept_mimetypes.best_match([JSON, JWT], JSON) == JWT:
            return 200, self._signed(answer, client), [("Content-Type", JWT), vary]
        return 200, answer, [("Content-Type", JSON), vary]

    def authenticate_endpoint_client(self, request: OAuthRequest) -> Client:
        """Raises InvalidClient, for public clients too: anybody knows their id, and section 2.1 wants a proof."""
        client: Client = super().authenticate_endpoint_client(request)
        if not client.profile.confidential:
            raise InvalidClient
        return client

    def authenticate_token(self, request: OAuthRequest, client: Client) -> Living | None:
        """The hint is not looked at: section 2.1 has us look among the other kind anyway. Raises InvalidRequest."""
        secret = request.form.get("token")
        if not secret:
            raise InvalidRequest(parameter="token")
        row = lookup("introspection", _READ).get(secret_hash(secret))
        if row is None:
            return None
        token = Living(*row)
        return token if token.client_id == client.id and token.scopes else None

    def _describe(self, token: Living) -> Answer:
        """Section 2.2, with `cnf` of RFC 9449 section 6.2, `auth_time` of RFC 9470, details of RFC 9396 section 9.2."""
        answer: Answer = {
            "active": True,
            "scope": " ".join(token.scopes),
            "client_id": token.client_id,
            "iss": self.server.settings.issuer_url,
            "aud": self.server.settings.issuer_url,
            "iat": int(token.issued_at.timestamp()),
            "exp": int(token.expires_at.timestamp()),
        }
        if token.member_id is not None:
            answer["sub"] = str(token.member_id)
        if token.kind == "access":
            answer["token_type"] = "DPoP" if token.jkt else "Bearer"
        if token.jkt is not None:
            answer["cnf"] = {"jkt": token.jkt}
        if token.auth_time is not None:
            answer["auth_time"] = int(token.auth_time.timestamp())
        if token.mandate is not None and "payment" in token.scopes:
            mandate = Mandate.from_stored(token.mandate)
            answer["authorization_details"] = [payment_detail(mandate, controls=self.server.controls)]
        return answer

    def _signed(self, answer: Answer, client: Client) -> str:
        """RFC 9701 section 5. Without `sub` and `exp` at its top it cannot pass for an ID or access token."""
        settings = self.server.settings
        claims = {
            "iss": settings.issuer_url,
            "aud": client.id,
            "iat": int(clock.now().timestamp()),
            "token_introspection": answer,
        }
        return keys.sign(claims, typ=JWT_TYPE, alg=client.id_token_alg, sealing_key=settings.sealing_key)
