"""Registering a card at a till: the member's phone shows a code, the clerk types it, the card is touched.

A phone at home reads no student card, and a number that somebody types could be anybody's: so the card and its member
are at one place. Eight letters without vowels, ten minutes, once; the newest of a member is the one that counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select

from app import clock
from app.db import session
from app.ids import keyed_hash
from app.oauth.typed_codes import letters_of, new_letters, shown
from app.reader import cards
from app.reader.cards import Reading
from app.reader.errors import RegistrationCodeUnusable
from app.reader.models import CardRegistration

LIFE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCode:
    """A code as it was made. It is told once."""

    shown: str
    expires_at: datetime


def new_code(member_id: UUID) -> NewCode:
    """A code of this member; earlier ones are void. Call inside `transaction()`."""
    session().execute(delete(CardRegistration).where(CardRegistration.member_id == member_id))
    letters = new_letters()
    expires_at = clock.now() + LIFE
    session().add(CardRegistration(code_hash=_hash(letters), member_id=member_id, expires_at=expires_at))
    session().flush()
    return NewCode(shown=shown(letters), expires_at=expires_at)


def register(code: str, reading: Reading) -> tuple[UUID, UUID]:
    """Register the touched card to the member who shows the code; returns the ids of card and member.

    The same code and card again give the same while the code would live: the reply may have been lost.
    Call inside `transaction()`. Raises RegistrationCodeUnusable and what `cards.register` does, which leaves the code
    as it was.
    """
    living = (CardRegistration.code_hash == _hash(letters_of(code)), CardRegistration.expires_at > clock.now())
    row = session().scalar(select(CardRegistration).where(*living).with_for_update())
    if row is None:
        raise RegistrationCodeUnusable
    if row.used_at is None:
        row.used_at = clock.now()
        return cards.register(reading, member_id=row.member_id), row.member_id
    known = cards.id_of(reading.idm, member_id=row.member_id)
    if known is None:
        raise RegistrationCodeUnusable
    return known, row.member_id


def _hash(letters: str) -> bytes:
    return keyed_hash(cards.settings().secret_key, purpose="card.registration", value=letters)
