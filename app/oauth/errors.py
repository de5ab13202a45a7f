"""The refusals of OAuth 2. Codes are those of RFC 6749 section 5.2 and RFC 6750 section 3.1."""

from __future__ import annotations

from typing import ClassVar

from flask import current_app

from app.errors import Detail, DomainError
from app.oauth.jws import ALGS
from app.web.locale import translate


class OAuthRefusal(DomainError):
    """A refusal of the token or the revocation endpoint, answered as RFC 6749 section 5.2 says."""

    status = 400
    sentence: ClassVar[str | None] = None
    """The sentence that says it, where `code` has several."""


class InvalidRequest(OAuthRefusal):
    """A parameter is missing, given twice or malformed."""

    code = "invalid_request"


class InvalidClient(OAuthRefusal):
    """The client did not prove who it is."""

    code, status = "invalid_client", 401

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Basic realm="kumiai"'}


class InvalidClientAssertion(InvalidClient):
    """The client's assertion is not accepted; `parameter` names the header or claim that is at fault."""

    sentence = "invalid_client_assertion"


class UnauthorizedClient(OAuthRefusal):
    """This kind of client may not use that grant type."""

    code = "unauthorized_client"


class UnsupportedGrantType(OAuthRefusal):
    """No such grant type here."""

    code = "unsupported_grant_type"


class InvalidScope(OAuthRefusal):
    """More was asked than is known, or than this client or token may have."""

    code = "invalid_scope"


class InvalidAuthorizationDetails(OAuthRefusal):
    """Authorization details that are not in order, or where none are taken (RFC 9396); `problem` says what is wrong."""

    code = "invalid_authorization_details"


class InvalidGrant(OAuthRefusal):
    """The code or refresh token is unknown, expired, spent, revoked or another's. The caller is not told which."""

    code = "invalid_grant"


class GrantBurnt(InvalidGrant):
    """The same, where what the attempt caused must stay: a code spent by it, a family of tokens revoked by it."""

    keeps_changes = True


class AuthorizationPending(OAuthRefusal):
    """The member has not answered the device's request yet (RFC 8628 section 3.5). That it polled stays noted."""

    code, keeps_changes = "authorization_pending", True


class SlowDown(OAuthRefusal):
    """The same, and the device polls too fast: its interval grew by five seconds (RFC 8628 section 3.5)."""

    code, keeps_changes = "slow_down", True


class AccessDenied(OAuthRefusal):
    """The member did not allow what the device asked for."""

    code = "access_denied"


class ExpiredToken(OAuthRefusal):
    """The device code expired before the member answered, or before the device came for its tokens."""

    code = "expired_token"


class InvalidDpopProof(OAuthRefusal):
    """The DPoP proof is missing or not accepted (RFC 9449 section 5); `parameter` names what is at fault."""

    code = "invalid_dpop_proof"


class TokenRefused(DomainError):
    """A refusal of the resource, with a challenge in the scheme that the token came in (RFC 6750 section 3)."""

    status = 401

    def __init__(self, *, scheme: str = "Bearer", **detail: Detail) -> None:
        super().__init__(**detail)
        self._scheme = scheme

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": _challenge(self._scheme, error=self.code, **self._parameters())}

    def _parameters(self) -> dict[str, str]:
        """What the challenge says besides."""
        return {}


class MissingToken(TokenRefused):
    """No token was sent: challenges without an error code (RFC 6750 section 3.1), of either scheme."""

    code = "unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": f"{_challenge('Bearer')}, {_challenge('DPoP')}"}


class InvalidToken(TokenRefused):
    """The token is unknown, expired or revoked, its client or member was stopped, or it is bound to another key."""

    code = "invalid_token"


class ProofRefused(TokenRefused):
    """The DPoP proof beside the token is missing or not accepted (RFC 9449 section 7.1); `parameter` says why."""

    code = "invalid_dpop_proof"

    def __init__(self, *, parameter: str) -> None:
        super().__init__(scheme="DPoP", parameter=parameter)


