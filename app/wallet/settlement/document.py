"""A settlement on paper (精算書), and as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from datetime import date
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime

from app.issuer import CurrentIssuer
from app.paper.document import Block, Column, Document, Facts, Note, Table
from app.paper.render import render
from app.wallet.settlement.reading import LineView, SettlementView

Words = Callable[..., str]
"""Gives the sentence of a key, in the reader's language."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

CSV_FIELDS = (
    *("money", "name", "backing", "payments", "payments_yen", "refunds", "refunds_yen", "others_yen"),
    *("carried_in_yen", "settled_yen", "carried_out_yen", "reimbursed", "fee_rate_bp", "fee_yen", "payable_yen"),
)


def pdf(settlement: SettlementView, *, issuer: CurrentIssuer, zone: ZoneInfo, locale: str, words: Words) -> bytes:
    """The settlement as a PDF; the same settlement gives the same bytes."""
    view = settlement.shop.view(locale)
    return render(
        Document(
            title=words("settlement.title"),
            issuer=issuer.name(locale),
            period=_period(settlement, locale=locale, words=words),
            number=f"No. {settlement.name}",
            to=words("settlement.to", shop=view["name"]),
            footer=words("settlement.footer", name=settlement.name),
            language=locale,
            blocks=list(_blocks(settlement, zone=zone, locale=locale, words=words)),
        )
    )


def table(settlement: SettlementView, *, locale: str) -> bytes:
    """The settlement's monies as CSV (RFC 4180), in UTF-8 with the mark that spreadsheets in Japan ask for."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["settlement", "state", "first_day", "through_day", *CSV_FIELDS])
    head = (settlement.name, settlement.state, settlement.first_day.isoformat(), settlement.through_day.isoformat())
    for line in settlement.lines:
        money = line.money.view(locale)
        values = {"money": money["code"], "name": money["name"]}
        writer.writerow(_harmless([*head, *(values.get(name, getattr(line, name, "")) for name in CSV_FIELDS)]))
    return ("\ufeff" + out.getvalue()).encode()


def _harmless(cells: Iterable[object]) -> list[object]:
    """A name that a spreadsheet would take for a formula gets an apostrophe (OWASP, CSV injection)."""
    return [f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in cells]


def _period(settlement: SettlementView, *, locale: str, words: Words) -> str:
    first, last = (_day(day, locale, words) for day in (settlement.first_day, settlement.through_day))
    return first if first == last else words("settlement.period", first=first, last=last)


def _day(day: date, locale: str, words: Words) -> str:
    return str(format_date(day, words("web.day"), locale=locale))


def _blocks(settlement: SettlementView, *, zone: ZoneInfo, locale: str, words: Words) -> Iterable[Block]:
    payable = words("settlement.payable")
    made = format_datetime(settlement.created_at, words("web.moment_with_year"), tzinfo=zone, locale=locale)
    facts: list[tuple[str, str | int]] = [
        (payable, settlement.payable_yen),
        (words("settlement.made"), str(made)),
        (words("settlement.positions"), f"{settlement.after_position + 1:,} – {settlement.through_position:,}"),
    ]
    if settlement.transfer_on:
        facts.append((words("settlement.transfer_on"), _day(settlement.transfer_on, locale, words)))
    yield Facts(pairs=facts, strong=frozenset({payable}))
    if settlement.state != "closed":
        yield Note(text=words("settlement.not_closed"))
    for backing in ("paid", "free"):
        lines = [line for line in settlement.lines if line.backing == backing]
        if lines:
            yield _summary(lines, title=words(f"settlement.{backing}"), locale=locale, words=words)
    for line in settlement.lines:
        yield _details(line, locale=locale, words=words)


def _summary(lines: list[LineView], *, title: str, locale: str, words: Words) -> Table:
    names = ("settled_yen", "fee_yen", "payable_yen")
    return Table(
        title=title,
        columns=[
            Column(title=words("settlement.money"), share=1.6),
            *(Column(title=words(f"settlement.{name.removesuffix('_yen')}"), kind="yen") for name in names),
        ],
        rows=[(line.money.view(locale)["name"], *(getattr(line, name) for name in names)) for line in lines],
        totals=[(words("settlement.total"), *(sum(getattr(line, name) for line in lines) for name in names))],
    )


def _details(line: LineView, *, locale: str, words: Words) -> Table:
    fee = words("settlement.fee_at", percent=f"{line.fee_rate_bp / 100:g}") if line.fee_rate_bp else None
    rows: list[tuple[str, str | int, int]] = [
        (words("settlement.payments"), line.payments, line.payments_yen),
        (words("settlement.refunds"), line.refunds, -line.refunds_yen),
    ]
    rows += [
        (words(f"settlement.{name.removesuffix('_yen')}"), "", getattr(line, name))
        for name in ("others_yen", "carried_in_yen", "carried_out_yen")
        if getattr(line, name)
    ]
    rows.append((words("settlement.settled"), "", line.settled_yen))
    if fee:
        rows.append((fee, "", -line.fee_yen))
    total = words("settlement.payable") if line.reimbursed else words("settlement.not_reimbursed")
    return Table(
        title=line.money.view(locale)["name"],
        columns=[
            Column(title=words("settlement.item"), share=2),
            Column(title=words("settlement.count"), kind="number"),
            Column(title=words("settlement.amount"), kind="yen"),
        ],
        rows=rows,
        totals=[(total, "", line.payable_yen)],
    )
