"""Who is signed in: server-side sessions that can be revoked.

The cookie `kumiai_session` (signed; its settings are in the factory) holds a 256-bit secret, the database only its
SHA-256. One query per request reads session and member together, so a revoked session or a suspended member is out
with the next request. Whoever must hear that a session ended says so with `when_ended`, and is told in the very
transaction that ends it, whatever ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import Flask, abort, current_app, g, redirect, request, url_for
from flask import session as cookie
from sqlalchemy import ColumnElement, delete, func, select, text, update

from app import clock
from app.db import autocommit, session
from app.ids import new_secret, secret_hash
from app.member.models import MemberSession

LIFE = timedelta(hours=12)
"""A session ends this long after sign-in, used or not."""

_ENDED = "kumiai.sessions_ended"

_SECRET = "sid"  # noqa: S105  # the name of the cookie's entry


@dataclass(frozen=True, slots=True)
class SignedInMember:
    """The member of this browser. `auth_time` is when password and code were given (OpenID Connect Core 2);
    `session_id` is what clients may know of the session (`sid`).
    """

    id: UUID
    session_id: UUID
    email: str
    name: str
    family_name: str
    given_name: str
    locale: str
    auth_time: datetime


_CURRENT = text("""
    SELECT m.id, s.id AS session_id, m.email, m.family_name, m.given_name, m.locale, s.auth_time
    FROM member_session s JOIN member m ON m.id = s.member_id
    WHERE s.secret_hash = :secret_hash AND s.revoked_at IS NULL AND s.expires_at > now() AND m.status = 'active'
""")


def current_member() -> SignedInMember | None:
    """Who is signed in, or None. One query per request."""
    if "signed_in_member" not in g:
        g.signed_in_member = _read()
    member: SignedInMember | None = g.signed_in_member
    return member


def hold_session(member: SignedInMember) -> bool:
    """Whether the member is signed in still; if so, signing out waits for the surrounding transaction.

    For what is written in the member's name: without it, an answer given at the very moment of a sign-out (here, at
    another device, or by a suspension) would outlive it.
    """
    living = (MemberSession.id == member.session_id, MemberSession.revoked_at.is_(None))
    held = select(MemberSession.id).where(*living, MemberSession.expires_at > clock.now()).with_for_update(read=True)
    return session().scalar(held) is not None


def _read() -> SignedInMember | None:
    secret = cookie.get(_SECRET)
    if secret is None:
        return None
    with autocommit().connect() as connection:
        row = connection.execute(_CURRENT, {"secret_hash": secret_hash(secret)}).one_or_none()
    if row is None:
        return None
    return SignedInMember(
        id=row.id,
        session_id=row.session_id,
        email=row.email,
        name=f"{row.family_name} {row.given_name}",
        family_name=row.family_name,
        given_name=row.given_name,
        locale=row.locale,
        auth_time=row.auth_time,
    )


class SignedIn:
    """Only a signed-in member may call; anyone else is sent to sign in and comes back to the same page."""

    def check(self) -> None:
        if current_member() is None:
            abort(redirect(url_for("member.login", next=_this_page()), code=303))

    def describe(self) -> str:
        return "a signed-in member (session cookie)"


def _this_page() -> str:
    query = request.query_string.decode()
    return quote(request.path) + (f"?{query}" if query else "")


def start_session(*, member_id: UUID, auth_time: datetime | None = None) -> None:
    """Sign `member_id` in with this browser, inside the surrounding transaction.

    The secret in the cookie changes at every sign-in, and what the cookie held is dropped (no fixation). Where the
    same member signs in once more (a client wants it fresh) the session goes on under its id, so that no client is
    told of a sign-out that was none. `auth_time`: when password and code were given, if that is not now.
    """
    auth_time, secret, former = auth_time or clock.now(), new_secret("kss_"), cookie.get(_SECRET)
    new = {"secret_hash": secret_hash(secret), "auth_time": auth_time, "expires_at": auth_time + LIFE}
    if former is None or not _goes_on(former, member_id, new):
        end_session()
        _forget_expired(member_id)
        session().add(MemberSession(member_id=member_id, **new))
        session().flush()
    cookie.clear()
    g.pop("signed_in_member", None)
    cookie[_SECRET] = secret


def end_session() -> None:
    """Sign this browser out, inside the surrounding transaction. Without a session it only empties the cookie."""
    secret = cookie.get(_SECRET)
    cookie.clear()
    g.pop("signed_in_member", None)
    if secret is not None:
        _revoke(MemberSession.secret_hash == secret_hash(secret))


def revoke_all_sessions(member_id: UUID) -> None:
    """Sign the member out everywhere, inside the surrounding transaction."""
    _revoke(MemberSession.member_id == member_id)


def when_ended(app: Flask, tell: Callable[[Sequence[UUID]], None]) -> None:
    """Have `tell` called with the ids of sessions that end, in the transaction that ends them.

    Of a session that nobody ends, and that is over after `LIFE`, nobody is told.
    """
    app.extensions[_ENDED] = tell


def _goes_on(former: str, member_id: UUID, new: dict[str, Any]) -> bool:
    """Whether `former` is a living session of this member; if so it has the new secret now."""
    living = (
        MemberSession.secret_hash == secret_hash(former),
        MemberSession.member_id == member_id,
        MemberSession.revoked_at.is_(None),
        MemberSession.expires_at > func.now(),
    )
    return session().scalar(update(MemberSession).where(*living).values(**new).returning(MemberSession.id)) is not None


def _forget_expired(member_id: UUID) -> None:
    past = MemberSession.expires_at < clock.now()
    session().execute(delete(MemberSession).where(MemberSession.member_id == member_id, past))


def _revoke(which: ColumnElement[bool]) -> None:
    statement = update(MemberSession).where(which, MemberSession.revoked_at.is_(None)).values(revoked_at=func.now())
    if ended := session().scalars(statement.returning(MemberSession.id)).all():
        current_app.extensions[_ENDED](ended)
