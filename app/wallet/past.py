"""Balances of the past as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from app import clock
from app.db import autocommit
from app.issuer import current_issuer
from app.wallet import as_of, directory
from app.wallet.directory import ShopEntry
from app.wallet.errors import LedgerRefusal
from app.web.arguments import refuse_query
from app.web.locale import current_locale


def wallets(*, member_id: UUID, at: datetime) -> dict[str, Any]:
    """A member's wallets as they were, in the order of the issuer's monies."""
    shown = _by_money(_wallets(member_id=member_id, at=at))
    return {"at": at.isoformat(), "wallets": shown, "total_yen": sum(one["balance_yen"] for one in shown)}


def wallet(money: str, *, member_id: UUID, at: datetime) -> dict[str, Any]:
    """One of them. Raises LedgerRefusal."""
    for one in _by_money(_wallets(member_id=member_id, at=at)):
        if one["money"]["code"] == money:
            return {"at": at.isoformat(), **one}
    raise LedgerRefusal("wallet_unknown", money=money)


def shop_balance(shop: ShopEntry, *, at: datetime | None) -> dict[str, Any]:
    """A shop's takings by money, as they were or (None) are."""
    with autocommit().connect() as connection:
        position = _position(connection, at)
        takings = as_of.takings(connection, shop_id=shop.id, position=position)
    shown = _by_money(takings)
    return {
        "at": (at or clock.now()).isoformat(),
        "shop": shop.view(current_locale()),
        "takings": shown,
        "total_yen": sum(one["balance_yen"] for one in shown),
    }


def _wallets(*, member_id: UUID, at: datetime) -> dict[int, int]:
    with autocommit().connect() as connection:
        found = as_of.wallets(connection, member_id=member_id, position=_position(connection, at))
    return {money_id: lots.balance_yen for money_id, lots in found.items()}


def _position(connection: Connection, at: datetime | None) -> int:
    """The position of an instant; None: now."""
    if at is None:
        return as_of.position_by(connection, issuer_id=current_issuer().id)
    try:
        return as_of.position_at(connection, issuer_id=current_issuer().id, at=at)
    except as_of.InTheFuture:
        refuse_query(at="Must not be in the future. Without it, what is there now is answered.")


def _by_money(balances: Mapping[int, int]) -> list[dict[str, Any]]:
    entries = sorted(
        ((directory.money_by_id(money_id), balance_yen) for money_id, balance_yen in balances.items()),
        key=lambda entry: (entry[0].position, entry[0].code),
    )
    return [{"money": money.view(current_locale()), "balance_yen": balance_yen} for money, balance_yen in entries]
