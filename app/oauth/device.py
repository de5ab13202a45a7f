"""Device authorizations (RFC 8628): a device without a browser polls with one code, a member types the other.

Authlib redeems a device code again and again, answers an unknown one with `invalid_request`, and leaves the pace of
polling to others. Here the first redemption claims the code, and the row knows how fast it may be asked.

Whoever changes a row locks it first and a grant after it, never the other way around.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.db import autocommit, session
from app.ids import keyed_hash, new_secret, secret_hash
from app.issuer import issuer_today
from app.oauth import tokens
from app.oauth.clients import Client
from app.oauth.codes import Redeemed
from app.oauth.details import BadDetails, payment_ask
from app.oauth.errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    GrantBurnt,
    InvalidAuthorizationDetails,
    InvalidGrant,
    InvalidScope,
    OAuthRefusal,
    SlowDown,
    UnauthorizedClient,
    UserCodeUnusable,
)
from app.oauth.models import DeviceAuthorization, OAuthGrant
from app.oauth.ports import SpendControls
from app.oauth.typed_codes import new_letters, shown

LIFE = timedelta(minutes=10)
INTERVAL_S = 5
SLOWER_BY_S = 5
"""Section 3.5: what a device that polls too fast adds to its interval, each time."""
_JITTER = timedelta(seconds=1)
"""Two polls sent in order reach us this much closer together when the network is in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A new device authorization. Both codes are shown this once: only their hashes are kept."""

    device_code: str
    user_code: str

    def as_answer(self, *, verification_uri: str) -> dict[str, Any]:
        """The response of RFC 8628 section 3.2."""
        return {
            "device_code": self.device_code,
            "user_code": self.user_code,
            "verification_uri": verification_uri,
            "verification_uri_complete": f"{verification_uri}?user_code={self.user_code}",
            "expires_in": int(LIFE.total_seconds()),
            "interval": INTERVAL_S,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the device behind a user code asks for, and how far it is."""

    letters: str
    client_id: str
    scopes: frozenset[str]
    detail: dict[str, Any] | None
    status: str
    member_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A member's yes: under which grant, and exactly what may be done."""

    grant: OAuthGrant
    scopes: Collection[str]
    auth_time: datetime


def begin(*, client: Client, scope: str | None, details: str | None, key: bytes, controls: SpendControls) -> Begun:
    """Let a device of this client ask for `scope`, with `details` as the authorization endpoint takes them (JSON).

    Raises UnauthorizedClient, InvalidScope, InvalidAuthorizationDetails.
    """
    if not client.check_grant_type(DEVICE_CODE_GRANT_TYPE):
        raise UnauthorizedClient
    asked = client.get_allowed_scope(scope)
    if asked is None:
        raise InvalidScope
    scopes = asked.split()
    device_code = new_secret("kdc_")
    letters = _save(
        key=key,
        device_hash=secret_hash(device_code),
        client_id=client.id,
        scopes=scopes,
        detail=_detail(details, scopes=scopes, client=client, controls=controls),
        expires_at=clock.now() + LIFE,
    )
    return Begun(device_code=device_code, user_code=shown(letters))


def find(letters: str, *, key: bytes) -> Asked | None:
    """The device that shows these letters and may still be answered, or was answered just now. One read."""
    statement = select(
        DeviceAuthorization.client_id,
        DeviceAuthorization.scopes,
        DeviceAuthorization.detail,
        DeviceAuthorization.status,
        DeviceAuthorization.member_id,
    ).where(
        DeviceAuthorization.user_code_hash == _user_code_hash(letters, key=key),
        DeviceAuthorization.expires_at > clock.now(),
    )
    with autocommit().connect() as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    return Asked(
        letters=letters,
        client_id=row.client_id,
        scopes=frozenset(row.scopes),
        detail=row.detail,
        status=row.status,
        member_id=row.member_id,
    )


def take(letters: str, *, key: bytes) -> DeviceAuthorization:
    """The row of a device that waits for its answer, locked: one member answers it, once. Raises UserCodeUnusable."""
    row = session().scalar(
        select(DeviceAuthorization)
        .where(
            DeviceAuthorization.user_code_hash == _user_code_hash(letters, key=key),
            DeviceAuthorization.status == "pending",
            DeviceAuthorization.expires_at > clock.now(),
        )
        .with_for_update()
    )
    if row is None:
        raise UserCodeUnusable
    return row


