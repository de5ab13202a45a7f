"""What a client asks when it sends a member here to sign out (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from app.member.sessions import SignedInMember
from app.oauth import id_token_hint
from app.oauth.clients import Client, find_client
from app.oauth.errors import InvalidIdTokenHint, InvalidRequest, LogoutRedirectMismatch, UnknownClient
from app.oauth.id_token_hint import Hint
from app.oauth.request import Parameters

PARAMETERS = ("id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales")
MAX_LENGTH = 2048
"""Of one parameter: an ID token of ours, or a state, has room in it, and all of them in an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutRequest:
    """A request in good order. `return_to` is a registered address of `client`, with the state it gave."""

    client: Client | None
    hint: Hint | None
    redirect_uri: str | None
    state: str | None

    @property
    def return_to(self) -> str | None:
        if self.redirect_uri is None or self.state is None:
            return self.redirect_uri
        mark = "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{mark}{urlencode({'state': self.state})}"

    def is_of_session(self, member: SignedInMember) -> bool:
        """Whether the client shows an ID token of this very session: it took part in it."""
        hint = self.hint
        return hint is not None and (hint.member_id, hint.sid) == (member.id, str(member.session_id))


def read(parameters: Parameters, *, issuer_url: str) -> LogoutRequest:
    """Check the request. `logout_hint` is not looked at: the page says who is signed in.

    Raises InvalidRequest, InvalidIdTokenHint, UnknownClient, LogoutRedirectMismatch.
    """
    values = _values(parameters)
    hint = _hint(values["id_token_hint"], issuer_url=issuer_url) if "id_token_hint" in values else None
    client = _client(values.get("client_id"), hint)
    redirect_uri = values.get("post_logout_redirect_uri")
    # section 3: exactly a registered one, and only with a client it is registered for
    if redirect_uri is not None and (client is None or redirect_uri not in client.post_logout_redirect_uris):
        raise LogoutRedirectMismatch
    return LogoutRequest(client=client, hint=hint, redirect_uri=redirect_uri, state=values.get("state"))


def _values(parameters: Parameters) -> dict[str, str]:
    """The parameters that mean something here; an empty one is left out (RFC 6749 section 3.1)."""
    known = [(name, value) for name, value in parameters.data.items(multi=True) if name in PARAMETERS]
    if unusable := Parameters(MultiDict(known)).unusable():
        raise InvalidRequest(parameter=unusable)
    for name, value in known:
        if len(value) > MAX_LENGTH:
            raise InvalidRequest(parameter=name)
    return {name: value for name, value in known if value}


def _client(client_id: str | None, hint: Hint | None) -> Client | None:
    """The client that asks, which must be the one the hint was issued to (section 2)."""
    if hint is not None and client_id not in (None, hint.client_id):
        raise InvalidIdTokenHint
    asks = hint.client_id if hint else client_id
    if asks is None:
        return None
    client = find_client(asks)
    if client is None:
        raise UnknownClient
    return client


def _hint(token: str, *, issuer_url: str) -> Hint:
    try:
        return id_token_hint.read(token, issuer_url=issuer_url)
    except id_token_hint.BadHint as error:
        raise InvalidIdTokenHint from error
