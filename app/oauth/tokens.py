"""Access and refresh tokens: made, rotated, revoked. Only their SHA-256 is stored.

A refresh token is spent when it is used, and its successor is derived from it with the server's key. So a client
that lost the answer may ask once more within `GRACE` and gets the very same answer, although no token is stored.
Anything later is a stolen copy: the whole family, all that one authorization code became, is revoked
(RFC 9700 section 4.14.2).

Tokens may be bound to a DPoP key (RFC 9449). A bound family stays bound: a public client's to that very key, since
nothing else tells whose it is; a confidential client proves who it is and may change its key. The refresh token of the
latter is good to nobody else and is not rotated, as FAPI 2.0 Security Profile 5.3.2.1 wants it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc6749 import TokenMixin
from sqlalchemy import ColumnElement, select, text, update

from app import clock
from app.db import session
from app.ids import keyed_hash, new_id, new_secret, same, secret_hash
from app.oauth import grants_service
from app.oauth.clients import Client
from app.oauth.details import payment_detail
from app.oauth.errors import GrantBurnt, InvalidDpopProof, InvalidGrant, InvalidScope
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
    bound: bool = False
    """To a DPoP key."""

    def as_answer(self) -> dict[str, Any]:
        """The token response of RFC 6749 section 5.1, with the details of RFC 9396 section 7."""
        answer: dict[str, Any] = {
            "access_token": self.access_token,
            "token_type": "DPoP" if self.bound else "Bearer",
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
    jkt: str | None = None,
) -> Issued:
    """The first tokens of a redeemed code, bound to the DPoP key `jkt`. A refresh token comes with `offline_access`.

    Raises InvalidGrant.
    """
    grant = grants_service.lock_living(OAuthGrant.id == grant_id)
    effective = _effective(scopes, client=client, grant=grant)
    origin = OAuthToken(
        family_id=family_id, client_id=client.id, member_id=grant.member_id, grant_id=grant_id, auth_time=auth_time
    )
    access, refresh = new_secret("kat_"), None
    new = [_access(access, origin=origin, scopes=effective, jkt=jkt)]
    if "offline_access" in effective and client.check_grant_type("refresh_token"):
        refresh = new_secret("krt_")
        new.append(_refresh(refresh, origin=origin, scopes=effective, jkt=jkt))
    expires_in_s = _save(*new)
    issued = _issued(access, refresh, expires_in_s=expires_in_s, scopes=effective, grant=grant, controls=controls)
    return replace(issued, bound=jkt is not None)


def issue_to_client(*, client: Client, scopes: Collection[str], jkt: str | None = None) -> Issued:
    """An access token for a program acting for itself, such as a till (RFC 6749 section 4.4)."""
    access, effective = new_secret("kat_"), in_order(scopes)
    origin = OAuthToken(family_id=new_id(), client_id=client.id)
    expires_in_s = _save(_access(access, origin=origin, scopes=effective, jkt=jkt))
    return Issued(access_token=access, expires_in_s=expires_in_s, scopes=effective, bound=jkt is not None)


def open_refresh(secret: str, *, client: Client, jkt: str | None, key: bytes) -> Presented:
    """The refresh token of this client, which holds the DPoP key `jkt`, if it may be used now.

    Raises InvalidGrant, InvalidDpopProof; GrantBurnt where it was used before and is past its grace, with its family
    revoked.
    """
    client_id = client.id
    its_grant = select(OAuthToken.grant_id).where(*_is_refresh(secret, client_id=client_id)).scalar_subquery()
    grant = grants_service.lock_living(OAuthGrant.id == its_grant)
    # read only now: what another did to it while we waited for the lock is seen
    row = session().scalar(select(OAuthToken).where(*_is_refresh(secret, client_id=client_id)))
    if row is None:  # a purge took it: it expired long ago
        raise InvalidGrant
    _check_key(row, client=client, jkt=jkt)  # first: who lacks the key cannot have a family revoked either
    if row.revoked_at is not None or row.expires_at <= clock.now():
        raise InvalidGrant
    if row.rotated_at is not None and not _shielded(secret, row, client_id=client_id, key=key):
        revoke_family(family_id=row.family_id, grant_id=grant.id)
        raise GrantBurnt
    return Presented(secret=secret, row=row, grant=grant)


def refresh(
    presented: Presented,
    *,
    client: Client,
    scopes: Collection[str],
    jkt: str | None,
    key: bytes,
    controls: SpendControls,
) -> Issued:
    """An access token for `scopes`, bound to the DPoP key `jkt`, and the refresh token for the next time."""
    effective = _effective(scopes, client=client, grant=presented.grant)
    if presented.row.jkt is not None and client.profile.confidential:
        access, next_refresh = _renew(presented)
        new = []
    else:
        asked = " ".join([*effective, *([jkt] if jkt else [])])
        access, next_refresh = _rotate(presented, asked=asked, key=key)
        # RFC 6749 section 6: narrowing one access token does not narrow the refresh token
        new = [_refresh(next_refresh, origin=presented.row, scopes=presented.row.scopes, jkt=jkt)]
    expires_in_s = _save(_access(access, origin=presented.row, scopes=effective, jkt=jkt), *new)
    issued = _issued(
        access, next_refresh, expires_in_s=expires_in_s, scopes=effective, grant=presented.grant, controls=controls
    )
    return replace(issued, bound=jkt is not None)


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


def _check_key(row: OAuthToken, *, client: Client, jkt: str | None) -> None:
    """RFC 9449 section 5. Raises InvalidDpopProof without a proof, InvalidGrant with another's."""
    if row.jkt is None:
        return
    if jkt is None:
        raise InvalidDpopProof(parameter="DPoP")
    if not client.profile.confidential and not same(jkt.encode(), row.jkt.encode()):
        raise InvalidGrant


