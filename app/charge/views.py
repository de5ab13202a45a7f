"""How charges look to callers of the API. Plain dictionaries; the schemas describe them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select

from app.charge import rules
from app.charge.errors import ChargeUnknown
from app.charge.models import OPEN, ChargeLink, ChargeOrder, ChargeReceived
from app.charge.ports import Gateway
from app.db import session
from app.wallet import directory, holdings


def one(order_id: UUID, *, member_id: UUID, locale: str) -> dict[str, Any]:
    """A charge of this member, as payer or receiver. Raises ChargeUnknown."""
    query = select(ChargeOrder).where(ChargeOrder.id == order_id, _of(member_id))
    row = session().scalar(query)
    if row is None:
        raise ChargeUnknown
    return _view(row, _received([row.id])[row.id], member_id=member_id, locale=locale)


def page(*, member_id: UUID, before: UUID | None, limit: int, locale: str) -> tuple[list[dict[str, Any]], UUID | None]:
    """Charges, newest first, and where the next page begins."""
    query = select(ChargeOrder).where(_of(member_id)).order_by(ChargeOrder.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(ChargeOrder.id < before)
    rows = session().scalars(query).all()
    shown, more = rows[:limit], len(rows) > limit
    received = _received(row.id for row in shown)
    views = [_view(row, received[row.id], member_id=member_id, locale=locale) for row in shown]
    return views, shown[-1].id if more else None


def options(gateway: Gateway, *, member_id: UUID, locale: str) -> dict[str, Any]:
    """What this member may charge now, and how."""
    rule = rules.rules()
    methods = [
        {
            "method": method,
            "min_yen": rule.min_yen,
            "max_yen": rules.max_yen(rule, method),
            "step_yen": rule.step_yen,
            "fee_yen": rules.fee_yen(rule, method),
            "chains": [chain.value for chain in gateway.chains] if method == "konbini" else [],
            "left_yen": rules.card_left_yen(rule, payer_id=member_id) if method == "card" else None,
        }
        for method, offered in (("card", gateway.has_cards), ("konbini", bool(gateway.chains)))
        if offered
    ]
    monies = [
        {"money": wallet["money"], "balance_yen": wallet["balance_yen"], "room_yen": wallet["room_yen"]}
        for wallet in holdings.wallets(member_id=member_id, locale=locale)
        if wallet["status"] == "active" and _is_paid(wallet["money"]["code"])
    ]
    return {"methods": methods, "monies": monies, "identity": rule.identity}


def _is_paid(code: str) -> bool:
    money = directory.money(code)
    return money is not None and money.backing == "paid"


def _of(member_id: UUID) -> Any:
    return or_(ChargeOrder.payer_id == member_id, ChargeOrder.member_id == member_id)


def _received(orders: Iterable[UUID]) -> dict[UUID, list[ChargeReceived]]:
    found: dict[UUID, list[ChargeReceived]] = defaultdict(list)
    query = select(ChargeReceived).where(ChargeReceived.order_id.in_(list(orders))).order_by(ChargeReceived.number)
    for row in session().scalars(query):
        assert row.order_id is not None
        found[row.order_id].append(row)
    return found


def _view(row: ChargeOrder, received: Sequence[ChargeReceived], *, member_id: UUID, locale: str) -> dict[str, Any]:
    """Where payer and receiver are two, each sees their own side: how it is paid, or what entered the wallet."""
    is_payer, is_receiver = row.payer_id == member_id, row.member_id == member_id
    to_be_paid = row.state in OPEN and is_payer
    return {
        "id": str(row.id),
        "role": "self" if is_payer and is_receiver else "payer" if is_payer else "receiver",
        "receiver": session().get_one(ChargeLink, row.link_id).shown_as if row.link_id and not is_receiver else None,
        "state": row.state,
        "method": row.method,
        "money": directory.money_by_id(row.money_id).view(locale),
        "amount_yen": row.amount_yen,
        "fee_yen": row.fee_yen,
        "to_pay_yen": row.amount_yen + row.fee_yen,
        "redirect_url": row.page_url if to_be_paid else None,
        "chain": row.chain,
        "slip": row.slip if to_be_paid else None,
        "pay_until": _instant(row.pay_until),
        "failure": row.failure if is_payer else None,
        "card": {"brand": row.card_brand, "last4": row.card_last4} if row.card_hash and is_payer else None,
        "received": [_arrived(one, is_receiver=is_receiver) for one in received],
        "credited_yen": row.amount_yen * sum(one.state == "credited" for one in received),
        "replaces": str(row.replaces) if row.replaces else None,
        "created_at": _instant(row.created_at),
        "ended_at": _instant(row.ended_at),
    }


def _arrived(row: ChargeReceived, *, is_receiver: bool) -> dict[str, Any]:
    return {
        "amount_yen": row.amount_yen,
        "received_at": _instant(row.received_at),
        "state": row.state,
        "reason": row.reason,
        "late": row.late,
        "transaction_id": str(row.transaction_id) if row.transaction_id and is_receiver else None,
    }


def _instant(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant is not None else None
