"""What a member has: wallets with their lots and limits. One query, whatever the ledger's size."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from app.db import autocommit
from app.issuer import issuer_zone
from app.wallet import directory
from app.wallet.books import spent_yen

# A lot's last day is its own; of the undated one, the wallet's. Lots that were emptied stay, and are many: by index.
_WALLETS = text("""
    SELECT w.money_id, w.status, w.total_yen, w.pending_yen, w.reserved_yen, m.ceiling_yen,
           least(m.max_per_payment_yen, w.max_per_payment_yen) AS max_per_payment_yen,
           least(m.max_per_day_yen, w.max_per_day_yen) AS max_per_day_yen,
           least(m.max_per_month_yen, w.max_per_month_yen) AS max_per_month_yen,
           w.spent_on, w.spent_day_yen, w.spent_month_yen, clock.today, lots.days, lots.posted, lots.held
      FROM wallet w
      JOIN money m ON m.id = w.money_id
     CROSS JOIN (SELECT (clock_timestamp() AT TIME ZONE :zone)::date AS today) AS clock
     CROSS JOIN LATERAL (
           SELECT array_agg(coalesce(a.expires_on, w.expires_on)) AS days,
                  array_agg(a.posted_yen) AS posted, array_agg(a.pending_yen) AS held
             FROM account a
            WHERE a.wallet_id = w.id AND a.posted_yen > 0
           ) AS lots
     WHERE w.member_id = :member
     ORDER BY m.position, m.code
""")


def wallets(*, member_id: UUID, locale: str) -> list[dict[str, Any]]:
    """A member's wallets in the order of the issuer's monies."""
    with autocommit().connect() as connection:
        rows = connection.execute(_WALLETS, {"member": member_id, "zone": issuer_zone().key}).all()
    return [_wallet(row, locale) for row in rows]


def _wallet(row: Row[Any], locale: str) -> dict[str, Any]:
    """`balance_yen` leaves out what has expired and waits to be swept away; what of it is held stays until then."""
    lots = _lots(row)
    balance_yen = sum(lots.values())
    return {
        "money": directory.money_by_id(row.money_id).view(locale),
        "status": row.status,
        "balance_yen": balance_yen,
        "available_yen": balance_yen - row.pending_yen,
        "held_yen": row.pending_yen,
        "reserved_yen": row.reserved_yen,
        "lots": [
            {"amount_yen": amount_yen, "expires_on": until.isoformat() if until else None}
            for until, amount_yen in sorted(lots.items(), key=lambda lot: (lot[0] is None, lot[0]))
        ],
        "ceiling_yen": row.ceiling_yen,
        "room_yen": _room_yen(row),
        "limits": _limits(row),
    }


def _lots(row: Row[Any]) -> dict[date | None, int]:
    """What is good until when. Lots of one day are one."""
    lots: dict[date | None, int] = {}
    days: Sequence[date | None] = row.days or ()
    for until, posted_yen, held_yen in zip(days, row.posted or (), row.held or (), strict=True):
        amount_yen = held_yen if until is not None and until < row.today else posted_yen
        if amount_yen:
            lots[until] = lots.get(until, 0) + amount_yen
    return lots


def _room_yen(row: Row[Any]) -> int | None:
    if row.ceiling_yen is None:
        return None
    room_yen: int = max(0, row.ceiling_yen - row.total_yen - row.reserved_yen)
    return room_yen


def _limits(row: Row[Any]) -> dict[str, int | None]:
    day_yen, month_yen = spent_yen(row.spent_on, row.spent_day_yen, row.spent_month_yen, today=row.today)
    return {
        "max_per_payment_yen": row.max_per_payment_yen,
        "max_per_day_yen": row.max_per_day_yen,
        "used_today_yen": day_yen,
        "max_per_month_yen": row.max_per_month_yen,
        "used_this_month_yen": month_yen,
    }
