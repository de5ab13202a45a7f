"""Stopping a member's account (アカウント停止), and opening it again, which only the office does.

A payment that is decided after the stop's commit is refused with `wallet_suspended`, whatever it was authorised by: the
poster reads a wallet's status under the very lock that the stop takes. What was agreed before goes its way: a hold may
be released, a slip that gets paid is credited, a shop may give money back.

Called inside `transaction()`. Locks come in the order of CONTRIBUTING.md: the member, then what the authorization
server ends, the wallets last and in the order of their ids, as the poster takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update

from app.db import session
from app.errors import DomainError, NotFound
from app.issuer import current_issuer
from app.member.models import Member
from app.oauth.suspension import suspend_member
from app.wallet import notices
from app.wallet.hold_models import StopEvent
from app.wallet.models import Money, Wallet
from app.wallet.webhooks.event_types import WALLET_RESUMED, WALLET_SUSPENDED
from app.wallet.webhooks.events import emit_event

BY_MEMBER = "member"
"""The actor of what members do on this server's own pages."""


class AccountClosed(DomainError):
    """The account was closed for good."""

    code, status = "account_closed", 409


class NotSuspended(DomainError):
    """There is nothing to resume."""

    code, status = "account_not_suspended", 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What is stopped. `monies` are the codes of the suspended wallets; `already`: an earlier stop had done it all."""

    member_id: UUID
    suspended_at: datetime
    monies: tuple[str, ...]
    already: bool


def suspend(member_id: UUID, *, actor: str, reason: str = "") -> Stopped:
    """Stop the member's wallets, and end every session, code, approval and token, at once.

    `actor` is BY_MEMBER, a client_id, or who in the office. Asked again it changes nothing, mails nothing, and answers
    the same. Raises NotFound; AccountClosed, of an account that is closed and moves nothing anyway.
    """
    status = locked_status(member_id)
    if status == "closed":
        raise AccountClosed
    suspend_member(member_id)
    stopped = _change_wallets(member_id, Wallet.status == "active", to="suspended")
    already = status == "suspended" and not stopped
    if not already:
        session().add(_event(member_id, "suspended", actor=actor, reason=reason))
        session().flush()
    found = Stopped(
        member_id=member_id,
        suspended_at=_suspended_at(member_id),
        monies=_monies(member_id, status="suspended"),
        already=already,
    )
    if not already:
        _tell(WALLET_SUSPENDED, member_id, found.monies)
        notices.send(member_id, "account_suspended", at=found.suspended_at)
    return found


def resume(member_id: UUID, *, actor: str, reason: str) -> tuple[str, ...]:
    """Open a stopped account again; returns the codes of the monies that may be spent again.

    Wallets that were closed stay closed, and what was ended stays ended: members sign in anew, apps ask anew. Raises
    NotFound, AccountClosed, NotSuspended.
    """
    assert reason, "nobody resumes without a reason"
    status = locked_status(member_id)
    if status != "suspended":
        raise AccountClosed if status == "closed" else NotSuspended
    session().execute(update(Member).where(Member.id == member_id).values(status="active"))
    _change_wallets(member_id, Wallet.status == "suspended", to="active")
    event = _event(member_id, "resumed", actor=actor, reason=reason)
    session().add(event)
    session().flush()
    notices.send(member_id, "account_resumed", at=event.created_at)
    monies = _monies(member_id, status="active")
    _tell(WALLET_RESUMED, member_id, monies)
    return monies


def locked_status(member_id: UUID) -> str:
    """The member's status: what changes it comes one after the other, and sign-ins wait. Raises NotFound."""
    statement = select(Member.status).where(Member.id == member_id).with_for_update(key_share=True)
    status = session().scalar(statement)
    if status is None:
        raise NotFound
    return status


def _change_wallets(member_id: UUID, which: ColumnElement[bool], *, to: str) -> Sequence[UUID]:
    """Returns the ids of the wallets that changed."""
    theirs = select(Wallet.id).where(Wallet.member_id == member_id, which)
    ids = session().scalars(theirs.order_by(Wallet.id).with_for_update(key_share=True)).all()
    session().execute(update(Wallet).where(Wallet.id.in_(ids)).values(status=to))
    return ids


def _tell(event_type: str, member_id: UUID, monies: Iterable[str]) -> None:
    """Have the webhooks of those who may know tell of each wallet."""
    for code in monies:
        emit_event(event_type, member_id=member_id, data={"money": {"code": code}})


def _event(member_id: UUID, action: str, *, actor: str, reason: str) -> StopEvent:
    return StopEvent(
        issuer_id=current_issuer().id, member_id=member_id, action=action, actor=actor, reason=reason.strip()
    )


def _suspended_at(member_id: UUID) -> datetime:
    """When the last stop was: after every payment that came before it, since the wallets were locked by then."""
    theirs = (StopEvent.member_id == member_id, StopEvent.action == "suspended")
    return session().scalars(select(func.max(StopEvent.created_at)).where(*theirs)).one()


def _monies(member_id: UUID, *, status: str) -> tuple[str, ...]:
    theirs = (Wallet.member_id == member_id, Wallet.status == status)
    return tuple(session().scalars(select(Money.code).join(Wallet).where(*theirs).order_by(Money.position, Money.code)))
