"""`kumiai money …`: the monies, how long they last, how much of them one wallet holds and spends, what they earn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
from sqlalchemy import select

from app.db import session
from app.office.rule_options import YEN_OR_NONE, percent, rules, yen
from app.office.shop_commands import Percent
from app.wallet import office_rules
from app.wallet.models import Money
from app.web.terminal import aligned, say

_LIMITS = ("ceiling_yen", "max_per_payment_yen", "max_per_day_yen", "max_per_month_yen")
_Command = Callable[..., None]


def _options(command: _Command) -> _Command:
    """What may be set of a money. What is not named stays."""
    for option in (
        click.option("--position", type=click.IntRange(0, 32_767), help="Its place on pages, and of free monies."),
        click.option("--group", "groups", multiple=True, help="A product group it may buy; again for each."),
        click.option("--any-group", is_flag=True, help="It may buy anything."),
        click.option("--expires-never", is_flag=True),
        click.option("--expires-on", metavar="MM-DD", help="Value is good until this day, of this year or the next."),
        click.option("--min-days", "expiry_min_days", type=click.IntRange(0, 366), help="Nearer, the next year's."),
        click.option("--expires-after-months", type=click.IntRange(1, 120), help="After the last charge."),
        click.option(
            "--grace-days", "refund_grace_days", type=click.IntRange(1, 3660), help="Of refunds when expired."
        ),
        click.option("--ceiling-yen", type=YEN_OR_NONE, help="The most one wallet may hold; 0: no limit."),
        click.option("--max-per-payment-yen", type=YEN_OR_NONE),
        click.option("--max-per-day-yen", type=YEN_OR_NONE),
        click.option("--max-per-month-yen", type=YEN_OR_NONE),
        click.option("--points", "points_money", metavar="MONEY", help="The free money it earns; empty: none."),
        click.option("--points-percent", "points_rate_bp", type=Percent()),
        click.option("--points-rounding", type=click.Choice(["down", "nearest", "up"])),
    )[::-1]:
        command = option(command)
    return command


@click.group()
def money() -> None:
    """Monies and their rules. A change holds from the next payment on."""


@money.command()
@click.argument("code")
@click.option("--backing", type=click.Choice(["paid", "free"]), required=True, help="For ever: paid value, or points.")
@click.option("--name-ja", required=True)
@click.option("--name-en", required=True)
@_options
def add(code: str, backing: str, name_ja: str, name_en: str, **options: Any) -> None:
    """Make a money."""
    with rules():
        row = office_rules.add_money(
            code=code, backing=backing, name_ja=name_ja, name_en=name_en, **_changes(**options)
        )
        lines = list(_described(row))
    for line in lines:
        click.echo(line)


@money.command("set")
@click.argument("code")
@click.option("--name-ja")
@click.option("--name-en")
@_options
def set_(code: str, name_ja: str | None, name_en: str | None, **options: Any) -> None:
    """Change a money, and show what became different. What is not named stays; a money stays paid or free."""
    names = {name: value for name, value in (("name_ja", name_ja), ("name_en", name_en)) if value is not None}
    with rules():
        row = office_rules.money_of(code)
        before = list(_described(row))
        office_rules.change_money(row, **names, **_changes(**options))
        after = list(_described(row))
    for sign, lines, others in (("-", before, after), ("+", after, before)):
        for line in lines:
            if line not in others:
                click.echo(f"{sign} {line}")


@money.command("list")
def list_() -> None:
    """Every money."""
    with rules():
        rows = session().scalars(select(Money).order_by(Money.position, Money.code)).all()
        lines = [(row.code, row.name_ja, say(f"rules.backing.{row.backing}"), _expiry_said(row)) for row in rows]
    for line in aligned(lines) if lines else ():
        click.echo(line)


@money.command()
@click.argument("code")
def show(code: str) -> None:
    """All that is set of one money."""
    with rules():
        lines = list(_described(office_rules.money_of(code)))
    for line in lines:
        click.echo(line)


@money.command("open-wallets")
@click.argument("code")
def open_wallets(code: str) -> None:
    """Open a wallet of this money for every member who has none."""
    with rules():
        opened = office_rules.open_wallets(office_rules.money_of(code))
    click.echo(say("rules.opened", count=f"{opened:,}"))


def _changes(
    *,
    groups: Sequence[str],
    any_group: bool,
    expires_never: bool,
    expires_on: str | None,
    expires_after_months: int | None,
    **values: Any,
) -> dict[str, Any]:
    """The options as columns of Money."""
    changes = {name: value for name, value in values.items() if value is not None}
    for name in _LIMITS:
        if name in changes:
            changes[name] = changes[name] or None
    if any_group and groups:
        raise click.UsageError(say("rules.one_of", options="--group, --any-group"))
    if any_group or groups:
        changes["groups"] = list(groups) or None
    if sum((expires_never, expires_on is not None, expires_after_months is not None)) > 1:
        raise click.UsageError(say("rules.one_of", options="--expires-never, --expires-on, --expires-after-months"))
    if expires_never or expires_on is not None or expires_after_months is not None:
        kind = "never" if expires_never else "fixed_date" if expires_on is not None else "after_charge"
        changes |= {"expiry": kind, "expires_month_day": expires_on, "expiry_months": expires_after_months}
    return changes


def _described(row: Money) -> Iterator[str]:
    earns = session().scalar(select(Money.code).where(Money.id == row.points_money_id))
    points = f"{earns}, {percent(row.points_rate_bp)}, {row.points_rounding}" if earns else say("wallet.no_limit")
    yield from aligned(
        [
            ("code", row.code),
            ("name_ja", row.name_ja),
            ("name_en", row.name_en),
            ("backing", say(f"rules.backing.{row.backing}")),
            ("position", str(row.position)),
            ("groups", say("rules.any_group") if row.groups is None else ", ".join(row.groups)),
            ("expiry", _expiry_said(row)),
            ("grace_days", str(row.refund_grace_days)),
            *((name, yen(getattr(row, name))) for name in _LIMITS),
            ("points", points),
        ]
    )


def _expiry_said(row: Money) -> str:
    return say(
        f"rules.expiry.{row.expiry}", day=row.expires_month_day, min_days=row.expiry_min_days, months=row.expiry_months
    )
