"""What a client may push (RFC 9126): exactly what it could ask at the authorization endpoint, found out at once."""

from __future__ import annotations

from flask import abort, request
from werkzeug.datastructures import MultiDict

from app.limits import Door, knock_at, network
from app.oauth import pushed
from app.oauth.clients import Client
from app.oauth.errors import InvalidRequest, InvalidTarget, RedirectMismatch, UnauthorizedClient
from app.oauth.request import OAuthRequest
from app.oauth.server import server

MAX_BYTES = 16 * 1024
"""Of names and values together: each push is kept for a while."""
WINDOW_S = 600
BY_CONFIDENTIAL_CLIENT = 6_000
BY_PUBLIC_CLIENT_AND_NETWORK = 600
BY_PUBLIC_NETWORK = 1_200
"""Pushes in a window, good or bad. A window is as long as a request lives: twice as many live at most."""

_CREDENTIALS = frozenset({"client_secret", "client_assertion", "client_assertion_type"})


def accepted(oauth_request: OAuthRequest, *, client: Client, dpop_jkt: str | None = None) -> tuple[str, dict[str, str]]:
    """A new request_uri for what this client pushed, and the parameters to keep under it.

    The client is authenticated already; `dpop_jkt` is the key that a proof beside the push binds its code to (RFC 9449
    section 10.1). Raises OAuthRefusal or OAuth2Error for what the authorization endpoint would
    refuse (section 2.3), TooManyRequests, and 413.
    """
    _count(client)
    parameters = _parameters(oauth_request, client=client)
    if dpop_jkt is not None:
        parameters["dpop_jkt"] = dpop_jkt
    request_uri = pushed.new_request_uri()
    try:
        server().get_consent_grant(OAuthRequest(MultiDict(parameters), pushed_as=request_uri))
    except RedirectMismatch as error:
        raise InvalidRequest(parameter="redirect_uri") from error
    return request_uri, parameters


def _parameters(oauth_request: OAuthRequest, *, client: Client) -> dict[str, str]:
    """The authorization request in the body, without what proves who the client is.

    A `resource` given twice is kept once, being the same each time. Raises InvalidTarget.
    """
    if "request_uri" in oauth_request.form:  # section 2.1
        raise InvalidRequest(parameter="request_uri")
    if not client.profile.acts_for_members:
        raise UnauthorizedClient
    if len(set(oauth_request.form.getlist("resource"))) > 1:
        raise InvalidTarget
    asked = {name: value for name, value in oauth_request.form.items() if name not in _CREDENTIALS}
    parameters = {**asked, "client_id": client.id}
    if sum(len(part.encode()) for pair in parameters.items() for part in pair) > MAX_BYTES:
        abort(413)
    return parameters


def _count(client: Client) -> None:
    """Knock before anything is worked out. Raises TooManyRequests.

    Anyone can push in the name of a public client, so its limits are per network: whoever fills them shuts nobody out
    elsewhere. A client with a secret or keys has one limit, wherever its servers are.
    """
    if client.profile.confidential:
        knock_at(Door(name="par", caller=client.id, limit=BY_CONFIDENTIAL_CLIENT, window_s=WINDOW_S))
        return
    caller = network(request.remote_addr)
    knock_at(
        Door(name="par_public", caller=f"{client.id} {caller}", limit=BY_PUBLIC_CLIENT_AND_NETWORK, window_s=WINDOW_S),
        Door(name="par_public_network", caller=caller, limit=BY_PUBLIC_NETWORK, window_s=WINDOW_S),
    )
