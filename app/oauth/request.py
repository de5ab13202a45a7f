"""An OAuth request as Authlib reads it, with its parameters from one place only.

Flask's `request.values` mixes query string and body, which lets a parameter of one stand in for the other. Here an
authorization request lives in the query string (the body of its POST is the consent form) or was pushed, every other
in the body.
"""

from __future__ import annotations

import re

from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from flask import current_app, request
from werkzeug.datastructures import MultiDict

from app.oauth import pushed
from app.oauth.errors import InvalidRequest, InvalidRequestUri

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REPEATABLE = frozenset({"resource"})
"""What may be given several times (RFC 8707 section 2)."""


class Parameters(OAuth2Payload):  # type: ignore[misc]  # Authlib ships no types
    """The parameters of one request."""

    def __init__(self, values: MultiDict[str, str]) -> None:
        self._values = values

    @property
    def data(self) -> MultiDict[str, str]:
        return self._values

    @property
    def datalist(self) -> dict[str, list[str]]:
        return dict(self._values.lists())

    def unusable(self) -> str | None:
        """The name of a parameter that is given twice (RFC 6749 section 3.1) or holds a control character, or None."""
        for name, values in self._values.lists():
            twice = len(values) > 1 and name not in _REPEATABLE
            if twice or any(_CONTROL.search(text) for text in (name, *values)):
                return _in_ascii(name)
        return None


class OAuthRequest(OAuth2Request):  # type: ignore[misc]  # Authlib ships no types
    """The current request, with `parameters` as its only ones.

    `pushed_as` is the request_uri, where it is an authorization request that comes by PAR.
    """

    jkt: str | None = None
    """At the token endpoint: the thumbprint of the DPoP key to which what is issued is bound."""

    def __init__(self, parameters: MultiDict[str, str], *, pushed_as: str | None = None) -> None:
        public_url = current_app.config["KUMIAI_ISSUER_URL"] + request.path
        super().__init__(method=request.method, uri=public_url, headers=request.headers)
        self.payload = Parameters(parameters)
        self.pushed_as = pushed_as

    @property
    def args(self) -> MultiDict[str, str]:
        return self.payload.data

    @property
    def form(self) -> MultiDict[str, str]:
        return self.payload.data


def from_query() -> OAuthRequest:
    """The authorization request of this page, on GET and when its form is sent: what the client pushed, where the
    query names that, else the query.

    Of a query with a request_uri only that and client_id count, whatever stands beside them (RFC 9101 section 6.3):
    anybody could write it there, while what was pushed is the client's own. Raises InvalidRequestUri, RequestUriSpent.
    """
    request_uri = request.args.get("request_uri")
    if request_uri is None or not pushed.is_ours(request_uri):
        return OAuthRequest(request.args)
    if any(len(request.args.getlist(name)) != 1 for name in ("request_uri", "client_id")):
        raise InvalidRequestUri
    stored = pushed.read(request_uri, client_id=request.args["client_id"])
    return OAuthRequest(MultiDict(stored), pushed_as=request_uri)


def from_body() -> OAuthRequest:
    """A request to the token or revocation endpoint. Raises InvalidRequest.

    Parameters in the query string would end up in logs (RFC 6749 section 2.3.1), so none is accepted there.
    """
    if request.args:
        raise InvalidRequest(parameter=_in_ascii(next(iter(request.args))))
    if request.mimetype != "application/x-www-form-urlencoded":
        raise InvalidRequest(parameter="Content-Type")
    oauth_request = OAuthRequest(request.form)
    if unusable := oauth_request.payload.unusable():
        raise InvalidRequest(parameter=unusable)
    return oauth_request


def _in_ascii(name: str) -> str:
    """A parameter's name as it may stand in an error_description (RFC 6749 section 5.2)."""
    return re.sub(r"[^A-Za-z0-9_.-]", "?", name)[:40]
