"""What the co-op offers: its monies with their rules, and the shops with what they accept. One query each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from app.db import autocommit
from app.wallet import directory

_MONIES = text("""
    SELECT m.id, m.backing, m.groups, m.expiry, m.expires_month_day, m.expiry_min_days, m.expiry_months,
           m.ceiling_yen, m.max_per_payment_yen, m.max_per_day_yen, m.max_per_month_yen,
           m.points_money_id, m.points_rate_bp, m.points_rounding,
           (SELECT json_agg(json_build_array(t.id, r.min_yen, r.max_yen, r.step_yen) ORDER BY t.position, t.code)
              FROM move_rule r
              JOIN money t ON t.id = r.to_money_id
             WHERE r.from_money_id = m.id) AS moves
      FROM money m
     ORDER BY m.position, m.code
""")

_SHOPS = text("""
    SELECT s.id, s.status,
           (SELECT json_agg(json_build_array(m.id, a.falls_to) ORDER BY m.position, m.code)
              FROM shop_money a
              JOIN money m ON m.id = a.money_id
             WHERE a.shop_id = s.id AND a.accepted) AS accepts
      FROM shop s
     WHERE s.id = ANY(:shops)
     ORDER BY s.code
""")


def monies(*, locale: str) -> list[dict[str, Any]]:
    """The issuer's monies, in their order on pages."""
    with autocommit().connect() as connection:
        rows = connection.execute(_MONIES).all()
    return [_money(row, locale) for row in rows]


def shops(ids: Sequence[UUID], *, locale: str) -> list[dict[str, Any]]:
    """These shops, by their codes."""
    with autocommit().connect() as connection:
        rows = connection.execute(_SHOPS, {"shops": list(ids)}).all()
    return [
        {
            **directory.shop_by_id(row.id).view(locale),
            "status": row.status,
            "accepts": [
                {"money": directory.money_by_id(money_id).view(locale), "falls_to": falls_to}
                for money_id, falls_to in row.accepts or ()
            ],
        }
        for row in rows
    ]


def _money(row: Row[Any], locale: str) -> dict[str, Any]:
    return {
        **directory.money_by_id(row.id).view(locale),
        "backing": row.backing,
        "groups": row.groups,
        "expiry": {
            "rule": row.expiry,
            "month_day": row.expires_month_day,
            "min_days": row.expiry_min_days if row.expiry == "fixed_date" else None,
            "months": row.expiry_months,
        },
        "ceiling_yen": row.ceiling_yen,
        "max_per_payment_yen": row.max_per_payment_yen,
        "max_per_day_yen": row.max_per_day_yen,
        "max_per_month_yen": row.max_per_month_yen,
        "points": _points(row, locale),
        "moves_to": [
            {
                "money": directory.money_by_id(to_id).view(locale),
                "min_yen": min_yen,
                "max_yen": max_yen,
                "step_yen": step_yen,
            }
            for to_id, min_yen, max_yen, step_yen in row.moves or ()
        ],
    }


def _points(row: Row[Any], locale: str) -> dict[str, Any] | None:
    if row.points_money_id is None:
        return None
    return {
        "money": directory.money_by_id(row.points_money_id).view(locale),
        "rate_bp": row.points_rate_bp,
        "rounding": row.points_rounding,
    }
