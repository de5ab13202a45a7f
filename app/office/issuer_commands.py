"""`kumiai issuer …`: the co-op that issues the money, set up outside of the demo."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy import select

from app.db import session, transaction
from app.issuer import Issuer, NoIssuer
from app.money import MAX_AMOUNT_YEN
from app.oauth.client_rules import presentable
from app.office.database import database
from app.web.terminal import aligned, say

_YEN = click.IntRange(1, MAX_AMOUNT_YEN)
_CEILINGS = ("default_max_per_payment_yen", "default_max_per_day_yen", "default_max_per_month_yen")
_FIELDS = ("name_ja", "name_en", *_CEILINGS, "step_up_yen")


@click.group()
def issuer() -> None:
    """The co-op that issues the money."""


@issuer.command()
@click.option("--name-ja", required=True)
@click.option("--name-en", required=True)
@click.option("--max-per-payment-yen", "default_max_per_payment_yen", type=_YEN, default=3_000, show_default=True)
@click.option("--max-per-day-yen", "default_max_per_day_yen", type=_YEN, default=10_000, show_default=True)
@click.option("--max-per-month-yen", "default_max_per_month_yen", type=_YEN, default=50_000, show_default=True)
@click.option("--step-up-yen", type=click.IntRange(0, MAX_AMOUNT_YEN), default=10_000, show_default=True)
def init(**values: Any) -> None:
    """Make the issuer of this database. There is one at most."""
    with database(), transaction():
        if session().scalar(select(Issuer.id)) is not None:
            raise click.ClickException(say("issuer.exists"))
        row = Issuer(**values)
        _check(row)
        session().add(row)
    click.echo(say("issuer.made"))


@issuer.command()
def show() -> None:
    """What members and clients are told of it."""
    with database(), transaction():
        row = _only()
        lines = [(say(f"issuer.{name}"), str(getattr(row, name))) for name in _FIELDS]
    for line in aligned(lines):
        click.echo(line)


@issuer.command("set")
@click.option("--name-ja")
@click.option("--name-en")
@click.option("--max-per-payment-yen", "default_max_per_payment_yen", type=_YEN)
@click.option("--max-per-day-yen", "default_max_per_day_yen", type=_YEN)
@click.option("--max-per-month-yen", "default_max_per_month_yen", type=_YEN)
@click.option("--step-up-yen", type=click.IntRange(0, MAX_AMOUNT_YEN))
def set_(**values: Any) -> None:
    """Change its names, the ceilings that consent pages offer, or the step-up amount. What is not named stays."""
    with database(), transaction():
        row = _only()
        for name, value in values.items():
            if value is not None and value != getattr(row, name):
                click.echo(f"- {name}  {getattr(row, name)}\n+ {name}  {value}")
                setattr(row, name, value)
        _check(row)
    click.echo(say("issuer.changed"))


def _only() -> Issuer:
    row = session().scalar(select(Issuer).with_for_update())
    if row is None:
        raise NoIssuer
    return row


def _check(row: Issuer) -> None:
    if not (presentable(row.name_ja) and presentable(row.name_en)):
        raise click.ClickException(say("issuer.wrong_name"))
    ceilings = [getattr(row, name) for name in _CEILINGS]
    if ceilings != sorted(ceilings):
        raise click.ClickException(say("issuer.wrong_order"))
