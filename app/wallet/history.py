"""Reading the ledger: transactions of a member. One query each, by key, whatever the ledger's size."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, or_, select

from app.db import autocommit
from app.errors import NotFound
from app.issuer import current_issuer
from app.wallet import directory, views
from app.wallet import search as searching
from app.wallet.models import Request, Transaction, named
from app.wallet.postings import Refused
from app.wallet.search import Page, Search
from app.wallet.views import Names


def transactions(
    *, member_id: UUID, locale: str, search: Search, limit: int, before: int | None, may_see_balance: bool
) -> tuple[list[dict[str, Any]], Page]:
    """One page of a member's transactions, newest first. Where a money is searched for, `balance_yen` is of that."""
    with autocommit().connect() as connection:
        span = searching.span(connection, issuer_id=current_issuer().id, search=search, before=before)
        looked_at = (
            select(*searching.COLUMNS)
            .where(Transaction.member_id == member_id)
            .where(Transaction.position > span.after, Transaction.position <= span.upto)
            .order_by(Transaction.position.desc())
        )
        page = searching.page(connection, looked_at=looked_at, search=search, limit=limit)
        query = _transactions().where(Transaction.id.in_(page.ids)).order_by(Transaction.position.desc())
        rows = connection.execute(query).all()
    shown = [_view(row, locale=locale, may_see_balance=may_see_balance) for row in rows]
    if search.money is not None and may_see_balance:
        for view, row in zip(shown, rows, strict=True):
            view["balance_yen"] = _balance_in(search.money.code, row)
    return shown, page


def transaction(*, transaction_id: UUID, member_id: UUID, locale: str, may_see_balance: bool) -> dict[str, Any]:
    """One transaction of a member. Raises NotFound for another's as for none."""
    query = _transactions().where(Transaction.id == transaction_id, Transaction.member_id == member_id)
    with autocommit().connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound
    return _view(row, locale=locale, may_see_balance=may_see_balance)


def with_refunds(payment_id: UUID, *, locale: str, may_see_balance: bool) -> list[dict[str, Any]]:
    """A payment that exists, and then its refunds in their order."""
    which = or_(Transaction.id == payment_id, Transaction.reverses == payment_id)
    with autocommit().connect() as connection:
        rows = connection.execute(_transactions().where(which).order_by(Transaction.position)).all()
    return [_view(row, locale=locale, may_see_balance=may_see_balance) for row in rows]


def by_request(
    *, requester: str, request_id: str, member_id: UUID | None, locale: str, may_see_balance: bool
) -> tuple[dict[str, Any] | None, Refused | None]:
    """What became of a request: its transaction, or its refusal. Raises NotFound where it never arrived.

    A client acting for a member finds only what it asked for that member.
    """
    where = (Request.requester == requester, Request.request_id == request_id)
    with autocommit().connect() as connection:
        asked = select(Request.member_id, Request.refusal, Request.answer).where(*where)
        known = connection.execute(asked).one_or_none()
        row = connection.execute(_transactions().where(*where)).one_or_none()
    if known is None:
        raise NotFound
    owner = known.member_id if row is None else row.member_id
    if member_id and member_id != owner:
        raise NotFound
    if row is None:
        return None, Refused(code=str(known.refusal), detail=known.answer["detail"])
    return _view(row, locale=locale, may_see_balance=may_see_balance), None


def is_decided(*, requester: str, request_id: str) -> bool:
    """Whether a request of this name has its answer: posting it again moves nothing, for ever."""
    where = (Request.requester == requester, Request.request_id == request_id)
    with autocommit().connect() as connection:
        return connection.scalar(select(Request.request_id).where(*where)) is not None


def _balance_in(money: str, row: Row[Any]) -> int:
    """The balance of one of the wallets a transaction touched, right after it."""
    parts = {code: balance_yen for code, _, balance_yen in row.answer.get("parts", ())}
    return int(parts.get(money, row.answer["balance_yen"]))


def _transactions() -> Select[*tuple[Any, ...]]:
    return select(
        Transaction.id,
        Transaction.position,
        Transaction.kind,
        Transaction.amount_yen,
        Transaction.money_id,
        Transaction.member_id,
        Transaction.shop_id,
        Transaction.created_at,
        Transaction.request_id,
        Transaction.description,
        Transaction.extra.label("extra"),  # its column is called metadata
        Transaction.reverses,
        Transaction.hold_id,
        Transaction.taken_at,
        Request.answer,
    ).join(Request, named(Transaction))


def _view(row: Row[Any], *, locale: str, may_see_balance: bool) -> dict[str, Any]:
    return views.transaction(
        id=row.id,
        position=row.position,
        kind=row.kind,
        amount_yen=row.amount_yen,
        money=directory.money_by_id(row.money_id).code,
        shop_id=row.shop_id,
        created_at=row.created_at,
        request_id=row.request_id,
        balance_yen=row.answer["balance_yen"],
        names=Names(locale),
        may_see_balance=may_see_balance,
        parts=row.answer.get("parts"),
        points_yen=row.answer.get("points_yen", 0),
        points_missing_yen=row.answer.get("points_missing_yen", 0),
        description=row.description,
        metadata=row.extra,
        reverses=row.reverses,
        hold_id=row.hold_id,
        taken_at=row.taken_at,
    )
