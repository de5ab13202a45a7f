"""Revocation (RFC 7009), of any token by the client it was given to."""

from __future__ import annotations

from authlib.oauth2.rfc7009 import RevocationEndpoint

from app.oauth import tokens
from app.oauth.clients import Client
from app.oauth.errors import InvalidGrant, InvalidRequest
from app.oauth.models import OAuthToken
from app.oauth.request import OAuthRequest


class Revocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib ships no types
    """A token nobody knows is answered like one that was revoked (section 2.2)."""

    def authenticate_token(self, request: OAuthRequest, client: Client) -> OAuthToken | None:
        """The hint is not looked at: section 2.1 has us look among the other kind anyway.

        Raises InvalidRequest, and InvalidGrant for another client's token.
        """
        secret = request.form.get("token")
        if not secret:
            raise InvalidRequest(parameter="token")
        token = tokens.find(secret)
        if token is not None and token.client_id != client.id:
            raise InvalidGrant
        return token

    def revoke_token(self, token: OAuthToken, request: OAuthRequest) -> None:
        tokens.revoke(token)