class InsufficientScope(TokenRefused):
    """The token is good, but the member did not allow this; `scope` says what is needed."""

    code, status = "insufficient_scope", 403

    def _parameters(self) -> dict[str, str]:
        return {"scope": str(self.detail["scope"])}


class InsufficientUserAuthentication(TokenRefused):
    """The member must have signed in within `max_age_s` seconds for this (RFC 9470 section 3)."""

    code = "insufficient_user_authentication"

    def _parameters(self) -> dict[str, str]:
        said = translate(f"error.{self.code}", locale="en")
        return {"error_description": said, "max_age": str(self.detail["max_age_s"])}


class InvalidClientMetadata(OAuthRefusal):
    """A client cannot be registered like this; `field` says what is wrong (RFC 7591 section 3.2.2)."""

    code = "invalid_client_metadata"


class InvalidRedirectUri(InvalidClientMetadata):
    """The same, of its redirect URIs."""

    code = "invalid_redirect_uri"


class ClientIdTaken(OAuthRefusal):
    """Another client has this id, or had it: ids of revoked clients are not given away again."""

    code, status = "client_id_taken", 409


class RegistrationTokenMissing(OAuthRefusal):
    """Neither an initial nor a registration access token was sent: a challenge without an error code (RFC 6750 3.1)."""

    code, status = "unauthorized", 401

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="kumiai"'}


class RegistrationRefused(OAuthRefusal):
    """That token is unknown, expired, used up or another client's (RFC 7591 section 3, RFC 7592 section 2)."""

    code, status = "invalid_token", 401

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="kumiai", error="invalid_token"'}


class UnknownClient(DomainError):
    """The authorization request names no client of ours. Shown as a page: there is no safe place to redirect to."""

    code, status = "unknown_client", 400


class RedirectMismatch(DomainError):
    """The redirect URI is missing or not registered. Shown as a page: redirecting there is what must not happen."""

    code, status = "redirect_uri_mismatch", 400


class InvalidIdTokenHint(DomainError):
    """The ID token a client shows at sign-out is not one of ours, or another client's."""

    code, status = "invalid_id_token_hint", 400


class LogoutRedirectMismatch(DomainError):
    """The address to go to after signing out is not registered for that client: nobody is sent there."""

    code, status = "post_logout_redirect_uri_mismatch", 400


class InvalidTarget(OAuthRefusal):
    """A token was asked for another resource than this server's API (RFC 8707 section 2)."""

    code = "invalid_target"


class InvalidRequestUri(DomainError):
    """No pushed request of this client that is still good. The caller is not told which. Shown as a page."""

    code, status = "invalid_request_uri", 400


class RequestUriSpent(DomainError):
    """The member answered this pushed request already. Shown as a page."""

    code, status = "request_uri_spent", 400


class RequestUriReplayed(RequestUriSpent):
    """The same, for a second answer: what the first one issued was taken back."""

    keeps_changes = True


class InvalidMandate(DomainError):
    """Limits of payment that are malformed or go beyond what was offered; `fields` names each that is wrong."""

    code, status = "invalid_mandate", 422


class ShopsChanged(DomainError):
    """None of the shops the consent page named may be paid through this app any more; others may."""

    code, status = "shops_changed", 409


class MandateChanged(DomainError):
    """The limits of payment are not those the member saw any more: changed, or taken back, meanwhile."""

    code, status = "mandate_changed", 409


class UserCodeUnusable(DomainError):
    """No device waits with this code: it is unknown, expired or answered. The caller is not told which."""

    code, status = "user_code_unusable", 404


def _challenge(scheme: str, **parameters: str) -> str:
    """One challenge of a WWW-Authenticate header (RFC 9110 section 11.6.1)."""
    issuer_url = current_app.config["KUMIAI_ISSUER_URL"]
    said = {
        "realm": "kumiai",
        **parameters,
        **({"algs": " ".join(ALGS)} if scheme == "DPoP" else {}),  # RFC 9449 section 7.1
        "resource_metadata": f"{issuer_url}/.well-known/oauth-protected-resource",  # RFC 9728 section 5.1
    }
    return f"{scheme} " + ", ".join(f'{name}="{value}"' for name, value in said.items())
