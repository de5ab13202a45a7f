"""How a client proves who it is at the token and revocation endpoints (RFC 6749 section 2.3).

Failures are counted per address, successes are not: a co-op's tills share one address with every student on its
network, and none of them may shut the others out.
"""

from __future__ import annotations

import base64
from urllib.parse import unquote_plus

from flask import request

from app.limits import knock, network
from app.oauth.clients import Client, find_client
from app.oauth.errors import InvalidClient, InvalidRequest
from app.oauth.request import OAuthRequest

FAILURES = 100
WINDOW_S = 600


def authenticate(oauth_request: OAuthRequest) -> tuple[Client, str]:
    """The client and how it proved itself. Raises InvalidClient, InvalidRequest, and TooManyRequests on a failure."""
    client_id, secret, method = _credentials(oauth_request)
    client = find_client(client_id)
    if client is None or not _proven(client, secret=secret, method=method):
        knock(door="client_authentication", caller=network(request.remote_addr), limit=FAILURES, window_s=WINDOW_S)
        raise InvalidClient
    return client, method


def _credentials(oauth_request: OAuthRequest) -> tuple[str | None, str, str]:
    client_id = oauth_request.form.get("client_id")
    secret = oauth_request.form.get("client_secret")
    header = oauth_request.headers.get("Authorization")
    if header is None:
        return client_id, secret or "", "none" if secret is None else "client_secret_post"
    if secret is not None:  # RFC 6749 section 2.3: not more than one method in each request
        raise InvalidRequest(parameter="client_secret")
    named, given = _basic(header)
    if client_id is not None and client_id != named:
        raise InvalidRequest(parameter="client_id")
    return named, given, "client_secret_basic"


def _basic(header: str) -> tuple[str | None, str]:
    """Id and secret of an HTTP Basic header; both are form-encoded inside it (RFC 6749 section 2.3.1)."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None, ""
    try:
        client_id, colon, secret = base64.b64decode(value, validate=True).decode("ascii").partition(":")
    except ValueError:
        return None, ""
    return (unquote_plus(client_id), unquote_plus(secret)) if colon else (None, "")


def _proven(client: Client, *, secret: str, method: str) -> bool:
    if not client.check_endpoint_auth_method(method, "token"):
        return False
    return method == "none" or bool(client.check_client_secret(secret))