def _renew(presented: Presented) -> tuple[str, str]:
    """A new access token, and the refresh token as it was, with a new life."""
    presented.row.expires_at = clock.now() + REFRESH_LIFE
    return new_secret("kat_"), presented.secret


def _rotate(presented: Presented, *, asked: str, key: bytes) -> tuple[str, str]:
    """Spend a refresh token: an access token and its successor, the same each time within the grace."""
    if presented.row.rotated_at is None:
        presented.row.rotated_at = clock.now()
    access = _derived("kat_", key=key, purpose="oauth.access.successor", value=f"{presented.secret} {asked}")
    return access, _successor(presented.secret, key=key)


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


# As text: putting such a statement together out of columns costs more than PostgreSQL takes to run it.
_SAVE = text("""
    INSERT INTO oauth_token (token_hash, kind, scopes, expires_at, family_id, client_id, member_id, grant_id, auth_time,
                             jkt)
    SELECT new.token_hash, new.kind, string_to_array(new.scope, ' '), new.expires_at, CAST(:family_id AS uuid),
           :client_id, CAST(:member_id AS uuid), CAST(:grant_id AS uuid), CAST(:auth_time AS timestamptz), :jkt
      FROM unnest(CAST(:token_hash AS bytea[]), CAST(:kind AS text[]), CAST(:scope AS text[]),
                  CAST(:expires_at AS timestamptz[])) AS new(token_hash, kind, scope, expires_at)
    ON CONFLICT (token_hash) DO UPDATE SET kind = oauth_token.kind  -- so that it comes back
    RETURNING kind, expires_at, (SELECT status FROM member WHERE member.id = CAST(:member_id AS uuid)) AS status
""")


def _save(*new: dict[str, Any]) -> int:
    """Keep the hashes of one member's (or no member's) tokens, unless they are kept; returns the seconds
    that the access token has left.

    Raises InvalidGrant for a member who is suspended: read here, under the grant's lock, so that a suspension either
    is seen or waits for that lock and then ends these tokens.
    """
    parameters = {name: [each[name] for each in new] for name in ("token_hash", "kind", "scope", "expires_at")}
    rows = session().execute(_SAVE, {**new[0], **parameters}).all()
    if any(row.status not in (None, "active") for row in rows):
        raise InvalidGrant
    life: timedelta = next(row.expires_at for row in rows if row.kind == "access") - clock.now()
    return math.ceil(life.total_seconds())


def _access(secret: str, *, origin: OAuthToken, scopes: Collection[str], jkt: str | None) -> dict[str, Any]:
    return _values(secret, origin=origin, scopes=scopes, jkt=jkt, kind="access", life=ACCESS_LIFE)


def _refresh(secret: str, *, origin: OAuthToken, scopes: Collection[str], jkt: str | None) -> dict[str, Any]:
    return _values(secret, origin=origin, scopes=scopes, jkt=jkt, kind="refresh", life=REFRESH_LIFE)


def _values(
    secret: str, *, origin: OAuthToken, scopes: Collection[str], jkt: str | None, kind: str, life: timedelta
) -> dict[str, Any]:
    return {
        "token_hash": secret_hash(secret),
        "kind": kind,
        "family_id": origin.family_id,
        "client_id": origin.client_id,
        "member_id": origin.member_id,
        "grant_id": origin.grant_id,
        "scope": " ".join(scopes),
        "auth_time": origin.auth_time,
        "jkt": jkt,
        "expires_at": clock.now() + life,
    }


def _successor(secret: str, *, key: bytes) -> str:
    return _derived("krt_", key=key, purpose="oauth.refresh.successor", value=secret)


def _derived(prefix: str, *, key: bytes, purpose: str, value: str) -> str:
    """A secret only this server can work out: HMAC-SHA-256 of one it was shown."""
    digest = keyed_hash(key, purpose=purpose, value=value)
    return prefix + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
