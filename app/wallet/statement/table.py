"""A statement as a table for a spreadsheet (RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

from app.wallet.statement.monthly import Statement
from app.wallet.views import receipt_no

FIELDS = ("created_at", "receipt_no", "kind", "shop", "description", "money", "money_name", "amount_yen")
BALANCE = "balance_yen"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # Excel takes the wide ones too


def table(statement: Statement, *, zone: ZoneInfo, locale: str, may_see_balance: bool) -> bytes:
    """One row for each wallet that a transaction changed, between the balances at the beginning and at the end.

    In UTF-8 with the mark that spreadsheets in Japan ask for. Without the right to balances those rows and the
    column are left out. Times are the issuer's.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    width = len(FIELDS) + may_see_balance
    writer.writerow([*FIELDS, BALANCE][:width])
    rows = [*_opening(statement, zone, locale), *_closing(statement, zone, locale)] if may_see_balance else []
    first, last = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    for row in (*first, *_lines(statement, zone, locale), *last):
        writer.writerow([_harmless(cell) for cell in row[:width]])
    return ("\ufeff" + out.getvalue()).encode()


def _opening(statement: Statement, zone: ZoneInfo, locale: str) -> Iterator[list[object]]:
    at = statement.begins_at.astimezone(zone).isoformat()
    for holding in statement.holdings:
        money = holding.money.view(locale)
        yield [at, "", "opening", "", "", money["code"], money["name"], "", holding.opening_yen]


def _closing(statement: Statement, zone: ZoneInfo, locale: str) -> Iterator[list[object]]:
    at = statement.ends_at.astimezone(zone).isoformat()
    for holding in statement.holdings:
        money = holding.money.view(locale)
        yield [at, "", "closing", "", "", money["code"], money["name"], "", holding.closing_yen]


def _lines(statement: Statement, zone: ZoneInfo, locale: str) -> Iterable[list[object]]:
    for line in statement.lines:
        at = line.created_at.astimezone(zone).isoformat()
        shop = line.shop.view(locale)["name"] if line.shop else ""
        about = [at, receipt_no(line.position), line.kind, shop, line.description]
        for change in line.changes:
            money = change.money.view(locale)
            yield [*about, money["code"], money["name"], change.amount_yen, change.balance_yen]
        if not line.changes:
            yield [*about, "", "", "", ""]


def _harmless(cell: object) -> object:
    """Text that a spreadsheet would take for a formula gets an apostrophe (OWASP, CSV injection); no number does."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
