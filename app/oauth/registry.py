"""Registered clients, looked after: changed, given a new secret, revoked. For the office, and for RFC 7592.

Every change counts at the next request of the client: what it may do is read from its row each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update

from app import clock
from app.db import session
from app.errors import NotFound
from app.ids import new_secret, secret_hash
from app.issuer import in_production
from app.oauth import client_rules
from app.oauth.client_rules import Metadata
from app.oauth.errors import InvalidClientMetadata
from app.oauth.models import OAuthClient, OAuthGrant, OAuthToken
from app.oauth.ports import SpendControls
from app.oauth.profiles import PROFILES
from app.oauth.scopes import in_order


def locked(client_id: str) -> OAuthClient:
    """The active client's row, locked until the transaction ends. Raises NotFound."""
    statement = select(OAuthClient).where(OAuthClient.id == client_id, OAuthClient.status == "active")
    client = session().scalar(statement.with_for_update(key_share=True))
    if client is None:
        raise NotFound
    return client


def metadata_of(client: OAuthClient) -> Metadata:
    """What is registered now."""
    return Metadata(
        name_ja=client.name_ja,
        name_en=client.name_en,
        profile=client.profile,
        scopes=tuple(client.scopes),
        redirect_uris=tuple(client.redirect_uris),
        jwks=client.jwks,
        post_logout_redirect_uris=tuple(client.post_logout_redirect_uris),
        backchannel_logout_uri=client.backchannel_logout_uri,
        id_token_alg=client.id_token_alg,
    )


def change(client: OAuthClient, metadata: Metadata) -> str | None:
    """Write `metadata` over what the (locked) client has; its profile stays, being what it was vouched for as.

    Returns a secret where the client gave up its keys and needs one. Raises InvalidClientMetadata.
    """
    if metadata.profile != client.profile:
        raise InvalidClientMetadata(field="profile")
    client_rules.check(metadata, production=in_production())
    secret = _change_credential(client, metadata)
    client.name_ja, client.name_en = metadata.name_ja, metadata.name_en
    client.scopes = list(in_order(metadata.scopes))
    client.redirect_uris = list(metadata.redirect_uris)
    client.post_logout_redirect_uris = list(metadata.post_logout_redirect_uris)
    client.backchannel_logout_uri = metadata.backchannel_logout_uri
    client.id_token_alg = metadata.id_token_alg
    session().flush()
    return secret


def set_shops(client: OAuthClient, shops: Sequence[UUID]) -> None:
    """Let the (locked) client take payments for these shops only; without any it cannot ask for `payment`."""
    client.allowed_shops = list(dict.fromkeys(shops))
    session().flush()


def renew_secret(client: OAuthClient) -> str:
    """A new secret for the (locked) client; the old one ends with this transaction. Tokens live on.

    Raises InvalidClientMetadata where it has keys, or no credential at all.
    """
    if client.secret_hash is None:
        raise InvalidClientMetadata(field="secret")
    return _give_secret(client)


def revoke(client: OAuthClient, *, controls: SpendControls) -> None:
    """End the (locked) client for good, with every grant and token it has and every payment they allow.

    One statement each. Grants are locked in the order everybody locks them in, so that two such changes never wait
    for each other.
    """
    client.status = "revoked"
    session().flush()
    living = (OAuthGrant.client_id == client.id) & OAuthGrant.revoked_at.is_(None)
    grants = select(OAuthGrant.id).where(living).order_by(OAuthGrant.id)
    controls.grants_ended(session().scalars(grants.with_for_update(key_share=True)).all())
    now = clock.now()
    session().execute(update(OAuthGrant).where(living).values(revoked_at=now))
    tokens = (OAuthToken.client_id == client.id) & OAuthToken.revoked_at.is_(None)
    session().execute(update(OAuthToken).where(tokens).values(revoked_at=now))


def _change_credential(client: OAuthClient, metadata: Metadata) -> str | None:
    if metadata.jwks is not None:
        if metadata.jwks != client.jwks:
            client.jwks, client.secret_hash, client.credential_at = metadata.jwks, None, clock.now()
        return None
    if client.jwks is None or not PROFILES[client.profile].confidential:
        return None
    client.jwks = None
    return _give_secret(client)


def _give_secret(client: OAuthClient) -> str:
    secret = new_secret("kcs_")
    client.secret_hash, client.credential_at = secret_hash(secret), clock.now()
    session().flush()
    return secret
