"""Settlements for people and clients to read: plain values, with the names of what they refer to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from app.db import autocommit
from app.errors import NotFound
from app.wallet import directory
from app.wallet.directory import MoneyEntry, ShopEntry
from app.wallet.settlement.models import Settlement, SettlementLine, SettlementTransfer, TransferFile

_LINE = (
    *("money_id", "backing", "payments", "payments_yen", "refunds", "refunds_yen", "others_yen"),
    *("carried_in_yen", "carried_out_yen", "settled_yen", "reimbursed", "fee_rate_bp", "fee_yen", "payable_yen"),
)
_HEAD = (
    *("id", "shop_id", "number", "first_day", "through_day", "after_position", "through_position"),
    *("settled_yen", "payable_yen", "state", "transaction_id", "created_at", "closed_at"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """One money of a settlement."""

    money: MoneyEntry
    backing: str
    payments: int
    payments_yen: int
    refunds: int
    refunds_yen: int
    others_yen: int
    carried_in_yen: int
    carried_out_yen: int
    settled_yen: int
    reimbursed: bool
    fee_rate_bp: int
    fee_yen: int
    payable_yen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementView:
    """A settlement with its lines, in the order of the issuer's monies. `transfer_on`: the day of the bank's file."""

    id: UUID
    shop: ShopEntry
    number: int
    first_day: date
    through_day: date
    after_position: int
    through_position: int
    settled_yen: int
    payable_yen: int
    state: str
    transaction_id: UUID | None
    created_at: datetime
    closed_at: datetime | None
    transfer_on: date | None
    lines: tuple[LineView, ...]

    @property
    def name(self) -> str:
        """What it is called in speech and in file names: the shop's code and its number."""
        return f"{self.shop.code}-{self.number:04d}"


def settlement(settlement_id: UUID, *, shops: Collection[UUID] | None = None) -> SettlementView:
    """One settlement, of one of `shops` (None: of any). Raises NotFound for another's as for none."""
    found = _read(_query(shops).where(Settlement.id == settlement_id))
    if not found:
        raise NotFound
    return found[0]


def by_number(shop_id: UUID, number: int) -> SettlementView:
    """A shop's settlement by its number. Raises NotFound."""
    found = _read(_query([shop_id]).where(Settlement.number == number))
    if not found:
        raise NotFound
    return found[0]


def settlements(
    *, shops: Collection[UUID] | None, limit: int, before: UUID | None = None
) -> tuple[list[SettlementView], UUID | None]:
    """One page of the settlements of `shops` (None: of all), newest first, and the id to go on before."""
    query = _query(shops).order_by(Settlement.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(Settlement.id < before)
    found = _read(query)
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def _query(shops: Collection[UUID] | None) -> Select[*tuple[Any, ...]]:
    query = (
        select(*(getattr(Settlement, name) for name in _HEAD), TransferFile.transfer_on)
        .outerjoin(SettlementTransfer, SettlementTransfer.settlement_id == Settlement.id)
        .outerjoin(TransferFile, TransferFile.id == SettlementTransfer.file_id)
    )
    return query if shops is None else query.where(Settlement.shop_id.in_(list(shops)))


def _read(query: Select[*tuple[Any, ...]]) -> list[SettlementView]:
    with autocommit().connect() as connection:
        heads = connection.execute(query).mappings().all()
        wanted = select(SettlementLine.settlement_id, *(getattr(SettlementLine, name) for name in _LINE))
        ids = [head["id"] for head in heads]
        rows = connection.execute(wanted.where(SettlementLine.settlement_id.in_(ids))).mappings().all() if ids else []
    lines: dict[UUID, list[LineView]] = {}
    for row in rows:
        values = {name: row[name] for name in _LINE if name != "money_id"}
        line = LineView(money=directory.money_by_id(row["money_id"]), **values)
        lines.setdefault(row["settlement_id"], []).append(line)
    return [_view(dict(head), lines.get(head["id"], ())) for head in heads]


def _view(head: dict[str, Any], lines: Sequence[LineView]) -> SettlementView:
    in_order = sorted(lines, key=lambda line: (line.money.position, line.money.code))
    return SettlementView(shop=directory.shop_by_id(head.pop("shop_id")), lines=tuple(in_order), **head)
