"""A statement as the API shows it."""

from __future__ import annotations

from typing import Any

from app.wallet.statement.monthly import Holding, Line, Statement
from app.wallet.views import receipt_no


def view(statement: Statement, *, locale: str, may_see_balance: bool) -> dict[str, Any]:
    """The statement; balances are null for who may not see them."""
    return {
        "month": f"{statement.month:%Y-%m}",
        "from": statement.begins_at.isoformat(),
        "until": statement.ends_at.isoformat(),
        "complete": statement.complete,
        "monies": [_holding(one, locale, may_see_balance) for one in statement.holdings],
        "transactions": [_line(line, locale, may_see_balance) for line in statement.lines],
        "totals": [
            {
                "money": total.money.view(locale),
                "kind": total.kind,
                "count": total.count,
                "signed_amount_yen": total.amount_yen,
            }
            for total in statement.totals()
        ],
    }


def _holding(holding: Holding, locale: str, may_see_balance: bool) -> dict[str, Any]:
    expiring = [{"expires_on": day.isoformat(), "amount_yen": yen} for day, yen in holding.expiring.items()]
    return {
        "money": holding.money.view(locale),
        "opening_yen": holding.opening_yen if may_see_balance else None,
        "closing_yen": holding.closing_yen if may_see_balance else None,
        "expiring": expiring if may_see_balance else None,
    }


def _line(line: Line, locale: str, may_see_balance: bool) -> dict[str, Any]:
    return {
        "id": str(line.id),
        "receipt_no": receipt_no(line.position),
        "kind": line.kind,
        "created_at": line.created_at.isoformat(),
        "amount_yen": line.amount_yen,
        "shop": line.shop.view(locale) if line.shop else None,
        "description": line.description,
        "reverses": str(line.reverses) if line.reverses else None,
        "changes": [
            {
                "money": change.money.view(locale),
                "signed_amount_yen": change.amount_yen,
                "balance_yen": change.balance_yen if may_see_balance else None,
            }
            for change in line.changes
        ],
    }
