"""`kumiai shop …`: what the office agrees with a shop, and where it is paid."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import click
from sqlalchemy import select

from app.db import session, transaction
from app.office.database import office
from app.office.settlement_commands import bank_options, shop_row
from app.wallet.models import Money
from app.wallet.settlement import bank, service
from app.wallet.settlement.models import ROUNDINGS
from app.wallet.settlement.rules import NO_TERMS, Terms
from app.web.terminal import aligned, say


@click.group()
def shop() -> None:
    """Shops: what they accept, their terms and bank accounts."""


class Percent(click.ParamType[int]):
    """0 to 100 with at most two decimals, as hundredths of a percent."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            bp = Decimal(value) * 100
        except InvalidOperation:
            self.fail(say("settlement.cli.wrong_percent"), param, ctx)
        if not (bp.is_finite() and 0 <= bp <= 10_000 and bp == int(bp)):
            self.fail(say("settlement.cli.wrong_percent"), param, ctx)
        return int(bp)


@shop.command("bank-account")
@click.argument("code", metavar="SHOP")
@bank_options()
@click.option("--holder", required=True, help="The account holder's name, in kana.")
def bank_account(code: str, holder: str, **place: str) -> None:
    """Where a shop is paid from now on."""
    with office() as settings, transaction():
        row = bank.set_shop_account(
            shop_row(code), bank.BankPlace(**place), holder=holder, sealing_key=settings.sealing_key
        )
        said = bank.shown(row)
    click.echo(say("settlement.cli.account_set", **said))


@shop.command()
@click.argument("code", metavar="SHOP")
@click.argument("money")
@click.option("--fee-percent", type=Percent(), help="Of what is settled, such as 1.5.")
@click.option("--rounding", type=click.Choice(ROUNDINGS), help="Of a part of a yen.")
@click.option("--reimbursed/--not-reimbursed", default=None, help="Free monies: whether you pay the shop for them.")
def terms(code: str, money: str, **changes: Any) -> None:
    """What is agreed with a shop of one money, from its next settlement on. What is not named stays."""
    with office(), transaction():
        row, of = shop_row(code), _money(money)
        known = service.terms_of(row.id).get(of.id, NO_TERMS)
        new = Terms(
            fee_rate_bp=_or(changes["fee_percent"], known.fee_rate_bp),
            fee_rounding=_or(changes["rounding"], known.fee_rounding),
            reimbursed=_or(changes["reimbursed"], known.reimbursed),
        )
        service.set_terms(shop=row, money=of, terms=new)
    click.echo(say("settlement.cli.terms_set", shop=code, money=money, **_said(new)))


@shop.command()
@click.argument("code", metavar="SHOP")
def show(code: str) -> None:
    """Its terms by money, and its bank account with the number's last digits."""
    with office(), transaction():
        row = shop_row(code)
        known = service.terms_of(row.id)
        monies = session().scalars(select(Money).order_by(Money.position, Money.code)).all()
        lines = [(one.code, *_said(known.get(one.id, NO_TERMS)).values()) for one in monies]
        account = bank.shop_account(row.id)
        paid = say("settlement.cli.no_account") if account is None else " ".join(bank.shown(account).values())
    for line in aligned(lines):
        click.echo(line)
    click.echo(paid)


def _said(terms: Terms) -> dict[str, str]:
    reimbursed = say("settlement.cli.reimbursed" if terms.reimbursed else "settlement.cli.not_reimbursed")
    return {
        "percent": f"{terms.fee_rate_bp / 100:g}",
        "rounding": say(f"settlement.rounding.{terms.fee_rounding}"),
        "reimbursed": reimbursed,
    }


def _or(value: Any, known: Any) -> Any:
    return known if value is None else value


def _money(code: str) -> Money:
    row = session().scalars(select(Money).filter_by(code=code)).one_or_none()
    if row is None:
        raise click.ClickException(say("settlement.cli.no_money", money=code))
    return row
