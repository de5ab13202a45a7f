"""A month and a receipt on paper, in the language that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from babel.dates import format_date, format_datetime

from app.issuer import current_issuer, issuer_zone
from app.paper.document import Block, Column, Document, Facts, Note, QrCode, Table
from app.paper.render import render
from app.wallet.proof.links import receipt_url
from app.wallet.statement.monthly import Change, Line, Statement
from app.wallet.statement.receipt import Receipt
from app.wallet.views import receipt_no
from app.web.locale import translate


def statement_pdf(statement: Statement, *, name: str, locale: str, may_see_balance: bool) -> bytes:
    """A month as a PDF. `name` may be empty; without the right to balances their columns are left out."""
    blocks = [*_balances(statement, locale)] if may_see_balance else []
    blocks += [_transactions(statement, locale, may_see_balance=may_see_balance), _totals(statement, locale)]
    return render(
        Document(
            title=_say("title", locale),
            issuer=current_issuer().name(locale),
            period=_period(statement, locale),
            to=_say("to", locale, name=name) if name else "",
            footer=current_issuer().name(locale),
            language=locale,
            blocks=blocks,
        )
    )


def receipt_pdf(receipt: Receipt, *, locale: str) -> bytes:
    """A transaction's receipt as a PDF, with the address of its proof as a QR code."""
    line = receipt.line
    facts: list[tuple[str, str | int]] = [
        (_say("amount", locale), line.amount_yen),
        (_say("kind", locale), translate(f"receipt.kind.{line.kind}", locale)),
        (_say("money", locale), receipt.money.view(locale)["name"]),
    ]
    if line.shop:
        facts.append((_say("shop", locale), line.shop.view(locale)["name"]))
    facts.append((_say("time", locale), _moment(line.created_at, locale)))
    if line.description:
        facts.append((_say("description", locale), line.description))
    blocks: list[Block] = [Facts(pairs=facts, strong=frozenset({_say("amount", locale)}))]
    if line.changes:
        blocks.append(_parts(line, locale))
    if receipt.refunds:
        blocks.append(_refunds(receipt, locale))
    blocks.append(QrCode(content=receipt_url(line.id), caption=_say("proof", locale)))
    return render(
        Document(
            title=_say("receipt", locale),
            issuer=current_issuer().name(locale),
            number=f"No. {receipt_no(line.position)}",
            footer=current_issuer().name(locale),
            language=locale,
            blocks=blocks,
        )
    )


def _balances(statement: Statement, locale: str) -> Iterator[Block]:
    columns = (
        Column(title=_say("money", locale), share=2),
        Column(title=_say("opening", locale), kind="yen"),
        Column(title=_say("change", locale), kind="yen"),
        Column(title=_say("closing", locale), kind="yen"),
    )
    rows = [
        (one.money.view(locale)["name"], one.opening_yen, one.closing_yen - one.opening_yen, one.closing_yen)
        for one in statement.holdings
    ]
    yield Table(title=_say("balances", locale), columns=columns, rows=rows)
    expiring = [
        (one.money.view(locale)["name"], _day(day, locale), yen)
        for one in statement.holdings
        for day, yen in one.expiring.items()
    ]
    if expiring:
        last_day = Column(title=_say("expires_on", locale))
        amount = Column(title=_say("amount", locale), kind="yen")
        yield Table(title=_say("expiring", locale), columns=(columns[0], last_day, amount), rows=expiring)


def _transactions(statement: Statement, locale: str, *, may_see_balance: bool) -> Block:
    if not statement.lines:
        return Note(text=_say("nothing", locale))
    columns = [
        Column(title=_say("time", locale), share=1.5),
        Column(title=_say("number", locale), share=1.1),
        Column(title=_say("what", locale), share=2.6),
        Column(title=_say("money", locale), share=1.5),
        Column(title=_say("amount", locale), kind="yen", share=1.1),
        Column(title=_say("balance", locale), kind="yen", share=1.2),
    ]
    rows = [
        (_moment(line.created_at, locale), receipt_no(line.position), _what(line, locale), *_change(change, locale))
        for line in statement.lines
        for change in (*line.changes, *([] if line.changes else [None]))
    ]
    width = len(columns) - (not may_see_balance)
    return Table(title=_say("lines", locale), columns=columns[:width], rows=[row[:width] for row in rows])


def _change(change: Change | None, locale: str) -> tuple[str | int, ...]:
    if change is None:
        return "", "", ""
    return change.money.view(locale)["name"], change.amount_yen, change.balance_yen


def _what(line: Line, locale: str) -> str:
    shop = line.shop.view(locale)["name"] if line.shop else ""
    return " ".join(filter(None, (translate(f"receipt.kind.{line.kind}", locale), shop, line.description)))


def _totals(statement: Statement, locale: str) -> Block:
    columns = (
        Column(title=_say("money", locale), share=2),
        Column(title=_say("kind", locale), share=2),
        Column(title=_say("count", locale), kind="number"),
        Column(title=_say("amount", locale), kind="yen"),
    )
    rows = [
        (one.money.view(locale)["name"], translate(f"receipt.kind.{one.kind}", locale), one.count, one.amount_yen)
        for one in statement.totals()
    ]
    return Table(title=_say("totals", locale), columns=columns, rows=rows)


def _parts(line: Line, locale: str) -> Block:
    columns = (Column(title=_say("money", locale), share=2), Column(title=_say("amount", locale), kind="yen"))
    rows = [(change.money.view(locale)["name"], change.amount_yen) for change in line.changes]
    return Table(title=_say("parts", locale), columns=columns, rows=rows)


def _refunds(receipt: Receipt, locale: str) -> Block:
    columns = (
        Column(title=_say("time", locale)),
        Column(title=_say("number", locale)),
        Column(title=_say("amount", locale), kind="yen"),
    )
    rows = [(_moment(one.created_at, locale), receipt_no(one.position), one.amount_yen) for one in receipt.refunds]
    left_yen = receipt.line.amount_yen - sum(one.amount_yen for one in receipt.refunds)
    return Table(
        title=_say("refunds", locale), columns=columns, rows=rows, totals=[(_say("left", locale), "", left_yen)]
    )


def _period(statement: Statement, locale: str) -> str:
    month = format_date(statement.month, _say("month_form", locale), locale=locale)
    if statement.complete:
        return str(month)
    return _say("so_far", locale, month=month, until=_moment(statement.ends_at, locale))


def _moment(instant: datetime, locale: str) -> str:
    form = _say("moment_form", locale)
    return str(format_datetime(instant, form, tzinfo=issuer_zone(), locale=locale))


def _day(day: date, locale: str) -> str:
    return str(format_date(day, translate("web.day", locale), locale=locale))


def _say(key: str, locale: str, **values: str) -> str:
    return translate(f"statement.{key}", locale, **values)
