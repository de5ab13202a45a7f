"""`kumiai shop …`: which shops there are and what they accept. Terms and bank accounts are in `shop_commands`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from sqlalchemy import select

from app.db import session
from app.money import MAX_SUM_YEN, format_yen
from app.office.rule_options import percent, rules
from app.office.shop_commands import Percent, shop
from app.wallet import office_rules
from app.wallet.models import Money, Shop, ShopMoney
from app.web.terminal import aligned, say

__all__ = ["shop"]


@shop.command()
@click.argument("code", metavar="SHOP")
@click.option("--name-ja", required=True)
@click.option("--name-en", required=True)
def add(code: str, name_ja: str, name_en: str) -> None:
    """Make a shop. It accepts nothing until you say what."""
    with rules():
        office_rules.add_shop(code=code, name_ja=name_ja, name_en=name_en)
    click.echo(say("rules.shop_added", shop=code))


@shop.command("set")
@click.argument("code", metavar="SHOP")
@click.option("--name-ja")
@click.option("--name-en")
def set_(code: str, **names: str | None) -> None:
    """Change a shop's names. What is not named stays."""
    with rules():
        changes = {name: value for name, value in names.items() if value is not None}
        office_rules.change_shop(office_rules.shop_of(code), **changes)
    click.echo(say("rules.shop_changed", shop=code))


@shop.command("list")
def list_() -> None:
    """Every shop, and what it accepts: `pass>meal>base 2 %` falls through to meal, then base, and earns 2 % points."""
    with rules():
        rows = session().scalars(select(Shop).order_by(Shop.code)).all()
        lines = [
            (row.code, row.name_ja, say(f"rules.shop.{row.status}"), " ".join(_accepted(row)) or "-") for row in rows
        ]
    for line in aligned(lines) if lines else ():
        click.echo(line)


@shop.command()
@click.argument("code", metavar="SHOP")
def close(code: str) -> None:
    """Let nobody pay at a shop, from the next payment on. Refunds stay possible."""
    _set_status(code, "closed")


@shop.command("open")
@click.argument("code", metavar="SHOP")
def open_(code: str) -> None:
    """Let members pay at a shop again."""
    _set_status(code, "open")


@shop.command()
@click.argument("code", metavar="SHOP")
@click.argument("money")
@click.option("--falls-to", multiple=True, metavar="MONEY", help="Pays what it cannot; again for each, in order.")
@click.option("--points-rate", "points_rate_bp", type=Percent(), help="Percent, instead of the money's own.")
def accept(code: str, money: str, falls_to: Sequence[str], points_rate_bp: int | None) -> None:
    """Let a shop accept a money, in exactly this way."""
    with rules():
        office_rules.accept(
            office_rules.shop_of(code),
            office_rules.money_of(money),
            falls_to=falls_to,
            points_rate_bp=points_rate_bp,
        )
    click.echo(say("rules.accepted", shop=code, money=money))


@shop.command()
@click.argument("code", metavar="SHOP")
@click.argument("money")
def refuse(code: str, money: str) -> None:
    """Let a shop accept a money no more."""
    with rules():
        office_rules.refuse(office_rules.shop_of(code), office_rules.money_of(money))
    click.echo(say("rules.refused", shop=code, money=money))


@shop.command()
@click.argument("code", metavar="SHOP")
@click.argument("money")
@click.argument("yen", type=click.IntRange(0, MAX_SUM_YEN))
def overdraft(code: str, money: str, yen: int) -> None:
    """How far refunds may take a shop's takings in a money below zero."""
    with rules():
        office_rules.set_overdraft(office_rules.shop_of(code), office_rules.money_of(money), yen)
    click.echo(say("rules.overdraft_set", shop=code, money=money, amount=format_yen(yen)))


def _set_status(code: str, status: str) -> None:
    with rules():
        office_rules.change_shop(office_rules.shop_of(code), status=status)
    click.echo(say(f"rules.shop_now.{status}", shop=code))


def _accepted(row: Shop) -> Iterator[str]:
    accepted = select(ShopMoney, Money.code).join(Money).where(ShopMoney.shop_id == row.id, ShopMoney.accepted)
    for how, money in session().execute(accepted.order_by(Money.position, Money.code)):
        own = "" if how.points_rate_bp is None else f" {percent(how.points_rate_bp)}"
        yield ">".join((money, *how.falls_to)) + own
