"""Grants (許可): what a member allowed a client. One living row per member and client.

Every change of what a grant or its tokens may do locks the grant's row first, so that two changes of one
permission (a refresh and a revocation, two consents) come one after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, select, text, update
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.db import autocommit, session
from app.errors import NotFound
from app.ids import new_id
from app.issuer import current_issuer
from app.oauth import allow_mail
from app.oauth.errors import InvalidGrant, MandateChanged
from app.oauth.models import AuthorizationCode, DeviceAuthorization, OAuthGrant, OAuthToken
from app.oauth.ports import Mandate, SpendControls
from app.oauth.scopes import in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a member allows a client at this moment."""

    scopes: frozenset[str]
    mandate: Mandate | None


def given(*, member_id: UUID, client_id: str) -> Given:
    """What the member allows the client now; nothing, if they never did. One read, outside a transaction."""
    statement = select(OAuthGrant.scopes, OAuthGrant.mandate).where(
        OAuthGrant.member_id == member_id, OAuthGrant.client_id == client_id, OAuthGrant.revoked_at.is_(None)
    )
    with autocommit().connect() as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        return Given(scopes=frozenset(), mandate=None)
    return Given(scopes=frozenset(row.scopes), mandate=row.mandate and Mandate.from_stored(row.mandate))


def allow(
    *, member_id: UUID, client_id: str, scopes: Iterable[str], mandate: Mandate | None, controls: SpendControls
) -> OAuthGrant:
    """Add `scopes` to what the member allows the client; returns the grant, locked.

    `mandate` comes with the scope `payment` and replaces an earlier one; the ledger is told in this transaction.
    """
    grant = _living_row(member_id=member_id, client_id=client_id)
    before = Given(
        scopes=frozenset(grant.scopes), mandate=Mandate.from_stored(grant.mandate) if grant.mandate else None
    )
    grant.scopes = list(in_order({*grant.scopes, *scopes}))
    if mandate is not None:
        grant.mandate = mandate.stored()
    session().flush()
    if mandate is not None:
        controls.grant_changed(grant_id=grant.id, mandate=mandate)
    allow_mail.send_if_new(grant, before=before, mandate=mandate, controls=controls)
    return grant


def narrow(*, grant_id: UUID, keep: Iterable[str], controls: SpendControls) -> tuple[str, ...]:
    """Take every scope but `keep` back; returns what is left.

    Living tokens lose it at once, being held to the grant at each use. Without `offline_access` nothing is renewed.
    """
    grant = _locked(grant_id)
    left = in_order(set(grant.scopes).intersection(keep))
    if "offline_access" in set(grant.scopes).difference(left):
        _revoke_tokens(OAuthToken.grant_id == grant_id, OAuthToken.kind == "refresh")
    grant.scopes = list(left)
    ends_payment = grant.mandate is not None and "payment" not in grant.scopes
    if ends_payment:
        grant.mandate = None
    session().flush()
    if ends_payment:
        controls.grant_changed(grant_id=grant_id, mandate=None)
    return left


def lower(*, grant_id: UUID, seen: Mandate, to: Mandate, controls: SpendControls) -> None:
    """Put the limits of payment down from `seen` to `to`; the ledger is told in this transaction.

    Raises MandateChanged where they are not `seen` any more, or `to` would allow something they do not.
    """
    grant = _locked(grant_id)
    current = Mandate.from_stored(grant.mandate) if grant.mandate and grant.revoked_at is None else None
    if current != seen or not to.within(seen):
        raise MandateChanged
    grant.mandate = to.stored()
    session().flush()
    controls.grant_changed(grant_id=grant_id, mandate=to)


def revoke(*, grant_id: UUID, controls: SpendControls) -> None:
    """Take the permission back: the grant and all its tokens, at once and for good."""
    grant = _locked(grant_id)
    ends = grant.revoked_at is None
    if ends:
        grant.revoked_at = clock.now()
    _revoke_tokens(OAuthToken.grant_id == grant_id)
    if ends:
        controls.grants_ended([grant_id])


