"""Six-digit codes sent to a member: ten minutes, five tries, used once.

A million possibilities can be tried through, so only an HMAC is stored, bound to the row, and every guess is counted
by the statement that lets it be compared at all: guesses sent at the same moment wait for each other at the row.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from flask import current_app
from sqlalchemy import ColumnElement, delete, func, select, update

from app import clock
from app.db import session
from app.ids import keyed_hash, new_id, same
from app.member.errors import CodeExhausted, CodeUnusable, WrongCode
from app.member.models import Member, VerificationCode

Purpose = Literal["sign_in", "password_reset"]

LIFE = timedelta(minutes=10)
MAX_TRIES = 5


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A new code. `digits` goes into the message to the member and nowhere else."""

    id: UUID
    digits: str
    expires_at: datetime


def issue(member_id: UUID, *, purpose: Purpose, code_id: UUID | None = None) -> IssuedCode:
    """Make a new code. The member's former code of that purpose stops working."""
    # the member's row is the queue: of two requests at the same moment the later one replaces the former's code
    _lock(Member.id == member_id)
    session().execute(
        delete(VerificationCode).where(VerificationCode.member_id == member_id, VerificationCode.purpose == purpose)
    )
    code = IssuedCode(
        id=code_id or new_id(), digits=f"{secrets.randbelow(1_000_000):06}", expires_at=clock.now() + LIFE
    )
    session().add(
        VerificationCode(
            id=code.id,
            member_id=member_id,
            purpose=purpose,
            code_hash=_code_hash(code.id, code.digits),
            expires_at=code.expires_at,
        )
    )
    session().flush()
    return code


def redeem(code_id: UUID, *, purpose: Purpose, digits: str) -> UUID:
    """Use the code up; returns its member.

    Raises WrongCode and at the last try CodeExhausted (the try stays counted), and CodeUnusable.
    """
    its_member = select(VerificationCode.member_id).where(VerificationCode.id == code_id).scalar_subquery()
    _lock(Member.id == its_member)  # before the code, as whoever replaces or forgets it does
    counted = (
        session()
        .execute(
            update(VerificationCode)
            .where(
                VerificationCode.id == code_id,
                VerificationCode.purpose == purpose,
                VerificationCode.tries < MAX_TRIES,
                VerificationCode.used_at.is_(None),
                VerificationCode.expires_at > func.now(),
            )
            .values(tries=VerificationCode.tries + 1)
            .returning(VerificationCode.member_id, VerificationCode.code_hash, VerificationCode.tries)
        )
        .one_or_none()
    )
    if counted is None:
        raise CodeUnusable
    if not same(counted.code_hash, _code_hash(code_id, digits)):
        tries_left = MAX_TRIES - counted.tries
        raise WrongCode(tries_left=tries_left) if tries_left else CodeExhausted
    session().execute(update(VerificationCode).where(VerificationCode.id == code_id).values(used_at=func.now()))
    member_id: UUID = counted.member_id
    return member_id


def forget(member_id: UUID) -> None:
    """Let no code that was sent to the member work any more."""
    session().execute(delete(VerificationCode).where(VerificationCode.member_id == member_id))


def _lock(which: ColumnElement[bool]) -> None:
    """Wait for whoever has the member's row, and keep it until the transaction ends."""
    session().execute(select(Member.id).where(which).with_for_update(key_share=True))


def _code_hash(code_id: UUID, digits: str) -> bytes:
    key: bytes = current_app.extensions["kumiai.settings"].secret_key
    return keyed_hash(key, purpose=f"code:{code_id}", value=digits)
