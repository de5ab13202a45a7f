"""Access and refresh tokens: made, rotated, revoked. Only their SHA-256 is stored.

A refresh token is spent when it is used, and its successor is derived from it with the server's key. So a client
that lost the answer may ask once more within `GRACE` and gets the very same answer, although no token is stored.
Anything later is a stolen copy: the whole family, all that one authorization code became, is revoked
(RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc6749 import TokenMixin
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.db import session
from app.ids import keyed_hash, new_id, new_secret, secret_hash
from app.member.models import Member
from app.oauth import grants_service
from app.oauth.clients import Client
from app.oauth.details import payment_detail
from app.oauth.errors import GrantBurnt, InvalidGrant, InvalidScope
from app.oauth.models import OAuthGrant, OAuthToken
from app.oauth.ports import Mandate, SpendControls
from app.oauth.scopes import in_order

ACCESS_LIFE = timedelta(minutes=10)
REFRESH_LIFE = timedelta(days=30)
GRACE = timedelta(seconds=30)
_USE_IS_WRITTEN_EVERY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Tokens to hand out. `authorization_details` are the limits of `payment`, as the member set them."""

    access_token: str
    expires_in_s: int
    scopes: tuple[str, ...]
    refresh_token: str | None = None
    grant_id: UUID | None = None
    authorization_details: tuple[dict[str, Any], ...] = ()

    def as_answer(self) -> dict[str, Any]:
        """The token response of RFC 6749 section 5.1, with the details of RFC 9396 section 7."""
        answer: dict[str, Any] = {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": self.expires_in_s,
            "scope": " ".join(self.scopes),
        }
        if self.refresh_token is not None:
            answer["refresh_token"] = self.refresh_token
        if self.grant_id is not None:  # Grant Management for OAuth 2.0: by it the client finds /oauth/grants/{id}
            answer["grant_id"] = str(self.grant_id)
        if self.authorization_details:
            answer["authorization_details"] = list(self.authorization_details)
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented(TokenMixin):  # type: ignore[misc]  # Authlib ships no types
    """A refresh token that may be used now, with its grant locked; answers what Authlib asks of one."""

    secret: str
    row: OAuthToken
    grant: OAuthGrant

    def check_client(self, client: Client) -> bool:
        return self.row.client_id == client.id

    def get_scope(self) -> str:
        return " ".join(self.row.scopes)


def issue_to_member(
    *,
    client: Client,
    grant_id: UUID,
    family_id: UUID,
    scopes: Collection[str],
    auth_time: datetime,
    controls: SpendControls,
) -> Issued:
    """The first tokens of a redeemed code. A refresh token comes with `offline_access`. Raises InvalidGrant."""
    grant = grants_service.lock_living(OAuthGrant.id == grant_id)
    effective = _effective(scopes, client=client, grant=grant)
    origin = OAuthToken(
        family_id=family_id, client_id=client.id, member_id=grant.member_id, grant_id=grant_id, auth_time=auth_time
    )
    access, refresh = new_secret("kat_"), None
    new = [_access(access, origin=origin, scopes=effective)]
    if "offline_access" in effective and client.check_grant_type("refresh_token"):
        refresh = new_secret("krt_")
        new.append(_refresh(refresh, origin=origin, scopes=effective))
    expires_in_s = _save(*new)
    return _issued(access, refresh, expires_in_s=expires_in_s, scopes=effective, grant=grant, controls=controls)


def issue_to_client(*, client: Client, scopes: Collection[str]) -> Issued:
    """An access token for a program acting for itself, such as a till (RFC 6749 section 4.4)."""
    access, effective = new_secret("kat_"), in_order(scopes)
    origin = OAuthToken(family_id=new_id(), client_id=client.id)
    expires_in_s = _save(_access(access, origin=origin, scopes=effective))
    return Issued(access_token=access, expires_in_s=expires_in_s, scopes=effective)


def open_refresh(secret: str, *, client_id: str, key: bytes) -> Presented:
    """The refresh token of this client, if it may be used now.

    Raises InvalidGrant; GrantBurnt where it was used before and is past its grace, with its family revoked.
    """
    its_grant = select(OAuthToken.grant_id).where(*_is_refresh(secret, client_id=client_id)).scalar_subquery()
    grant = grants_service.lock_living(OAuthGrant.id == its_grant)
    # read only now: what another did to it while we waited for the lock is seen
    row = session().scalars(select(OAuthToken).where(*_is_refresh(secret, client_id=client_id))).one()
    if row.revoked_at is not None or row.expires_at <= clock.now():
        raise InvalidGrant
    if row.rotated_at is not None and not _shielded(secret, row, client_id=client_id, key=key):
        revoke_family(family_id=row.family_id, grant_id=grant.id)
        raise GrantBurnt
    return Presented(secret=secret, row=row, grant=grant)


def rotate(
    presented: Presented, *, client: Client, scopes: Collection[str], key: bytes, controls: SpendControls
) -> Issued:
    """Spend a refresh token: its successor and an access token for `scopes`, the same each time within the grace."""
    effective = _effective(scopes, client=client, grant=presented.grant)
    asked = f"{presented.secret} {' '.join(effective)}"
    access = _derived("kat_", key=key, purpose="oauth.access.successor", value=asked)
    refresh = _successor(presented.secret, key=key)
    if presented.row.rotated_at is None:
        presented.row.rotated_at = clock.now()
    expires_in_s = _save(
        _access(access, origin=presented.row, scopes=effective),
        # RFC 6749 section 6: narrowing one access token does not narrow the refresh token
        _refresh(refresh, origin=presented.row, scopes=presented.row.scopes),
    )
    return _issued(
        access, refresh, expires_in_s=expires_in_s, scopes=effective, grant=presented.grant, controls=controls
    )


