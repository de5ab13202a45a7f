"""Is it the member who charges a card? By the issuer's rule: nothing, the birthday (MMDD), or a new sign-in."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from app import limits
from app.charge import rules
from app.charge.errors import IdentityCheckFailed, IdentityUnknown
from app.db import session, transaction
from app.ids import same
from app.member.models import Member
from app.oauth.protector import Access
from app.oauth.step_up import require_fresh_sign_in

TRIES, WINDOW_S = 5, 3_600
"""Wrong birthdays of one member, and for how long they count."""


def check(access: Access, *, method: str, birthday_mmdd: str | None) -> None:
    """Before a card is charged. Call it outside a transaction.

    Raises IdentityCheckFailed, IdentityUnknown, TooManyRequests, or InsufficientUserAuthentication (RFC 9470).
    """
    if method != "card":
        return
    with transaction():
        asked = rules.rules().identity
    if asked == "code":
        require_fresh_sign_in(access)
    if asked == "birthday":
        _check_birthday(access.member, birthday_mmdd or "")


def _check_birthday(member_id: UUID, mmdd: str) -> None:
    knocks = limits.knock_at(limits.Door(name="charge birthday", caller=str(member_id), limit=TRIES, window_s=WINDOW_S))
    with transaction():
        birthday = session().scalars(select(Member.birthday).where(Member.id == member_id)).one()
    if birthday is None:
        limits.give_back(knocks)
        raise IdentityUnknown
    if not same(f"{birthday:%m%d}".encode(), mmdd.encode()):
        raise IdentityCheckFailed
    limits.give_back(knocks)
