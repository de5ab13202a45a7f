"""The refusals of OAuth 2. Codes are those of RFC 6749 section 5.2 and RFC 6750 section 3.1."""

from __future__ import annotations

from app.errors import DomainError


class OAuthRefusal(DomainError):
    """A refusal of the token or the revocation endpoint, answered as RFC 6749 section 5.2 says."""

    status = 400


class InvalidRequest(OAuthRefusal):
    """A parameter is missing, given twice or malformed."""

    code = "invalid_request"


class InvalidClient(OAuthRefusal):
    """The client did not prove who it is."""

    code, status = "invalid_client", 401

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Basic realm="kumiai"'}


class UnauthorizedClient(OAuthRefusal):
    """This kind of client may not use that grant type."""

    code = "unauthorized_client"


class UnsupportedGrantType(OAuthRefusal):
    """No such grant type here."""

    code = "unsupported_grant_type"


class InvalidScope(OAuthRefusal):
    """More was asked than is known, or than this client or token may have."""

    code = "invalid_scope"


class InvalidGrant(OAuthRefusal):
    """The code or refresh token is unknown, expired, spent, revoked or another's. The caller is not told which."""

    code = "invalid_grant"


class GrantBurnt(InvalidGrant):
    """The same, where what the attempt caused must stay: a code spent by it, a family of tokens revoked by it."""

    keeps_changes = True


class MissingToken(DomainError):
    """No bearer token was sent: a challenge without an error code (RFC 6750 section 3.1)."""

    code, status = "unauthorized", 401

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="kumiai"'}


class InvalidToken(DomainError):
    """The bearer token is unknown, expired or revoked, or its client or member was stopped."""

    code, status = "invalid_token", 401

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="kumiai", error="invalid_token"'}


class InsufficientScope(DomainError):
    """The token is good, but the member did not allow this; `scope` says what is needed."""

    code, status = "insufficient_scope", 403

    @property
    def headers(self) -> dict[str, str]:
        scope = self.detail["scope"]
        return {"WWW-Authenticate": f'Bearer realm="kumiai", error="insufficient_scope", scope="{scope}"'}


class InvalidClientMetadata(DomainError):
    """A client cannot be registered like this; `field` says what is wrong (RFC 7591 section 3.2.2)."""

    code, status = "invalid_client_metadata", 400


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


class InvalidCeiling(DomainError):
    """The ceiling per payment is not a whole number of yen from 1 to what was asked."""

    code, status = "invalid_ceiling", 422


class ShopsChanged(DomainError):
    """None of the shops the consent page named may be paid through this app any more; others may."""

    code, status = "shops_changed", 409
