"""Balances of the past for the office, at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from uuid import UUID

import click
from sqlalchemy import Connection, Row, select

from app.issuer import Issuer
from app.member import service as members
from app.member.models import Member
from app.money import format_yen
from app.wallet import as_of
from app.wallet.models import Money, Shop
from app.web.terminal import aligned, say


def balances(
    connection: Connection, *, at: datetime, email: str | None, shop: str | None, money: str | None
) -> Iterator[str]:
    """The lines to show: of one member's wallets, one shop, or the monies. Raises ClickException."""
    issuer_id = connection.scalar(select(Issuer.id))
    if issuer_id is None:
        raise click.ClickException(say("client.no_issuer"))
    try:
        position = as_of.position_at(connection, issuer_id=issuer_id, at=at)
    except as_of.InTheFuture:
        raise click.ClickException(say("as_of.future")) from None
    monies = connection.execute(select(Money.id, Money.code).order_by(Money.position, Money.code)).all()
    yield say("as_of.at", at=at.isoformat(), position=f"{position:,}")
    yield from aligned([*_lines(connection, monies, issuer_id, position=position, email=email, shop=shop, money=money)])


def _lines(
    connection: Connection,
    monies: Iterable[Row[int, str]],
    issuer_id: UUID,
    *,
    position: int,
    email: str | None,
    shop: str | None,
    money: str | None,
) -> Iterator[tuple[str, str]]:
    if email is not None:
        member_id = connection.scalar(select(Member.id).where(Member.email == members.normal_email(email)))
        if member_id is None:
            raise click.ClickException(say("as_of.no_member"))
        wallets = as_of.wallets(connection, member_id=member_id, position=position)
        yield from _of_each(monies, {money_id: lots.balance_yen for money_id, lots in wallets.items()})
    elif shop is not None:
        shop_id = connection.scalar(select(Shop.id).where(Shop.code == shop))
        if shop_id is None:
            raise click.ClickException(say("as_of.no_shop"))
        yield from _of_each(monies, as_of.takings(connection, shop_id=shop_id, position=position))
    else:
        wanted = [(money_id, code) for money_id, code in monies if money in (None, code)]
        if not wanted:
            raise click.ClickException(say("as_of.no_money"))
        for money_id, code in wanted:
            there = as_of.circulation(connection, issuer_id=issuer_id, money_id=money_id, position=position)
            yield from _of_money(code, there, books=money is not None)


def _of_each(monies: Iterable[Row[int, str]], found: dict[int, int]) -> Iterator[tuple[str, str]]:
    for money_id, code in monies:
        if money_id in found:
            yield code, format_yen(found[money_id])
    yield say("as_of.total"), format_yen(sum(found.values()))


def _of_money(code: str, there: as_of.Circulation, *, books: bool) -> Iterator[tuple[str, str]]:
    for name in ("issued", "recovered", "unused"):
        yield f"{code} {say(f'as_of.{name}')}", format_yen(getattr(there, f"{name}_yen"))
    if books:
        yield f"{code} {say('as_of.takings')}", format_yen(there.takings_yen)
        for book, yen in sorted(there.books.items()):
            yield f"{code} {book}", format_yen(yen)