def approve(row: DeviceAuthorization, approval: Approval) -> None:
    """Let the device have tokens at its next poll."""
    row.status = "approved"
    row.grant_id, row.member_id = approval.grant.id, approval.grant.member_id
    row.scopes, row.auth_time = list(approval.scopes), approval.auth_time
    session().flush()


def deny(row: DeviceAuthorization) -> None:
    """Tell the device no at its next poll."""
    row.status = "denied"
    session().flush()


def redeem(device_code: str, *, client_id: str) -> Redeemed:
    """Spend an approved device code of this client.

    Raises InvalidGrant where there is none; GrantBurnt where it was spent before, which revokes all that came of it;
    AuthorizationPending and SlowDown while the member has not answered; AccessDenied and ExpiredToken for good.
    """
    row = _claim(device_code, client_id=client_id)
    if row is None:
        raise _reason(device_code, client_id=client_id)
    assert row.grant_id is not None and row.member_id is not None and row.auth_time is not None
    return Redeemed(
        family_id=row.family_id,
        grant_id=row.grant_id,
        member_id=row.member_id,
        scopes=tuple(row.scopes),
        redirect_uri="",  # nobody is redirected
        nonce=None,
        auth_time=row.auth_time,
        session_id=None,  # who signs out of the browser the code was typed in does not sign the device out
    )


def _detail(
    text: str | None, *, scopes: Collection[str], client: Client, controls: SpendControls
) -> dict[str, Any] | None:
    """The limits of payment it asks for, as its row keeps them."""
    try:
        ask = payment_ask(
            text, scopes=scopes, allowed_shops=client.allowed_shops, controls=controls, today=issuer_today()
        )
    except BadDetails as error:
        raise InvalidAuthorizationDetails(problem=str(error)) from error
    return ask.stored()


def _save(*, key: bytes, **values: Any) -> str:
    """Insert the row under a user code that no other has; returns its letters."""
    while True:
        letters = new_letters()
        statement = (
            insert(DeviceAuthorization)
            .values(**values, user_code_hash=_user_code_hash(letters, key=key))
            .on_conflict_do_nothing(index_elements=["user_code_hash"])
            .returning(DeviceAuthorization.device_hash)
        )
        if session().scalar(statement) is not None:
            return letters


def _claim(device_code: str, *, client_id: str) -> DeviceAuthorization | None:
    """Mark an approved code as used if nobody did; of many at a time, one gets it."""
    now = clock.now()
    statement = (
        update(DeviceAuthorization)
        .where(
            DeviceAuthorization.device_hash == secret_hash(device_code),
            DeviceAuthorization.client_id == client_id,
            DeviceAuthorization.status == "approved",
            DeviceAuthorization.used_at.is_(None),
            DeviceAuthorization.expires_at > now,
        )
        .values(used_at=now)
        .returning(DeviceAuthorization)
    )
    return session().scalar(statement)


def _reason(device_code: str, *, client_id: str) -> OAuthRefusal:
    """Why a poll gets no tokens (section 3.5), with what follows from it written."""
    row = session().scalar(
        select(DeviceAuthorization)
        .where(DeviceAuthorization.device_hash == secret_hash(device_code), DeviceAuthorization.client_id == client_id)
        .with_for_update()
    )
    if row is None:
        return InvalidGrant()
    if row.used_at is not None and row.grant_id is not None:
        tokens.revoke_family(family_id=row.family_id, grant_id=row.grant_id)
        return GrantBurnt()
    if row.status == "denied":
        return AccessDenied()
    if row.expires_at <= clock.now():
        return ExpiredToken()
    return _paced(row)


def _paced(row: DeviceAuthorization) -> OAuthRefusal:
    """Count a poll that came before the answer. The row is locked, so of many at a time all but one are too fast."""
    now = clock.now()
    too_fast = row.polled_at is not None and now - row.polled_at < timedelta(seconds=row.interval_s) - _JITTER
    row.polled_at = now
    if too_fast:
        row.interval_s += SLOWER_BY_S
    session().flush()
    return SlowDown() if too_fast else AuthorizationPending()


def _user_code_hash(letters: str, *, key: bytes) -> bytes:
    return keyed_hash(key, purpose="oauth.user_code", value=letters)
