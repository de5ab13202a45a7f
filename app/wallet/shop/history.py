"""What a shop's back office sees: the transactions that changed its takings, and nobody's name."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, case, false, func, select, true, union
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.db import autocommit
from app.ids import keyed_hash
from app.issuer import current_issuer
from app.wallet import directory, views
from app.wallet import search as searching
from app.wallet.directory import ShopEntry
from app.wallet.models import Account, Transaction, Transfer
from app.wallet.search import LOOKED_AT, LookedAt, Page, Search, Span

_REFERENCE_BYTES = 16


def transactions(
    shop: ShopEntry, *, client_id: str, secret_key: bytes, locale: str, search: Search, limit: int, before: int | None
) -> tuple[list[dict[str, Any]], Page]:
    """One page of a shop's transactions, newest first. Of requests, only those of `client_id` are named."""
    with autocommit().connect() as connection:
        span = searching.span(connection, issuer_id=current_issuer().id, search=search, before=before)
        accounts = _takings(connection, shop, search)
        page = searching.page(connection, looked_at=_moved(accounts, span), search=search, limit=limit)
        rows = connection.execute(
            select(*_COLUMNS).where(Transaction.id.in_(page.ids)).order_by(Transaction.position.desc())
        ).all()
        parts = _parts(connection, list(accounts), page.ids, locale=locale)
    shown = [
        _view(row, parts=parts[row.id], client_id=client_id, member=_reference(shop, row.member_id, secret_key))
        for row in rows
    ]
    return shown, page


_COLUMNS = (
    Transaction.id,
    Transaction.position,
    Transaction.kind,
    Transaction.amount_yen,
    Transaction.member_id,
    Transaction.description,
    Transaction.requester,
    Transaction.request_id,
    Transaction.reverses,
    Transaction.terminal_id,
    Transaction.taken_at,
    Transaction.created_at,
)


def _takings(connection: Connection, shop: ShopEntry, search: Search) -> dict[int, int]:
    """The accounts of a shop's takings with their money; of one money where that is searched for."""
    query = select(Account.id, Account.money_id).where(Account.shop_id == shop.id)
    if search.money is not None:
        query = query.where(Account.money_id == search.money.id)
    return {row.id: row.money_id for row in connection.execute(query)}


def _moved(accounts: Iterable[int], span: Span) -> LookedAt:
    """The transactions that moved something into or out of these accounts, newest first.

    There is no index of a shop's transactions, which every payment would have to keep: the transfers' own are read,
    of each side of each account as many as a page may look at, so that together they hold the newest of all.
    """
    sides = [
        select(Transfer.position)
        .where(side == account_id, Transfer.position > span.after, Transfer.position <= span.upto)
        .distinct()
        .order_by(Transfer.position.desc())
        .limit(LOOKED_AT)
        .subquery()
        for account_id in accounts
        for side in (Transfer.debit_account_id, Transfer.credit_account_id)
    ]
    nothing = select(Transfer.position).where(false())
    newest = union(nothing, *(select(side.c.position) for side in sides)).subquery()
    one = select(*searching.COLUMNS).where(
        Transaction.issuer_id == current_issuer().id, Transaction.position == newest.c.position
    )
    moved = one.limit(1).lateral()  # with its limit it is looked up one by one, by key
    return select(moved).select_from(newest.join(moved, true())).order_by(moved.c.position.desc())


def _parts(
    connection: Connection, accounts: list[int], ids: list[UUID], *, locale: str
) -> dict[UUID, list[dict[str, Any]]]:
    """By transaction, what it did to the shop's takings in each money, and what they were after it."""
    enters = Transfer.credit_account_id.in_(accounts)
    leaves = Transfer.debit_account_id.in_(accounts)
    change = case((enters, Transfer.amount_yen), else_=-Transfer.amount_yen)
    after = case((enters, Transfer.credit_after_yen), else_=Transfer.debit_after_yen)
    last = func.array_agg(aggregate_order_by(after, Transfer.line.desc()))
    rows = connection.execute(
        select(Transfer.transaction_id, Transfer.money_id, func.sum(change).label("yen"), last.label("after"))
        .where(Transfer.transaction_id.in_(ids), enters | leaves)
        .group_by(Transfer.transaction_id, Transfer.money_id)
        .order_by(func.min(Transfer.line))
    )
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        money = directory.money_by_id(row.money_id).view(locale)
        part = {"money": money, "signed_amount_yen": int(row.yen), "balance_yen": row.after[0]}
        found[row.transaction_id].append(part)
    return found


def _reference(shop: ShopEntry, member_id: UUID | None, secret_key: bytes) -> str | None:
    """The same for a member at this shop, and at no other; nobody without the key finds the member by it."""
    if member_id is None:
        return None
    raw = keyed_hash(secret_key, purpose="member at a shop", value=f"{shop.id} {member_id}")[:_REFERENCE_BYTES]
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _view(
    row: Row[*tuple[Any, ...]], *, parts: list[dict[str, Any]], client_id: str, member: str | None
) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "receipt_no": views.receipt_no(row.position),
        "kind": row.kind,
        "amount_yen": row.amount_yen,
        "parts": parts,
        "member": member,
        "description": row.description,
        "request_id": row.request_id if row.requester == client_id else None,
        "reverses": str(row.reverses) if row.reverses else None,
        "terminal_id": str(row.terminal_id) if row.terminal_id else None,
        "taken_at": row.taken_at.isoformat() if row.taken_at else None,
        "created_at": row.created_at.isoformat(),
    }
