"""What an authorization request must say, beyond what Authlib asks of it.

Whatever is refused here goes back to the client's redirect URI, which was checked before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError

from app.issuer import issuer_today
from app.oauth import id_token_hint, protected_resource
from app.oauth.clients import Client
from app.oauth.details import BadDetails, PaymentAsk, payment_ask
from app.oauth.dpop import JKT
from app.oauth.profiles import Profile
from app.oauth.request import OAuthRequest

# RFC 7636 section 4.2: BASE64URL without padding of a SHA-256
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_PROMPTS = frozenset({"none", "login", "consent", "select_account"})
_NOT_SUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}
_MOST_CHARACTERS = {"state": 2048, "nonce": 256, "id_token_hint": 4096}
"""Both are kept or sent back as they came, and a hint is worked on: enough for every known client, and an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a client asks of a member, once it is found in order."""

    scopes: frozenset[str]
    code_challenge: str | None
    """None only where the profile can do without PKCE."""
    nonce: str | None
    prompt: frozenset[str]
    max_age_s: int | None
    member_id: UUID | None = None
    """The member it must be, where the client says whom it means (`id_token_hint`)."""
    login_hint: str | None = None
    """What the client believes the member signs in with; shown in the field, never looked up."""
    detail: PaymentAsk
    """The limits of payment it asks for (RFC 9396)."""
    dpop_jkt: str | None = None
    """The key that the code's redeemer must show (RFC 9449 section 10)."""


class AuthorizationRules:
    """An Authlib extension of the code grant: checks the rest of the request and leaves it as `grant.ask`.

    One hook for every rule, since Authlib runs hooks in no order. Its own CodeChallenge would let a request
    without PKCE, or with `plain`, have a code.
    """

    def __call__(self, grant: Any) -> None:
        grant.register_hook("after_validate_authorization_request_payload", self.check)

    def check(self, grant: Any, _: object) -> None:
        """Raises OAuth2Error, which Authlib completes with the redirect URI and `state`."""
        request: OAuthRequest = grant.request
        client: Client = request.client
        data: Mapping[str, str] = request.payload.data
        if unusable := request.payload.unusable():
            raise InvalidRequestError(f"{unusable} is given twice or holds control characters")
        if client.profile.pushed and request.pushed_as is None:  # FAPI 2.0 Security Profile 5.3.2.2
            raise InvalidRequestError("this client must push its requests to the PAR endpoint")
        for name, error in _NOT_SUPPORTED.items():
            if name in data:  # OpenID Connect Core 6.1, 6.2, 7.2.1
                raise OAuth2Error(error=error)
        for name, most in _MOST_CHARACTERS.items():
            if len(data.get(name, "")) > most:
                raise InvalidRequestError(f"{name} is longer than {most} characters")
        if data.get("response_mode", "query") != "query":
            raise InvalidRequestError("response_mode must be query")
        issuer_url: str = grant.server.settings.issuer_url
        if not protected_resource.is_ours(request.payload.datalist.get("resource", []), issuer_url=issuer_url):
            raise OAuth2Error("resource must be the issuer URL, exactly", error="invalid_target")
        scopes = frozenset(request.scope.split())
        grant.ask = Ask(
            scopes=scopes,
            code_challenge=_code_challenge(data, profile=client.profile, signs_in="openid" in scopes),
            nonce=_nonce(data, profile=client.profile),
            prompt=_prompt(data),
            max_age_s=_max_age(data),
            member_id=_member_meant(data, client_id=client.id, issuer_url=issuer_url),
            login_hint=data.get("login_hint", "")[:254] or None,
            detail=_detail(grant, data),
            dpop_jkt=_dpop_jkt(data),
        )


def _code_challenge(data: Mapping[str, str], *, profile: Profile, signs_in: bool) -> str | None:
    """PKCE with S256 (RFC 9700 section 2.1.1); absent, the method would mean `plain`.

    Where a profile can do without, the nonce in an ID token stands in for it; so without an ID token it cannot.
    """
    if not profile.pkce and signs_in and not {"code_challenge", "code_challenge_method"}.intersection(data):
        return None
    if data.get("code_challenge_method") != "S256":
        raise InvalidRequestError("code_challenge_method must be S256")
    challenge = data.get("code_challenge", "")
    if not _CHALLENGE.fullmatch(challenge):
        raise InvalidRequestError("code_challenge must be the base64url SHA-256 of the code_verifier")
    return challenge


def _dpop_jkt(data: Mapping[str, str]) -> str | None:
    jkt = data.get("dpop_jkt")
    if jkt is not None and not JKT.fullmatch(jkt):
        raise InvalidRequestError("dpop_jkt must be the base64url SHA-256 thumbprint of the DPoP key")
    return jkt


def _nonce(data: Mapping[str, str], *, profile: Profile) -> str | None:
    nonce = data.get("nonce")
    if profile.nonce and not nonce:
        raise InvalidRequestError("this client must send a nonce")
    return nonce


def _member_meant(data: Mapping[str, str], *, client_id: str, issuer_url: str) -> UUID | None:
    hint = data.get("id_token_hint")
    if hint is None:
        return None
    try:
        return id_token_hint.subject(hint, client_id=client_id, issuer_url=issuer_url)
    except id_token_hint.BadHint as error:
        raise InvalidRequestError("id_token_hint must be an ID token of ours for this client") from error


def _prompt(data: Mapping[str, str]) -> frozenset[str]:
    prompt = frozenset(data.get("prompt", "").split())
    if not prompt <= _PROMPTS or ("none" in prompt and len(prompt) > 1):  # OpenID Connect Core 3.1.2.1
        raise InvalidRequestError("prompt must be none alone, or some of login, consent, select_account")
    return prompt


def _max_age(data: Mapping[str, str]) -> int | None:
    value = data.get("max_age")
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise InvalidRequestError("max_age must be a number of seconds")
    return int(value)


def _detail(grant: Any, data: Mapping[str, str]) -> PaymentAsk:
    try:
        return payment_ask(
            data.get("authorization_details"),
            scopes=grant.request.scope.split(),
            allowed_shops=grant.request.client.allowed_shops,
            controls=grant.server.controls,
            today=issuer_today(),
        )
    except BadDetails as error:
        raise OAuth2Error(f"authorization_details: {error}", error="invalid_authorization_details") from error
