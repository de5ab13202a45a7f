"""連携アプリ: what a member allowed, app by app, as the member and as the app itself may read and end it.

A change locks the grant's row first and looks again whose it is: what was shown a moment ago may be gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, select

from app.db import autocommit, session
from app.errors import NotFound
from app.issuer import mypage_url
from app.oauth import consent, grants_service, redirects
from app.oauth.details import payment_detail
from app.oauth.models import OAuthClient, OAuthGrant
from app.oauth.ports import Mandate, SpendControls, Usage
from app.oauth.scopes import SCOPES, in_order

NOT_ALONE = frozenset({"openid"})
"""Not taken away alone: without it nobody signs in, which is to take back everything."""

_UNUSED = Usage(day_yen=0, month_yen=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedApp:
    """One app with what a member allows it."""

    grant_id: UUID
    client_id: str
    name_ja: str
    name_en: str
    stopped: bool
    """The office stopped the app: none of its tokens is good."""
    of_the_issuer: bool
    """It is the co-op's own member page."""
    revoked: bool
    scopes: tuple[str, ...]
    """What has an effect: what the member gave, as far as the client may still have it."""
    mandate: Mandate | None
    usage: Usage
    created_at: datetime
    last_used_at: datetime | None

    def name(self, locale: str) -> str:
        return self.name_en if locale == "en" else self.name_ja

    def pays(self, today: date) -> bool:
        """Whether it may take payments still."""
        within = self.mandate is not None and (self.mandate.until is None or today <= self.mandate.until)
        return within and "payment" in self.scopes

    @property
    def removable(self) -> tuple[str, ...]:
        """The permissions that can be taken away one by one."""
        return tuple(scope for scope in self.scopes if scope not in NOT_ALONE)


def of_member(member_id: UUID, *, controls: SpendControls) -> list[AllowedApp]:
    """The apps a member allows something, the newest permission first. Two reads."""
    return _read(OAuthGrant.member_id == member_id, OAuthGrant.revoked_at.is_(None), controls=controls)


def one_of_member(*, member_id: UUID, grant_id: UUID, controls: SpendControls) -> AllowedApp:
    """One of them. Raises NotFound, for another member's too."""
    own = (OAuthGrant.member_id == member_id, OAuthGrant.id == grant_id, OAuthGrant.revoked_at.is_(None))
    return _only(_read(*own, controls=controls))


def take_away(*, member_id: UUID, grant_id: UUID, permission: str, controls: SpendControls) -> bool:
    """Take one permission back. Where nothing an app can use is left, take back all; returns whether anything is left.

    Raises NotFound, also for a permission that is not given.
    """
    grant = grants_service.lock_of_member(grant_id=grant_id, member_id=member_id)
    if permission in NOT_ALONE or permission not in grant.scopes:
        raise NotFound
    left = grants_service.narrow(grant_id=grant_id, keep=SCOPES.keys() - {permission}, controls=controls)
    if consent.useful(left):
        return True
    grants_service.revoke(grant_id=grant_id, controls=controls)
    return False


def lower(*, member_id: UUID, grant_id: UUID, seen: Mandate, to: Mandate, controls: SpendControls) -> None:
    """Put the limits of payment down from what the member saw. Raises NotFound, MandateChanged."""
    grants_service.lock_of_member(grant_id=grant_id, member_id=member_id)
    grants_service.lower(grant_id=grant_id, seen=seen, to=to, controls=controls)


def revoke(*, member_id: UUID, grant_id: UUID, controls: SpendControls) -> None:
    """Take back everything from one app. Raises NotFound."""
    grants_service.lock_of_member(grant_id=grant_id, member_id=member_id)
    grants_service.revoke(grant_id=grant_id, controls=controls)


def described_to_client(*, client_id: str, grant_id: UUID, controls: SpendControls) -> dict[str, Any]:
    """What a client is told of a grant of its own, in the form of Grant Management for OAuth 2.0 (draft 03).

    With how much of the limits is used, when it was made and last used, and whether it lives. Raises NotFound.
    """
    app = _only(_read(OAuthGrant.client_id == client_id, OAuthGrant.id == grant_id, controls=controls))
    scopes = () if app.revoked else app.scopes
    return {
        "grant_id": str(app.grant_id),
        "status": "revoked" if app.revoked else "active",
        "scopes": [{"scope": " ".join(scopes)}] if scopes else [],
        "authorization_details": [_detail(app.mandate, app.usage, controls)]
        if app.mandate and "payment" in scopes
        else [],
        "created_at": app.created_at.isoformat(),
        "last_used_at": app.last_used_at.isoformat() if app.last_used_at else None,
    }


def revoke_for_client(*, client_id: str, grant_id: UUID, controls: SpendControls) -> None:
    """End a grant of this client, once or again. Raises NotFound."""
    grant = session().get(OAuthGrant, grant_id, with_for_update={"key_share": True})
    if grant is None or grant.client_id != client_id:
        raise NotFound
    grants_service.revoke(grant_id=grant_id, controls=controls)


def _detail(mandate: Mandate, usage: Usage, controls: SpendControls) -> dict[str, Any]:
    used = {"used_today_yen": usage.day_yen, "used_this_month_yen": usage.month_yen}
    return {**payment_detail(mandate, controls=controls), **used}


def _only(found: Sequence[AllowedApp]) -> AllowedApp:
    if not found:
        raise NotFound
    return found[0]


def _read(*which: ColumnElement[bool], controls: SpendControls) -> list[AllowedApp]:
    columns = (
        *(OAuthGrant.id, OAuthGrant.scopes, OAuthGrant.mandate),
        *(OAuthGrant.created_at, OAuthGrant.last_used_at, OAuthGrant.revoked_at, OAuthGrant.client_id),
        *(OAuthClient.name_ja, OAuthClient.name_en, OAuthClient.redirect_uris, OAuthClient.status),
        OAuthClient.scopes.label("client_scopes"),
    )
    statement = select(*columns).join(OAuthClient, OAuthClient.id == OAuthGrant.client_id).where(*which)
    with autocommit().connect() as connection:
        rows = connection.execute(statement.order_by(OAuthGrant.created_at.desc(), OAuthGrant.id)).all()
    usage = controls.usage([row.id for row in rows if row.mandate]) if rows else {}
    return [_app(row, usage.get(row.id, _UNUSED)) for row in rows]


def _app(row: Row[*tuple[Any, ...]], usage: Usage) -> AllowedApp:
    return AllowedApp(
        grant_id=row.id,
        client_id=row.client_id,
        name_ja=row.name_ja,
        name_en=row.name_en,
        stopped=row.status != "active",
        of_the_issuer=redirects.all_at(row.redirect_uris, mypage_url()),
        revoked=row.revoked_at is not None,
        scopes=in_order(set(row.scopes).intersection(row.client_scopes)),
        mandate=Mandate.from_stored(row.mandate) if row.mandate else None,
        usage=usage,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )
