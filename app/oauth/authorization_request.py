"""What an authorization request must say, beyond what Authlib asks of it.

Whatever is refused here goes back to the client's redirect URI, which was checked before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError

from app.issuer import issuer_today
from app.oauth.details import BadDetails, PaymentAsk, payment_ask
from app.oauth.dpop import JKT

# RFC 7636 section 4.2: BASE64URL without padding of a SHA-256
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_PROMPTS = frozenset({"none", "login", "consent", "select_account"})
_NOT_SUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a client asks of a member, once it is found in order."""

    scopes: frozenset[str]
    code_challenge: str
    nonce: str | None
    prompt: frozenset[str]
    max_age_s: int | None
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
        payload = grant.request.payload
        if unusable := payload.unusable():
            raise InvalidRequestError(f"{unusable} is given twice or holds control characters")
        data: Mapping[str, str] = payload.data
        for name, error in _NOT_SUPPORTED.items():
            if name in data:  # OpenID Connect Core 6.1, 6.2, 7.2.1
                raise OAuth2Error(error=error)
        if data.get("response_mode", "query") != "query":
            raise InvalidRequestError("response_mode must be query")
        grant.ask = Ask(
            scopes=frozenset(grant.request.scope.split()),
            code_challenge=_code_challenge(data),
            nonce=data.get("nonce"),
            prompt=_prompt(data),
            max_age_s=_max_age(data),
            detail=_detail(grant, data),
            dpop_jkt=_dpop_jkt(data),
        )


def _code_challenge(data: Mapping[str, str]) -> str:
    """PKCE with S256, of every client (RFC 9700 section 2.1.1); absent, the method would mean `plain`."""
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
