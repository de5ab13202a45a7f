"""PINs (暗証番号): set by the member, reset by staff, locked after five wrong tries. The till never keeps one.

A try is counted before it is checked, in a transaction of its own: however many come at a time, five are looked at.
There are few PINs, so a hash alone hides none: each is keyed with the card pepper, which no backup has.
"""

from __future__ import annotations

import itertools
import unicodedata
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.db import autocommit, session, transaction
from app.ids import keyed_hash
from app.member.models import Member
from app.member.passwords import hash_password, verify_password
from app.reader import cards
from app.reader.errors import PinGuessable, PinWrongForm
from app.reader.models import MemberPin

MIN_DIGITS, MAX_DIGITS = 4, 8
TRIES = 5


def put(member_id: UUID, pin: str) -> None:
    """Set a member's PIN, with all tries again. Call inside `transaction()`. Raises PinWrongForm, PinGuessable."""
    digits = normal(pin)
    if not (digits.isascii() and digits.isdecimal() and MIN_DIGITS <= len(digits) <= MAX_DIGITS):
        raise PinWrongForm
    if _is_plain(digits) or _is_about(session().get_one(Member, member_id), digits):
        raise PinGuessable
    values = {"pin_hash": hash_password(_keyed(member_id, digits)), "wrong_tries": 0, "set_at": clock.now()}
    statement = insert(MemberPin).values(member_id=member_id, **values)
    session().execute(statement.on_conflict_do_update(index_elements=["member_id"], set_=values))


def forget(member_id: UUID) -> bool:
    """Staff resets a PIN: the member sets a new one. Whether there was one. Call inside `transaction()`."""
    found = session().scalar(delete(MemberPin).where(MemberPin.member_id == member_id).returning(MemberPin.member_id))
    return found is not None


def state(member_id: UUID) -> str:
    """`none`, `set` or `locked`."""
    with autocommit().connect() as connection:
        tries = connection.scalar(select(MemberPin.wrong_tries).where(MemberPin.member_id == member_id))
    if tries is None:
        return "none"
    return "locked" if tries >= TRIES else "set"


def check(member_id: UUID, pin: str) -> tuple[str, int]:
    """Try a PIN: `right`, `wrong`, `locked` or `none`, and the tries left. Never inside a transaction."""
    mine = MemberPin.member_id == member_id
    with transaction():
        tried = (
            session()
            .execute(
                update(MemberPin)
                .where(mine, MemberPin.wrong_tries < TRIES)
                .values(wrong_tries=MemberPin.wrong_tries + 1)
                .returning(MemberPin.pin_hash, MemberPin.wrong_tries, MemberPin.set_at)
            )
            .one_or_none()
        )
        if tried is None:
            return ("none" if session().scalar(select(MemberPin.set_at).where(mine)) is None else "locked"), 0
    if not verify_password(_keyed(member_id, normal(pin)), password_hash=tried.pin_hash):
        left = TRIES - tried.wrong_tries
        return ("wrong" if left else "locked"), left
    with transaction():  # the PIN that was checked: not another that was set meanwhile
        session().execute(update(MemberPin).where(mine, MemberPin.set_at == tried.set_at).values(wrong_tries=0))
    return "right", TRIES


def normal(pin: str) -> str:
    """Full-width digits, which Japanese keyboards write, are digits."""
    return unicodedata.normalize("NFKC", pin).strip()


def _keyed(member_id: UUID, digits: str) -> str:
    return keyed_hash(cards.settings().card_pepper, purpose=f"member.pin {member_id}", value=digits).hex()


def _is_plain(digits: str) -> bool:
    """One digit or one pair again and again, or digits in their order."""
    steps = {(int(after) - int(before)) % 10 for before, after in itertools.pairwise(digits)}
    pairs = {digits[i : i + 2] for i in range(0, len(digits), 2)}
    return steps in ({0}, {1}, {9}) or len(pairs) == 1


def _is_about(member: Member, digits: str) -> bool:
    """The member's birthday in some way of writing it, or the end of their telephone number."""
    if (member.phone_number or "").endswith(digits):
        return True
    if member.birthday is None:
        return False
    year, month, day = f"{member.birthday:%Y}", f"{member.birthday:%m}", f"{member.birthday:%d}"
    ways = itertools.permutations((year, month, day)), itertools.permutations((year[2:], month, day))
    return digits in {year, month + day, day + month} | {"".join(way) for way in itertools.chain(*ways)}