def find(secret: str) -> OAuthToken | None:
    """The token of either kind, whatever a caller believes it is (RFC 7009 section 2.1)."""
    return session().get(OAuthToken, secret_hash(secret))


def revoke(token: OAuthToken) -> None:
    """End one access token, or with a refresh token all of its family (RFC 7009 section 2.1)."""
    if token.kind == "refresh" and token.grant_id is not None:
        revoke_family(family_id=token.family_id, grant_id=token.grant_id)
    elif token.revoked_at is None:
        token.revoked_at = clock.now()
        session().flush()


def revoke_family(*, family_id: UUID, grant_id: UUID) -> None:
    """End every token that one authorization code became, those being made at this moment too."""
    session().execute(select(OAuthGrant.id).where(OAuthGrant.id == grant_id).with_for_update(key_share=True))
    session().execute(
        update(OAuthToken)
        .where(OAuthToken.family_id == family_id, OAuthToken.revoked_at.is_(None))
        .values(revoked_at=clock.now())
    )


def _is_refresh(secret: str, *, client_id: str) -> tuple[ColumnElement[bool], ...]:
    """What picks the refresh token of this client."""
    return (
        OAuthToken.token_hash == secret_hash(secret),
        OAuthToken.kind == "refresh",
        OAuthToken.client_id == client_id,
    )


def _shielded(secret: str, row: OAuthToken, *, client_id: str, key: bytes) -> bool:
    """Whether a spent token is the immediately previous one, and young: its successor is still unused."""
    assert row.rotated_at is not None
    if clock.now() - row.rotated_at > GRACE:
        return False
    successor = session().scalar(
        select(OAuthToken).where(*_is_refresh(_successor(secret, key=key), client_id=client_id))
    )
    return successor is not None and successor.rotated_at is None and successor.revoked_at is None


def _effective(scopes: Collection[str], *, client: Client, grant: OAuthGrant) -> tuple[str, ...]:
    effective = in_order(client.scopes.intersection(scopes, grant.scopes))
    if not effective:
        raise InvalidScope
    return effective


def _issued(
    access: str,
    refresh: str | None,
    *,
    expires_in_s: int,
    scopes: tuple[str, ...],
    grant: OAuthGrant,
    controls: SpendControls,
) -> Issued:
    now = clock.now()
    if grant.last_used_at is None or now - grant.last_used_at > _USE_IS_WRITTEN_EVERY:
        grant.last_used_at = now
    session().flush()
    mandate = Mandate.from_stored(grant.mandate) if grant.mandate and "payment" in scopes else None
    return Issued(
        access_token=access,
        refresh_token=refresh,
        expires_in_s=expires_in_s,
        scopes=scopes,
        grant_id=grant.id,
        authorization_details=(payment_detail(mandate, controls=controls),) if mandate else (),
    )


def _save(*new: dict[str, Any]) -> int:
    """Keep the hashes of one member's (or no member's) tokens, unless they are kept; returns the seconds
    that the access token has left.

    Raises InvalidGrant for a member who is suspended: read here, under the grant's lock, so that a suspension either
    is seen or waits for that lock and then ends these tokens.
    """
    status = select(Member.status).where(Member.id == new[0]["member_id"]).scalar_subquery()
    statement = (
        insert(OAuthToken)
        .values(list(new))
        .on_conflict_do_update(index_elements=["token_hash"], set_={"kind": OAuthToken.kind})  # so that it comes back
        .returning(OAuthToken.kind, OAuthToken.expires_at, status.label("status"))
    )
    rows = session().execute(statement).all()
    if any(row.status not in (None, "active") for row in rows):
        raise InvalidGrant
    life: timedelta = next(row.expires_at for row in rows if row.kind == "access") - clock.now()
    return math.ceil(life.total_seconds())


def _access(secret: str, *, origin: OAuthToken, scopes: Collection[str]) -> dict[str, Any]:
    return _values(secret, origin=origin, scopes=scopes, kind="access", life=ACCESS_LIFE)


def _refresh(secret: str, *, origin: OAuthToken, scopes: Collection[str]) -> dict[str, Any]:
    return _values(secret, origin=origin, scopes=scopes, kind="refresh", life=REFRESH_LIFE)


def _values(secret: str, *, origin: OAuthToken, scopes: Collection[str], kind: str, life: timedelta) -> dict[str, Any]:
    return {
        "token_hash": secret_hash(secret),
        "kind": kind,
        "family_id": origin.family_id,
        "client_id": origin.client_id,
        "member_id": origin.member_id,
        "grant_id": origin.grant_id,
        "scopes": list(scopes),
        "auth_time": origin.auth_time,
        "expires_at": clock.now() + life,
    }


def _successor(secret: str, *, key: bytes) -> str:
    return _derived("krt_", key=key, purpose="oauth.refresh.successor", value=secret)


def _derived(prefix: str, *, key: bytes, purpose: str, value: str) -> str:
    """A secret only this server can work out: HMAC-SHA-256 of one it was shown."""
    digest = keyed_hash(key, purpose=purpose, value=value)
    return prefix + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
