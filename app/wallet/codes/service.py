"""One-time codes, both ways: a shop shows one with an amount, or a member shows one for a minute.

That a code is used once is the ledger's: the poster locks its row, and the transaction that uses it up is written with
it. Here codes are made, found, cancelled, and it is kept why a scan did not pay.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import func, select, update

from app.db import autocommit, session, transaction
from app.errors import NotFound
from app.ids import keyed_hash, new_id
from app.issuer import current_issuer
from app.wallet.codes.digits import new_digits, normal
from app.wallet.errors import LedgerRefusal
from app.wallet.hold_models import OneTimeCode
from app.wallet.postings import Outcome, Refused

MEMBER_TTL = timedelta(seconds=60)
ROTATES_AFTER_S = 30
"""When an app should show the member's next code. The one before stays good until its minute is over."""
_KEPT_OPEN = 2
"""Codes of one permission that may be open at a time: the one shown, and the one a till is just reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCode:
    """A code as it was made. Its digits are told once; the row keeps their keyed hash."""

    id: UUID
    digits: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A code as it stands. `status`: open, used, cancelled or expired."""

    id: UUID
    side: str
    purpose: str
    status: str
    client_id: str
    member_id: UUID | None
    grant_id: UUID | None
    shop_id: UUID | None
    money: str | None
    amount_yen: int | None
    description: str
    expires_at: datetime
    used_by: UUID | None
    last_refusal: str | None
    last_refused_at: datetime | None


def show_member_code(*, client_id: str, member_id: UUID, grant_id: UUID, purpose: str, money: str | None) -> NewCode:
    """A new code of a member, good for a minute. Older ones but the last are cancelled. Call inside `transaction()`."""
    made = _make(
        side="member",
        ttl=MEMBER_TTL,
        client_id=client_id,
        member_id=member_id,
        grant_id=grant_id,
        purpose=purpose,
        money=money,
    )
    lately = OneTimeCode.created_at > func.now() - 2 * MEMBER_TTL  # whoever shows codes all day has very many
    theirs = (
        OneTimeCode.grant_id == grant_id,
        OneTimeCode.used_by.is_(None),
        OneTimeCode.cancelled_at.is_(None),
        lately,
    )
    newest = (
        select(OneTimeCode.id)
        .where(*theirs, OneTimeCode.expires_at > func.now())
        .order_by(OneTimeCode.created_at.desc(), OneTimeCode.id.desc())
        .limit(_KEPT_OPEN)
    )
    session().execute(
        update(OneTimeCode)
        .where(*theirs, OneTimeCode.expires_at > func.now(), OneTimeCode.id.not_in(newest))
        .values(cancelled_at=func.now())
    )
    return made


def show_shop_code(
    *, client_id: str, shop_id: UUID, amount_yen: int, money: str | None, description: str, ttl: timedelta
) -> NewCode:
    """A new code of a shop with its amount. Call inside `transaction()`."""
    return _make(
        side="shop",
        ttl=ttl,
        client_id=client_id,
        shop_id=shop_id,
        amount_yen=amount_yen,
        money=money,
        description=description,
        purpose="payment",
    )


def by_digits(text: str, *, side: str) -> Code | None:
    """The code that was scanned or typed, if there is one of that side."""
    digits = normal(text)
    found = None if digits is None else _find(OneTimeCode.code_hash == _hash(digits))
    return found if found is not None and found.side == side else None


def by_id(code_id: UUID, *, client_id: str) -> Code:
    """A code that this client asked for. Raises NotFound for another's as for none."""
    found = _find(OneTimeCode.id == code_id)
    if found is None or found.client_id != client_id:
        raise NotFound
    return found


def cancel(code_id: UUID, *, client_id: str) -> None:
    """Nobody pays by this code any more. Call inside `transaction()`. Raises NotFound, and `code_used` where it paid.

    Waits for a payment that is using it at this moment. Again, or after its time, it changes nothing.
    """
    row = (
        session()
        .scalars(
            select(OneTimeCode).where(OneTimeCode.id == code_id, OneTimeCode.client_id == client_id).with_for_update()
        )
        .one_or_none()
    )
    if row is None:
        raise NotFound
    if row.used_by is not None:
        raise LedgerRefusal("code_used")
    if row.cancelled_at is None:
        row.cancelled_at = func.now()


def keep_refusal(code_id: UUID | None, outcome: Outcome) -> None:
    """Keep why a scan did not pay, so that the shop can be told. Never called inside a transaction."""
    if code_id is None or not isinstance(outcome, Refused):
        return
    with transaction():
        session().execute(
            update(OneTimeCode)
            .where(OneTimeCode.id == code_id, OneTimeCode.used_by.is_(None))
            .values(last_refusal=outcome.code, last_refused_at=func.now())
        )


def _make(*, side: str, ttl: timedelta, **values: object) -> NewCode:
    digits = new_digits(side)
    row = OneTimeCode(
        id=new_id(), issuer_id=current_issuer().id, side=side, code_hash=_hash(digits), expires_at=func.now() + ttl
    )
    for name, value in values.items():
        setattr(row, name, value)
    session().add(row)
    session().flush()
    return NewCode(id=row.id, digits=digits, expires_at=row.expires_at)


def _find(where: object) -> Code | None:
    status = (
        select(OneTimeCode, (OneTimeCode.expires_at <= func.clock_timestamp()).label("is_over")).where(where)  # type: ignore[arg-type]
    )
    with autocommit().connect() as connection:
        row = connection.execute(status).one_or_none()
    if row is None:
        return None
    state = "open"
    if row.used_by is not None:
        state = "used"
    elif row.cancelled_at is not None:
        state = "cancelled"
    elif row.is_over:
        state = "expired"
    return Code(
        id=row.id,
        side=row.side,
        purpose=row.purpose,
        status=state,
        client_id=row.client_id,
        member_id=row.member_id,
        grant_id=row.grant_id,
        shop_id=row.shop_id,
        money=row.money,
        amount_yen=row.amount_yen,
        description=row.description,
        expires_at=row.expires_at,
        used_by=row.used_by,
        last_refusal=row.last_refusal,
        last_refused_at=row.last_refused_at,
    )


def _hash(digits: str) -> bytes:
    key: bytes = current_app.extensions["kumiai.settings"].secret_key
    return keyed_hash(key, purpose="one_time_code", value=digits)
