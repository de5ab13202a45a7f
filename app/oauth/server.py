"""Authlib's authorization server, held to this project's rules where its own are looser.

Each override says which of Authlib 1.9.9's habits it stands against.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from authlib.common.urls import add_params_to_uri
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from flask import current_app
from werkzeug.wrappers import Response

from app.oauth import client_auth, dpop, protected_resource
from app.oauth.authorization_request import AuthorizationRules
from app.oauth.clients import Client, find_client
from app.oauth.errors import (
    InvalidAuthorizationDetails,
    InvalidRequest,
    InvalidTarget,
    RedirectMismatch,
    UnknownClient,
    UnsupportedGrantType,
)
from app.oauth.grant_types import ClientCredentials, Code, DeviceCode, IdToken, Refresh
from app.oauth.introspection import Introspection
from app.oauth.ports import SpendControls
from app.oauth.request import OAuthRequest
from app.oauth.revocation import Revocation
from app.settings import Settings


class Server(AuthorizationServer):  # type: ignore[misc]  # Authlib ships no types
    """The authorization server of one app."""

    def __init__(self, settings: Settings, controls: SpendControls) -> None:
        super().__init__(query_client=find_client)
        self.settings = settings
        self.controls = controls
        self.register_grant(Code, [AuthorizationRules(), IdToken(settings)])
        self.register_grant(DeviceCode, [IdToken(settings)])
        self.register_grant(Refresh)
        self.register_grant(ClientCredentials)
        self.register_endpoint(Revocation)
        self.register_endpoint(Introspection)

    def create_oauth2_request(self, request: OAuthRequest) -> OAuthRequest:
        """As it comes: `app.oauth.request` makes them, from the one place their parameters may be in."""
        return request

    def authenticate_client(self, request: OAuthRequest, methods: Iterable[str], endpoint: str = "token") -> Client:
        """Ours counts failures, answers 401 to all of them, and survives a header that is not UTF-8.

        `methods` is Authlib's list per grant type; which methods a client may use, its profile alone says. At the
        token endpoint the DPoP proof is read too, before the grant is looked at: `request.jkt` is the key it shows.
        """
        client, request.auth_method = client_auth.authenticate(request)
        request.client = client
        if endpoint == "token":
            request.jkt = dpop.key_for_tokens(request, client=client)
        return client

    def get_authorization_grant(self, request: OAuthRequest) -> Code:
        """What must never redirect is checked first, and shown as a page. Raises UnknownClient, RedirectMismatch.

        Authlib repeats the caller's words in error_description, where most characters raise ValueError.
        """
        payload = request.payload
        if len(payload.datalist.get("client_id", [])) > 1 or (client := find_client(payload.client_id)) is None:
            raise UnknownClient
        uris = payload.datalist.get("redirect_uri", [])
        if len(uris) != 1 or not client.check_redirect_uri(uris[0]):
            raise RedirectMismatch
        if payload.response_type != "code":
            error = "unsupported_response_type" if payload.response_type else "invalid_request"
            raise OAuth2Error("response_type must be code", redirect_uri=uris[0], error=error)
        grant: Code = super().get_authorization_grant(request)
        return grant

    @property
    def grant_types(self) -> frozenset[str]:
        """What the token endpoint takes."""
        return frozenset(grant.GRANT_TYPE for grant, _ in self._token_grants)

    def get_token_grant(self, request: OAuthRequest) -> Any:
        """A missing grant_type is an invalid request (RFC 6749 section 5.2)."""
        grant_type = request.payload.grant_type
        if not grant_type:
            raise InvalidRequest(parameter="grant_type")
        if "authorization_details" in request.form:
            # RFC 9396 section 6 lets a token be narrower than its grant. Here the ledger holds every token to the
            # grant's one mandate, so a narrower token would only seem to be one.
            raise InvalidAuthorizationDetails(problem="they belong in the authorization request")
        if grant_type not in self.grant_types:
            raise UnsupportedGrantType
        resources = request.payload.datalist.get("resource", [])
        if not protected_resource.is_ours(resources, issuer_url=self.settings.issuer_url):  # RFC 8707 section 2.2
            raise InvalidTarget
        return super().get_token_grant(request)

    def save_token(self, token: dict[str, Any], request: OAuthRequest) -> None:
        """Saved where it was made: only there is the secret known whose hash is kept."""

    def handle_response(self, status_code: int, payload: Any, headers: list[tuple[str, str]]) -> Response:
        """Every redirect to a client leaves here: as 303 (RFC 9700 section 4.12), with `iss` (RFC 9207 section 2)."""
        location = dict(headers).get("Location")
        if location is not None:
            target = add_params_to_uri(location, [("iss", self.settings.issuer_url)])
            return Response(status=303, headers={"Location": target})
        response: Response = super().handle_response(status_code, payload, headers)
        return response


def server() -> Server:
    """This app's authorization server."""
    extension = current_app.extensions["kumiai.oauth"]
    assert isinstance(extension, Server)
    return extension
