"""Pushed authorization requests (RFC 9126): kept by their hash, answered once.

A request is spent by the member's answer and not by the visit, so that a page may be loaded again and a sign-in may
lie between. The first answer claims it; a second one is a replay, which takes back what the first one issued, as with
codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, update

from app import clock
from app.db import autocommit, session
from app.ids import new_secret, secret_hash
from app.oauth import codes, tokens
from app.oauth.errors import InvalidRequestUri, RequestUriReplayed, RequestUriSpent
from app.oauth.models import PushedRequest

LIFE = timedelta(seconds=590)
"""FAPI 2.0 Security Profile 5.3.2.2 wants less than 600 s. As much as that, since a sign-in with a mailed code lies
between the push and the answer; one fixed end is easier to trust than one that visits put off."""
_PREFIX = "urn:ietf:params:oauth:request_uri:"


def new_request_uri() -> str:
    return _PREFIX + new_secret("kpr_")


def is_ours(request_uri: str | None) -> bool:
    """Whether it has the form of those made here; any other would have to be fetched, which is not done."""
    return request_uri is not None and request_uri.startswith(_PREFIX)


def save(request_uri: str, *, client_id: str, parameters: Mapping[str, str]) -> int:
    """Keep a request that was found in order; returns the seconds it can be used for."""
    session().add(
        PushedRequest(
            request_hash=secret_hash(request_uri),
            client_id=client_id,
            parameters=dict(parameters),
            expires_at=clock.now() + LIFE,
        )
    )
    session().flush()
    return int(LIFE.total_seconds())


def read(request_uri: str, *, client_id: str) -> dict[str, str]:
    """The parameters this client pushed. One read, outside a transaction; nothing is spent by it.

    Raises InvalidRequestUri where there is none that is still good, RequestUriSpent where it was answered.
    """
    statement = select(PushedRequest.parameters, PushedRequest.used_at, PushedRequest.expires_at).where(
        PushedRequest.request_hash == secret_hash(request_uri), PushedRequest.client_id == client_id
    )
    with autocommit().connect() as connection:
        row = connection.execute(statement).one_or_none()
    if row is not None and row.used_at is not None:
        raise RequestUriSpent
    if row is None or row.expires_at <= clock.now():
        raise InvalidRequestUri
    parameters: dict[str, str] = row.parameters
    return parameters


def spend(request_uri: str, *, client_id: str, family_id: UUID | None) -> PushedRequest:
    """Claim a request for the answer that is given now; of many at a time, one gets it.

    `family_id` is of the tokens that will come of it, None for a refusal. Do it before anything else in the
    transaction, so that an answer that comes too late leaves nothing. Raises what `refuse_second_answer` raises.
    """
    now = clock.now()
    statement = (
        update(PushedRequest)
        .where(
            PushedRequest.request_hash == secret_hash(request_uri),
            PushedRequest.client_id == client_id,
            PushedRequest.used_at.is_(None),
            PushedRequest.expires_at > now,
        )
        .values(used_at=now, family_id=family_id)
        .returning(PushedRequest)
    )
    row = session().scalar(statement)
    if row is None:
        refuse_second_answer(request_uri, client_id=client_id)
        raise InvalidRequestUri
    return row


def became(spent: PushedRequest, *, grant_id: UUID) -> None:
    """Note under which grant its code was given, for the day it is answered again."""
    spent.grant_id = grant_id
    session().flush()


def refuse_second_answer(request_uri: str, *, client_id: str) -> None:
    """Take back what an answered request became: its code, and every token of that.

    Raises RequestUriReplayed, with which this is kept; returns where the request was not answered.
    """
    row = session().scalar(
        select(PushedRequest).where(
            PushedRequest.request_hash == secret_hash(request_uri),
            PushedRequest.client_id == client_id,
            PushedRequest.used_at.is_not(None),
        )
    )
    if row is None:
        return
    if row.family_id is not None and row.grant_id is not None:
        codes.void(row.family_id)  # the code before the grant, as a redemption locks them
        tokens.revoke_family(family_id=row.family_id, grant_id=row.grant_id)
    raise RequestUriReplayed