def revoke_all(member_id: UUID, *, controls: SpendControls) -> None:
    """Take every permission of a member back, as `revoke` does, in as many statements as for one."""
    ids = _lock_living_of(member_id)
    session().execute(update(OAuthGrant).where(OAuthGrant.id.in_(ids)).values(revoked_at=clock.now()))
    _revoke_tokens(OAuthToken.grant_id.in_(ids))
    controls.grants_ended(ids)


def revoke_tokens_of_member(member_id: UUID) -> None:
    """End every token of a member, and the codes and approved devices that would still become some.

    The grants stay: clients ask again without a page.
    """
    for coming in (AuthorizationCode, DeviceAuthorization):  # before the grants: a redemption locks in this order
        theirs = (coming.member_id == member_id, coming.used_at.is_(None), coming.expires_at > clock.now())
        session().execute(update(coming).where(*theirs).values(used_at=clock.now()))
    _revoke_tokens(OAuthToken.grant_id.in_(_lock_living_of(member_id)))


def paying(*, client_id: str, member_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """By member, the grant under which a client may take their payments while they are away: it holds `payment` and
    `offline_access`. One read, outside a transaction."""
    ids = f"{{{','.join(map(str, member_ids))}}}"  # an array literal: psycopg takes four times as long for a list
    with autocommit().connect() as connection:
        rows = connection.execute(_PAYING, {"client_id": client_id, "members": ids})
        return {member_id: grant_id for member_id, grant_id in rows}  # noqa: C416  # Row is no pair to mypy


_PAYING = text("""
    SELECT given.member_id, given.id
      FROM unnest(CAST(:members AS uuid[])) AS asked(member_id)
      JOIN oauth_grant given ON given.member_id = asked.member_id AND given.client_id = :client_id
                            AND given.revoked_at IS NULL
      JOIN member ON member.id = given.member_id
     WHERE given.scopes @> ARRAY['payment', 'offline_access'] AND member.status = 'active'
""")


def lock_living(which: ColumnElement[bool]) -> OAuthGrant:
    """The one grant that `which` picks, locked, if it is still good. Raises InvalidGrant.

    Whether its member is, must be asked after this: a suspension may be what the lock was waited for.
    """
    statement = select(OAuthGrant).where(which).with_for_update(key_share=True)
    grant = session().scalars(statement, execution_options={"populate_existing": True}).one_or_none()
    if grant is None or grant.revoked_at is not None:
        raise InvalidGrant
    return grant


def lock_of_member(*, grant_id: UUID, member_id: UUID) -> OAuthGrant:
    """The member's own living grant, locked. Raises NotFound: nobody is told of another's."""
    grant = session().get(OAuthGrant, grant_id, with_for_update={"key_share": True}, populate_existing=True)
    if grant is None or grant.member_id != member_id or grant.revoked_at is not None:
        raise NotFound
    return grant


def _locked(grant_id: UUID) -> OAuthGrant:
    # FOR NO KEY UPDATE: tokens that refer to the grant may be written meanwhile
    return session().get_one(OAuthGrant, grant_id, with_for_update={"key_share": True}, populate_existing=True)


def _lock_living_of(member_id: UUID) -> Sequence[UUID]:
    """The member's living grants, locked in one order. Only these have tokens that are good."""
    living = select(OAuthGrant.id).where(OAuthGrant.member_id == member_id, OAuthGrant.revoked_at.is_(None))
    return session().scalars(living.order_by(OAuthGrant.id).with_for_update(key_share=True)).all()


def _living_row(*, member_id: UUID, client_id: str) -> OAuthGrant:
    """The living grant, locked; made empty where there is none, once, even if asked for twice at the same time."""
    values = {"id": new_id(), "issuer_id": current_issuer().id, "member_id": member_id, "client_id": client_id}
    statement = (
        insert(OAuthGrant)
        .values(**values, scopes=[])
        .on_conflict_do_update(
            index_elements=["member_id", "client_id"],
            index_where=text("revoked_at IS NULL"),
            set_={"scopes": OAuthGrant.scopes},  # nothing changes, but the row is locked and comes back
        )
        .returning(OAuthGrant)
    )
    return session().scalars(statement, execution_options={"populate_existing": True}).one()


def _revoke_tokens(*which: ColumnElement[bool]) -> None:
    session().execute(update(OAuthToken).where(*which, OAuthToken.revoked_at.is_(None)).values(revoked_at=clock.now()))
