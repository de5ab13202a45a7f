"""Back-channel logout (OpenID Connect Back-Channel Logout 1.0): clients hear that a session they were used in ended.

The message is queued in the transaction that ends the session, and signed when it is sent, since its life is two
minutes and a client may be away for longer. It is sent until the client takes it: at least once. `jti` is the same
every time, so a client may drop what it has seen, and ending a session twice ends it once in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app import clock, outbox
from app.db import session, transaction
from app.member.models import MemberSession
from app.messaging.ports import Refused
from app.oauth import keys, outbound
from app.oauth.models import OAuthClient, SessionClient
from app.settings import Settings

TYP = "logout+jwt"
LIFE_S = 120
"""Section 2.4 advises at most two minutes."""
EVENT = "http://schemas.openid.net/event/backchannel-logout"


class NotTaken(Exception):
    """The client's server answered, but did not say that the member is signed out there."""


def tell_clients(session_ids: Sequence[UUID]) -> None:
    """Queue word to each client that these ended sessions were used at, with the surrounding transaction."""
    told = (
        select(SessionClient.session_id, SessionClient.client_id, MemberSession.member_id)
        .join(MemberSession, MemberSession.id == SessionClient.session_id)
        .join(OAuthClient, OAuthClient.id == SessionClient.client_id)
        .where(SessionClient.session_id.in_(session_ids), OAuthClient.backchannel_logout_uri.is_not(None))
    )
    for row in session().execute(told).all():
        said = {"client_id": row.client_id, "sub": str(row.member_id), "sid": str(row.session_id)}
        outbox.emit("logout", said)


def deliver(message_id: UUID, said: dict[str, Any], *, settings: Settings) -> None:
    """Send one of these messages, in a transaction of its own for what it reads. The worker's side.

    Raises Refused where it need not be tried again: the client says that it is wrong (section 2.8: 400), or is not
    there any more. Raises NotTaken, or what the network raises, where it should be: a redirect is no answer either.
    """
    with transaction():
        uri, alg = _uri_and_alg(said["client_id"])
    token = keys.sign(
        _claims(message_id, said, issuer_url=settings.issuer_url), typ=TYP, alg=alg, sealing_key=settings.sealing_key
    )
    status = outbound.post_form(uri, {"logout_token": token}, public_only=settings.production)
    if status == 400:
        raise Refused
    if status not in (200, 204):
        raise NotTaken


def _uri_and_alg(client_id: str) -> tuple[str, str]:
    """Where it listens now, and what signs for it (section 2.6: as its ID tokens are signed)."""
    client = session().get(OAuthClient, client_id)
    if client is None or client.status != "active" or client.backchannel_logout_uri is None:
        raise Refused
    return client.backchannel_logout_uri, client.id_token_alg


def _claims(message_id: UUID, said: dict[str, Any], *, issuer_url: str) -> dict[str, Any]:
    """Section 2.4. Without a nonce, so that it can never be taken for an ID token."""
    now = int(clock.now().timestamp())
    return {
        "iss": issuer_url,
        "aud": said["client_id"],
        "iat": now,
        "exp": now + LIFE_S,
        "jti": str(message_id),
        "events": {EVENT: {}},
        "sub": said["sub"],
        "sid": said["sid"],
    }
