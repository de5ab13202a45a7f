"""How a client proves who it is, wherever it must (RFC 6749 section 2.3): by a secret, or by its key (RFC 7523).

Failures are counted per address, successes are not: a co-op's tills share one address with every student on its
network, and none of them may shut the others out.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import unquote_plus

from flask import current_app, request

from app.limits import knock, network
from app.oauth import client_assertion, jws
from app.oauth.clients import Client, find_client
from app.oauth.errors import InvalidClient, InvalidClientAssertion, InvalidRequest
from app.oauth.jws import BadJwt, Jwt
from app.oauth.request import OAuthRequest

FAILURES = 100
WINDOW_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """Who a request says it is of, and what it brings to prove that."""

    client_id: str | None
    method: str
    secret: str = ""
    assertion: Jwt | None = None


def authenticate(oauth_request: OAuthRequest) -> tuple[Client, str]:
    """The client and how it proved itself. Raises InvalidClient, InvalidRequest, and TooManyRequests on a failure.

    Call it before `transaction()` holds anything: an assertion is spent whatever becomes of the request.
    """
    try:
        claim = _claim(oauth_request)
        return _proven(claim), claim.method
    except InvalidClient:
        knock(door="client_authentication", caller=network(request.remote_addr), limit=FAILURES, window_s=WINDOW_S)
        raise


def _claim(oauth_request: OAuthRequest) -> _Claim:
    """Not more than one method in each request (RFC 6749 section 2.3), and one client."""
    form = oauth_request.form
    client_id, secret, assertion = form.get("client_id"), form.get("client_secret"), form.get("client_assertion")
    header = oauth_request.headers.get("Authorization")
    if secret is not None and (header is not None or assertion is not None):
        raise InvalidRequest(parameter="client_secret")
    if assertion is not None:
        if header is not None:
            raise InvalidRequest(parameter="client_assertion")
        return _signed(assertion, client_id=client_id, type_=form.get("client_assertion_type"))
    if "client_assertion_type" in form:
        raise InvalidRequest(parameter="client_assertion")
    if header is None:
        return _Claim(
            client_id=client_id, method="none" if secret is None else "client_secret_post", secret=secret or ""
        )
    named, given = _basic(header)
    if client_id is not None and client_id != named:
        raise InvalidRequest(parameter="client_id")
    return _Claim(client_id=named, method="client_secret_basic", secret=given)


def _signed(assertion: str, *, client_id: str | None, type_: str | None) -> _Claim:
    if type_ != client_assertion.TYPE:
        raise InvalidRequest(parameter="client_assertion_type")
    try:
        jwt = jws.parse(assertion)
    except BadJwt as bad:
        raise InvalidClientAssertion(parameter=bad.part) from bad
    named = client_assertion.claimed_client_id(jwt)
    if client_id is not None and client_id != named:  # RFC 7521 section 4.2
        raise InvalidRequest(parameter="client_id")
    return _Claim(client_id=named, method="private_key_jwt", assertion=jwt)


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


def _proven(claim: _Claim) -> Client:
    """The client, if it is what it says. One with keys uses no secret, and one with a secret no keys."""
    client = find_client(claim.client_id)
    if client is None or not client.check_endpoint_auth_method(claim.method, "token"):
        raise InvalidClient
    if claim.assertion is not None:
        try:
            client_assertion.check(claim.assertion, client=client, issuer_url=current_app.config["KUMIAI_ISSUER_URL"])
        except BadJwt as bad:
            raise InvalidClientAssertion(parameter=bad.part) from bad
    elif claim.method != "none" and not client.check_client_secret(claim.secret):
        raise InvalidClient
    return client
