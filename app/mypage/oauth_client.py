"""The member page as an OAuth client: authorization code with PKCE, the ID token's checks, renewal, revocation.

It knows of the server what any other client knows: its discovery document.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.mypage.errors import AskedTooMuch, ServerAway, SignInFailed
from app.mypage.session import Attempt, Tokens
from app.mypage.settings import MypageSettings

SCOPES = (
    "openid profile balance history payment charge move card offline_access",
    "openid profile balance history payment charge move offline_access",
    "openid profile balance history payment move offline_access",
    "openid profile balance history charge move offline_access",
    "openid profile balance history move offline_access",
    "openid profile balance history offline_access",
)
"""What is asked for, and what instead where the office has not registered this client for all of it: a client without
shops may not ask for payments. `offline_access` brings the refresh token."""
TIMEOUT_S = 10
_LEEWAY_S = 60
"""How far the two hosts' clocks may be apart."""


@contextmanager
def server_within_reach() -> Iterator[None]:
    """Turn what a missing or failing server looks like to the libraries into ServerAway."""
    try:
        yield
    except (requests.RequestException, ValueError) as error:  # ValueError: Authlib's word for "that was not JSON"
        raise ServerAway(str(error)) from error


class OAuthClient:
    """This client at that server. Holds settings and the discovery document, nothing of a visitor."""

    def __init__(self, settings: MypageSettings) -> None:
        self._settings = settings
        self._discovered: dict[str, Any] = {}

    def begin(self, *, locale: str, less: int = 0, **extra: str) -> tuple[str, Attempt]:
        """Where to send the browser, and what to remember until it comes back. Raises ServerAway.

        `less` is the place in SCOPES; `extra` are parameters of the authorization request: `prompt`, `max_age`.
        """
        attempt = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        attempt["less"] = str(less)
        with self.session() as session:
            url, _ = session.create_authorization_url(
                self._endpoint("authorization_endpoint"),
                state=attempt["state"],
                code_verifier=attempt["verifier"],
                nonce=attempt["nonce"],
                ui_locales=locale,
                scope=SCOPES[less],
                **extra,
            )
        return url, attempt

    def finish(self, answer: Mapping[str, str], attempt: Attempt | None) -> Tokens:
        """The tokens for an authorization response, and whose they are (`sub`).

        Raises SignInFailed, AskedTooMuch, ServerAway.
        """
        if attempt is None or not hmac.compare_digest(answer.get("state", "").encode(), attempt["state"].encode()):
            raise SignInFailed("expired", "no sign-in under way, or the state of another one")
        if answer.get("iss") != self._settings.issuer_url:  # RFC 9207 section 2.4
            raise SignInFailed("failed", "the answer does not come from our server")
        if answer.get("error") == "invalid_scope" and int(attempt["less"]) + 1 < len(SCOPES):
            raise AskedTooMuch
        if "error" in answer:
            denied = answer["error"] == "access_denied"
            raise SignInFailed("denied" if denied else "failed", answer["error"])
        tokens = self._redeem(answer.get("code", ""), attempt)
        return {**tokens, "sub": self._check_id_token(tokens, nonce=attempt["nonce"])}

    def session(
        self, tokens: Tokens | None = None, *, renewed: Callable[[Tokens], None] | None = None
    ) -> OAuth2Session:
        """An HTTP session that bears `tokens` and renews them when they are about to expire, telling `renewed`."""
        session = OAuth2Session(
            self._settings.client_id,
            self._settings.client_secret,
            redirect_uri=self._settings.redirect_uri,
            code_challenge_method="S256",
            token=tokens,
            token_endpoint=self._endpoint("token_endpoint"),
            update_token=lambda new, **_: renewed(dict(new)) if renewed else None,
            default_timeout=TIMEOUT_S,
        )
        for answer in ("access_token_response", "refresh_token_response"):
            session.register_compliance_hook(answer, _not_overloaded)
        return session

    def revoke(self, tokens: Tokens) -> None:
        """Tell the server that these tokens are done with (RFC 7009). Raises ServerAway."""
        with server_within_reach(), self.session(tokens) as session:
            for kind in ("refresh_token", "access_token"):
                if kind in tokens:
                    endpoint = self._endpoint("revocation_endpoint")
                    session.revoke_token(endpoint, token=tokens[kind], token_type_hint=kind).raise_for_status()

    def sign_out_url(self, id_token: str | None, *, locale: str) -> str:
        """Where to send the browser so that the server ends its session too (RP-Initiated Logout). Raises ServerAway.

        The ID token shows that it is the session we began, which spares the member a second question.
        """
        query = {
            "client_id": self._settings.client_id,
            "post_logout_redirect_uri": self._settings.signed_out_uri,
            "ui_locales": locale,
            **({"id_token_hint": id_token} if id_token else {}),
        }
        return f"{self._endpoint('end_session_endpoint')}?{urlencode(query)}"

    def _redeem(self, code: str, attempt: Attempt) -> Tokens:
        with server_within_reach(), self.session() as session:
            try:
                return dict(session.fetch_token(code=code, code_verifier=attempt["verifier"]))
            except OAuthError as error:
                raise SignInFailed("failed", f"the code was refused: {error.error}") from error

    def _check_id_token(self, tokens: Tokens, *, nonce: str) -> str:
        """Its `sub`. OpenID Connect Core 3.1.3.7 and 3.1.3.8."""
        rules = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self._settings.issuer_url},
            aud={"essential": True, "value": self._settings.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
            at_hash={"essential": True, "value": _half_hash(tokens["access_token"])},
        )
        keys = KeySet.import_key_set(self._read(self._endpoint("jwks_uri")))
        try:
            claims = jwt.decode(tokens.get("id_token", ""), keys, algorithms=["ES256"]).claims
            rules.validate(claims)
        except (JoseError, ValueError) as error:
            raise SignInFailed("failed", f"the ID token does not hold: {error}") from error
        return str(claims["sub"])

    def _endpoint(self, name: str) -> str:
        """One address of the discovery document, which is read once per process."""
        if not self._discovered:
            found = self._read(f"{self._settings.issuer_url}/.well-known/openid-configuration")
            if found.get("issuer") != self._settings.issuer_url:  # OpenID Connect Discovery 4.3
                raise ServerAway("another server answers at the issuer's address")
            self._discovered = found
        return str(self._discovered[name])

    def _read(self, url: str) -> Any:
        with server_within_reach():
            response = requests.get(url, timeout=TIMEOUT_S)
            response.raise_for_status()
            return response.json()


def _not_overloaded(response: requests.Response) -> requests.Response:
    """A server with too much to do has refused nothing: the tokens may still be good."""
    if response.status_code == requests.codes.too_many_requests:
        response.raise_for_status()
    return response


def _half_hash(token: str) -> str:
    """`at_hash` for ES256: the left half of the token's SHA-256 (OpenID Connect Core 3.1.3.6)."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).rstrip(b"=").decode()
