"""Dynamic registration (RFC 7591) and its management (RFC 7592), for developers whom the office invited.

A client registered so has no shops and therefore takes no payments, whatever its scopes, until the office names some.
Its registration access token stays the same for its life: a client that lost the answer to a change is not locked out.
"""

from __future__ import annotations

import secrets
from typing import Any

from app.errors import NotFound
from app.ids import new_secret, same, secret_hash
from app.oauth import invitations, registration_schema, registry
from app.oauth.clients import register_client
from app.oauth.errors import InvalidClientMetadata, RegistrationRefused
from app.oauth.models import OAuthClient
from app.oauth.ports import SpendControls

Answer = dict[str, Any]


def register(body: dict[str, Any], *, initial_token: str, issuer_url: str) -> Answer:
    """Register a client; returns the client information response (RFC 7591 section 3.2.1).

    Raises RegistrationRefused, InvalidClientMetadata.
    """
    invitation = invitations.claim(initial_token)
    said = registration_schema.load(body)
    profile = registration_schema.profile_of(said)
    if profile not in invitation.profiles:
        raise InvalidClientMetadata(field="kumiai_profile")
    metadata = registration_schema.to_metadata(said, profile=profile, scopes_if_unsaid=invitation.scopes)
    if not invitation.scopes.issuperset(metadata.scopes):
        raise InvalidClientMetadata(field="scope")
    try:
        client, secret = register_client(
            client_id=f"c_{secrets.token_hex(12)}",
            name_ja=metadata.name_ja,
            name_en=metadata.name_en,
            profile=profile,
            scopes=metadata.scopes,
            redirect_uris=metadata.redirect_uris,
            jwks=metadata.jwks,
            post_logout_redirect_uris=metadata.post_logout_redirect_uris,
            backchannel_logout_uri=metadata.backchannel_logout_uri,
            id_token_alg=metadata.id_token_alg,
        )
    except InvalidClientMetadata as error:
        raise registration_schema.in_their_words(error) from None
    token = new_secret("kra_")
    client.registration_hash = secret_hash(token)
    auth_method = said.get("token_endpoint_auth_method")
    return _information(client, token=token, secret=secret, issuer_url=issuer_url, auth_method=auth_method)


def read(client_id: str, *, token: str, issuer_url: str) -> Answer:
    """What is registered (RFC 7592 section 2.1); never the secret, of which only a hash is kept.

    Raises RegistrationRefused.
    """
    return _information(_own(client_id, token=token), token=token, issuer_url=issuer_url)


def replace(client_id: str, body: dict[str, Any], *, token: str, issuer_url: str) -> Answer:
    """Put the body's metadata in the place of all there was (RFC 7592 section 2.2).

    The profile stays, and scopes can only become fewer: what a client may be was the office's decision. A body
    without `scope` leaves them. Raises RegistrationRefused, InvalidClientMetadata.
    """
    client = _own(client_id, token=token)
    said = registration_schema.load(body)
    _check_identity(client, said)
    before = registry.metadata_of(client)
    profile = said.get("kumiai_profile", before.profile)
    if profile != before.profile:
        raise InvalidClientMetadata(field="kumiai_profile")
    metadata = registration_schema.to_metadata(said, profile=profile, scopes_if_unsaid=frozenset(before.scopes))
    if not set(before.scopes).issuperset(metadata.scopes):
        raise InvalidClientMetadata(field="scope")
    try:
        secret = registry.change(client, metadata)
    except InvalidClientMetadata as error:
        raise registration_schema.in_their_words(error) from None
    auth_method = said.get("token_endpoint_auth_method")
    return _information(client, token=token, secret=secret, issuer_url=issuer_url, auth_method=auth_method)


def remove(client_id: str, *, token: str, controls: SpendControls) -> None:
    """End the client, as the office would (RFC 7592 section 2.3). Raises RegistrationRefused."""
    registry.revoke(_own(client_id, token=token), controls=controls)


def _own(client_id: str, *, token: str) -> OAuthClient:
    """The client whose registration access token this is, locked.

    An unknown client and one that the office registered are refused alike (RFC 7592 section 2.1).
    """
    try:
        client = registry.locked(client_id)
    except NotFound:
        raise RegistrationRefused from None
    if client.registration_hash is None or not same(client.registration_hash, secret_hash(token)):
        raise RegistrationRefused
    return client


def _check_identity(client: OAuthClient, said: dict[str, Any]) -> None:
    """RFC 7592 section 2.2: the body names the client, and its secret, if any, is the one it has."""
    if said.get("client_id") != client.id:
        raise InvalidClientMetadata(field="client_id")
    given = said.get("client_secret")
    if given is not None and not (client.secret_hash and same(client.secret_hash, secret_hash(given))):
        raise InvalidClientMetadata(field="client_secret")


def _information(
    client: OAuthClient, *, token: str, issuer_url: str, secret: str | None = None, auth_method: str | None = None
) -> Answer:
    answer: Answer = {"client_id": client.id, "client_id_issued_at": int(client.created_at.timestamp())}
    if secret is not None:
        answer |= {"client_secret": secret, "client_secret_expires_at": 0}  # 0: never
    return {
        **answer,
        "registration_access_token": token,
        "registration_client_uri": f"{issuer_url}/oauth/register/{client.id}",
        **registration_schema.to_answer(registry.metadata_of(client), auth_method=auth_method),
    }
