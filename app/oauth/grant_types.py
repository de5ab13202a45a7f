"""The grant types, as Authlib frames them; what they do is in `codes` and `tokens`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc8628 import DeviceCodeGrant
from authlib.oidc.core.grants import OpenIDToken
from joserfc.jwk import KeySet

from app import clock
from app.oauth import codes, device, keys, tokens
from app.oauth.authorization_request import Ask
from app.oauth.clients import Client
from app.oauth.errors import InvalidRequest, InvalidScope, UnauthorizedClient
from app.oauth.request import OAuthRequest
from app.oauth.scopes import own
from app.settings import Settings

ID_TOKEN_LIFE_S = keys.MAX_LIFE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The member's answer to an authorization request: who, under which grant, and exactly what may be done.

    Authlib hands it through to `save_authorization_code` as the user; scopes set on its request are not kept.
    """

    member_id: UUID
    grant_id: UUID
    scopes: tuple[str, ...]
    auth_time: datetime
    session_id: UUID | None = None
    family_id: UUID | None = None
    """Of the tokens that will come of it, where that is settled already."""


class Code(grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib ships no types
    """Authorization code with PKCE."""

    ask: Ask

    def validate_no_multiple_request_parameter(self, request: OAuthRequest) -> None:
        """Left to AuthorizationRules, whose refusals go back to the client with `state`."""

    def generate_authorization_code(self) -> str:
        return codes.new_code()

    def save_authorization_code(self, code: str, request: OAuthRequest) -> None:
        approval: Approval = request.user
        codes.save(
            code,
            client_id=request.client.id,
            grant_id=approval.grant_id,
            member_id=approval.member_id,
            scopes=approval.scopes,
            redirect_uri=request.payload.redirect_uri,
            code_challenge=self.ask.code_challenge,
            nonce=self.ask.nonce,
            auth_time=approval.auth_time,
            dpop_jkt=self.ask.dpop_jkt,
            session_id=approval.session_id,
            family_id=approval.family_id,
        )

    def query_authorization_code(self, code: str, client: Client) -> codes.Redeemed:
        form = self.request.form
        return codes.redeem(
            code,
            client_id=client.id,
            redirect_uri=form.get("redirect_uri", ""),
            verifier=form.get("code_verifier", ""),
            jkt=self.request.jkt,
        )

    def authenticate_user(self, authorization_code: codes.Redeemed) -> UUID:
        return authorization_code.member_id

    def generate_token(self, **_: Any) -> dict[str, Any]:
        code: codes.Redeemed = self.request.authorization_code
        return tokens.issue_to_member(
            client=self.request.client,
            grant_id=code.grant_id,
            family_id=code.family_id,
            scopes=code.scopes,
            auth_time=code.auth_time,
            jkt=self.request.jkt,
            controls=self.server.controls,
        ).as_answer()

    def delete_authorization_code(self, authorization_code: codes.Redeemed) -> None:
        """Kept, spent, so that a second redemption is known for what it is."""


class DeviceCode(DeviceCodeGrant):  # type: ignore[misc]  # Authlib ships no types
    """A device that polls while a member types its user code (RFC 8628 section 3.4)."""

    def validate_token_request(self) -> None:
        """Authlib's own tells a client of other clients' codes, and a stranger of a missing one.

        Raises UnauthorizedClient, InvalidRequest, and what `device.redeem` raises.
        """
        client: Client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClient
        device_code = self.request.form.get("device_code")
        if not device_code:
            raise InvalidRequest(parameter="device_code")
        redeemed = device.redeem(device_code, client_id=client.id)
        self.request.client, self.request.user = client, redeemed.member_id
        self.request.authorization_code = self.request.credential = redeemed  # IdToken looks at the first of them

    generate_token = Code.generate_token
    """The same tokens come of either code."""


class Refresh(grants.RefreshTokenGrant):  # type: ignore[misc]  # Authlib ships no types
    """Refresh, with rotation where it is of use."""

    def authenticate_refresh_token(self, refresh_token: str) -> tokens.Presented:
        key = self.server.settings.secret_key
        return tokens.open_refresh(refresh_token, client=self.request.client, jkt=self.request.jkt, key=key)

    def authenticate_user(self, refresh_token: tokens.Presented) -> UUID | None:
        return refresh_token.row.member_id

    def issue_token(self, user: UUID, refresh_token: tokens.Presented) -> dict[str, Any]:
        scope = self.request.payload.scope or refresh_token.get_scope()
        return tokens.refresh(
            refresh_token,
            client=self.request.client,
            scopes=scope.split(),
            jkt=self.request.jkt,
            key=self.server.settings.secret_key,
            controls=self.server.controls,
        ).as_answer()

    def revoke_old_credential(self, refresh_token: tokens.Presented) -> None:
        """Spent by `refresh`, if at all."""


class ClientCredentials(grants.ClientCredentialsGrant):  # type: ignore[misc]  # Authlib ships no types
    """A till or service acting for itself."""

    def validate_requested_scope(self) -> None:
        """Only scopes a program may have for itself. Raises InvalidScope."""
        if not self._own or not set(self._own).issuperset((self.request.payload.scope or "").split()):
            raise InvalidScope

    def generate_token(self, **_: Any) -> dict[str, Any]:
        asked = (self.request.payload.scope or "").split()
        return tokens.issue_to_client(
            client=self.request.client, scopes=asked or self._own, jkt=self.request.jkt
        ).as_answer()

    @property
    def _own(self) -> tuple[str, ...]:
        client: Client = self.request.client
        return own(client.askable)


class IdToken(OpenIDToken):  # type: ignore[misc]  # Authlib ships no types
    """An ID token beside the access token of a code, where `openid` was given (OpenID Connect Core 2)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def resolve_client_private_key(self, client: Client) -> KeySet:
        """In a set of one, since joserfc then writes its `kid` into the header: no second look for the key."""
        return KeySet([keys.current_key(alg=client.id_token_alg, sealing_key=self._settings.sealing_key)])

    def get_client_algorithm(self, client: Client) -> str:
        return client.id_token_alg

    def get_encode_header(self, client: Client) -> dict[str, Any]:
        return {"alg": client.id_token_alg}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        now = int(clock.now().timestamp())
        return {"iss": self._settings.issuer_url, "aud": client.id, "iat": now, "exp": now + ID_TOKEN_LIFE_S}

    def get_authorization_code_claims(self, authorization_code: codes.Redeemed) -> dict[str, Any]:
        """With the session it comes of, so that its end can be told (OpenID Connect Back-Channel Logout 2.1)."""
        claims: dict[str, Any] = super().get_authorization_code_claims(authorization_code)
        sid = authorization_code.session_id
        return claims if sid is None else {**claims, "sid": str(sid)}

    def generate_user_info(self, user: UUID, scope: str) -> dict[str, Any]:
        """Who it is; everything else is at the userinfo endpoint."""
        return {"sub": str(user)}
