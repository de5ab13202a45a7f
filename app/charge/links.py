"""Charge links: a member has somebody else charge their wallet (a guardian a student's). Whoever holds a link may only
ever pay into it: they see the name that the member gave for it, and nothing of the wallet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from app import clock
from app.charge.errors import ChargeLinksTooMany, ChargeLinkUnknown
from app.charge.models import ChargeLink
from app.db import session
from app.ids import new_secret, secret_hash
from app.issuer import current_issuer, mypage_url
from app.member.models import Member
from app.wallet import directory
from app.wallet.errors import LedgerRefusal
from app.wallet.models import Wallet

PREFIX = "kcl_"
MOST = 10
"""Links of one member that work at the same time."""


def create(*, member_id: UUID, money: str, shown_as: str, days: int) -> tuple[ChargeLink, str]:
    """A link for one wallet; also returns its code, which is kept nowhere. Raises ChargeLinksTooMany, LedgerRefusal."""
    session().execute(select(Member.id).where(Member.id == member_id).with_for_update(key_share=True))
    if session().scalars(select(func.count()).select_from(ChargeLink).where(*_live_of(member_id))).one() >= MOST:
        raise ChargeLinksTooMany(most=MOST)
    known = directory.money(money)
    if known is None or not _has_wallet(member_id, known.id):
        raise LedgerRefusal("wallet_unknown", money=money)
    if known.backing != "paid":
        raise LedgerRefusal("money_not_accepted", money=money)
    code = new_secret(PREFIX)
    row = ChargeLink(
        issuer_id=current_issuer().id,
        member_id=member_id,
        money_id=known.id,
        shown_as=shown_as,
        code_hash=secret_hash(code),
        valid_until=clock.now() + timedelta(days=days),
    )
    session().add(row)
    session().flush()
    return row, code


def live(member_id: UUID) -> Sequence[ChargeLink]:
    """A member's links that work, newest first."""
    query = select(ChargeLink).where(*_live_of(member_id)).order_by(ChargeLink.id.desc())
    return session().scalars(query).all()


def end(link_id: UUID, *, member_id: UUID) -> None:
    """Have a link of theirs work no longer; what was ordered by it stays so. Repeatable. Raises ChargeLinkUnknown."""
    query = select(ChargeLink).where(ChargeLink.id == link_id, ChargeLink.member_id == member_id)
    row = session().scalar(query.with_for_update())
    if row is None:
        raise ChargeLinkUnknown
    row.ended_at = row.ended_at or clock.now()


def find(code: str) -> ChargeLink:
    """The link of a code. Raises ChargeLinkUnknown: never made, ended, or run out; which of these is not said."""
    query = select(ChargeLink).where(ChargeLink.code_hash == secret_hash(code), *_live())
    row = session().scalar(query)
    if row is None:
        raise ChargeLinkUnknown
    return row


def view(row: ChargeLink, locale: str) -> dict[str, Any]:
    """For the member whose link it is."""
    return {
        "id": str(row.id),
        **shown(row, locale),
        "created_at": row.created_at.isoformat(),
        "valid_until": row.valid_until.isoformat(),
    }


def shown(row: ChargeLink, locale: str) -> dict[str, Any]:
    """For whoever holds its code."""
    return {"shown_as": row.shown_as, "money": directory.money_by_id(row.money_id).view(locale)}


def address(code: str) -> str:
    """The member page's own address for a code."""
    return f"{mypage_url()}/charge?for={code}"


def _live() -> tuple[Any, ...]:
    return ChargeLink.ended_at.is_(None), ChargeLink.valid_until > clock.now()


def _live_of(member_id: UUID) -> tuple[Any, ...]:
    return ChargeLink.member_id == member_id, *_live()


def _has_wallet(member_id: UUID, money_id: int) -> bool:
    theirs = (Wallet.member_id == member_id, Wallet.money_id == money_id)
    return session().scalar(select(Wallet.id).where(*theirs)) is not None
