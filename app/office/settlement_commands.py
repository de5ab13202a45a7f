"""`kumiai settlement …`: closing the shops' days, and paying the shops."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from sqlalchemy import select

from app.db import session, transaction
from app.errors import DomainError
from app.issuer import current_issuer, issuer_zone
from app.money import format_yen
from app.office.database import office
from app.wallet import ledger
from app.wallet.models import Shop
from app.wallet.settlement import bank, closing, document, reading, transfers
from app.wallet.settlement.errors import NothingToSettle
from app.web.terminal import aligned, language, say

_DAY = click.DateTime(formats=["%Y-%m-%d"])
_OUT = click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path)
_PAGE = 50


@click.group()
def settlement() -> None:
    """Settle the shops' takings: close a period, print it, pay it."""


@settlement.command()
@click.argument("shops", metavar="SHOP", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every shop.")
@click.option(
    "--through", type=_DAY, metavar="YYYY-MM-DD", help="The last day to cover; today, until now, if left out."
)
def close(shops: Sequence[str], all_: bool, through: datetime | None) -> None:
    """Close a shop's period. The same again does nothing more. Of all, one that cannot be closed holds up none."""
    if bool(shops) == all_:
        raise click.UsageError(say("settlement.cli.which_shops"))
    day, failed = through.date() if through else None, False
    with office(), _poster_closed():
        for code, shop_id in _shops(shops).items():
            try:
                found = reading.settlement(closing.close(shop_id=shop_id, day=day))
            except DomainError as error:
                if not all_:
                    raise
                failed = not _is_nothing(error, code) or failed
            else:
                click.echo(say("settlement.cli.closed", **_said(found)))
    if failed:
        sys.exit(1)


def _is_nothing(error: DomainError, shop: str) -> bool:
    """Say why a shop was not closed; returns whether there was only nothing to close."""
    nothing = isinstance(error, NothingToSettle)
    why = (
        say("settlement.cli.nothing", shop=shop) if nothing else f"{shop}: {say(f'error.{error.code}', **error.detail)}"
    )
    click.echo(why, err=not nothing)
    return nothing


@settlement.command()
def finish() -> None:
    """Post what a process left undone when it died, now. Closing the shop does it too, and so does the worker."""
    with office(), _poster_closed():
        done = closing.finish_all()
    click.echo(say("settlement.cli.finished", count=list(done.values()).count(None)))
    for error in filter(None, done.values()):
        click.echo(say(f"error.{error.code}", **error.detail), err=True)
    if any(done.values()):
        sys.exit(1)


@settlement.command("list")
@click.option("--shop", help="Only this shop's.")
def list_(shop: str | None) -> None:
    """The last fifty settlements, newest first."""
    with office():
        of = list(_shops([shop]).values()) if shop else None
        found, _ = reading.settlements(shops=of, limit=_PAGE)
    names = ("name", "days", "settled", "payable", "state", "transfer_on")
    lines = [tuple(say(f"settlement.column.{name}") for name in names)]
    for one in found:
        said = _said(one)
        state = say(f"settlement.state.{one.state}")
        transfer_on = one.transfer_on.isoformat() if one.transfer_on else "-"
        lines.append((said["name"], said["days"], said["settled"], said["payable"], state, transfer_on))
    for line in aligned(lines):
        click.echo(line)


@settlement.command()
@click.argument("shop")
@click.argument("number", type=click.IntRange(1))
def show(shop: str, number: int) -> None:
    """All that a settlement says, by money."""
    with office():
        found = _found(shop, number)
    lines = [tuple(say(f"settlement.{name}") for name in ("money", *_AMOUNTS))]
    lines += [(one.money.code, *(format_yen(getattr(one, f"{name}_yen")) for name in _AMOUNTS)) for one in found.lines]
    click.echo(say("settlement.cli.closed" if found.state == "closed" else "settlement.not_closed", **_said(found)))
    for line in aligned(lines):
        click.echo(line)


_AMOUNTS = ("payments", "refunds", "others", "carried_in", "settled", "fee", "payable", "carried_out")


@settlement.command()
@click.argument("shop")
@click.argument("number", type=click.IntRange(1))
@click.option("--out", type=_OUT, help="Where to put it; SHOP-NUMBER.pdf if left out, - for standard output.")
def pdf(shop: str, number: int, out: Path | None) -> None:
    """A settlement's statement on paper."""
    with office():
        found, locale = _found(shop, number), language()
        content = document.pdf(found, issuer=current_issuer(), zone=issuer_zone(), locale=locale, words=say)
    _put(content, out or Path(f"{found.name}.pdf"))


@settlement.command("csv")
@click.argument("shop")
@click.argument("number", type=click.IntRange(1))
@click.option("--out", type=_OUT, help="Where to put it; SHOP-NUMBER.csv if left out, - for standard output.")
def csv_(shop: str, number: int, out: Path | None) -> None:
    """A settlement for a spreadsheet."""
    with office():
        found = _found(shop, number)
        content = document.table(found, locale=language())
    _put(content, out or Path(f"{found.name}.csv"))


@settlement.command("transfer-file")
@click.argument("on", metavar="YYYY-MM-DD", type=_DAY)
@click.option("--out", type=_OUT, help="Where to put it; furikomi-YYYYMMDD.txt if left out, - for standard output.")
@click.option("--instead-of", type=_DAY, metavar="YYYY-MM-DD", help="The bank did not take the file of that day.")
def transfer_file(on: datetime, out: Path | None, instead_of: datetime | None) -> None:
    """The bank's file (全銀 総合振込) that pays all closed settlements on that day.

    A settlement is in one file, for ever. Asked for a day that has its file, it gives the very same again.
    """
    day = on.date()
    with office() as settings, transaction():
        if instead_of:
            transfers.move(issuer_id=current_issuer().id, of=instead_of.date(), to=day)
        made = transfers.transfer_file(issuer_id=current_issuer().id, on=day, sealing_key=settings.sealing_key)
    if made.without_account:
        click.echo(say("settlement.cli.without_account", shops=", ".join(made.without_account)), err=True)
    _put(made.content, out or Path(f"furikomi-{day:%Y%m%d}.txt"))
    said = "settlement.cli.transfer_again" if made.again else "settlement.cli.transfer"
    click.echo(say(said, day=day, records=made.records, total=format_yen(made.total_yen)), err=True)


def bank_options() -> Callable[[Any], Any]:
    """The options that say which account of which bank it is."""

    def add(command: Any) -> Any:
        for name, help_ in (
            ("--branch-name", "In kana."),
            ("--branch-code", "Three digits."),
            ("--bank-name", "In kana."),
            ("--bank-code", "Four digits."),
        ):
            command = click.option(name, required=True, help=help_)(command)
        kinds = click.Choice(list(bank.ACCOUNT_TYPES))
        command = click.option("--account-type", type=kinds, default="ordinary", show_default=True)(command)
        return click.option("--number", prompt=True, hide_input=True, help="Asked for if left out.")(command)

    return add


@settlement.command()
@bank_options()
@click.option("--code", required=True, help="The code the bank gave you, up to ten digits.")
@click.option("--name", required=True, help="Your name as the bank has it, in kana.")
@click.option("--line-ends/--no-line-ends", default=True, show_default=True, help="CR LF after each record.")
def requester(code: str, name: str, line_ends: bool, **place: str) -> None:
    """Your own account, from which the bank pays the shops."""
    with office() as settings, transaction():
        row = bank.set_requester(
            issuer_id=current_issuer().id,
            place=bank.BankPlace(**place),
            code=code,
            name=name,
            line_ends=line_ends,
            sealing_key=settings.sealing_key,
        )
        said = bank.shown(row)
    click.echo(say("settlement.cli.account_set", **said))


def shop_row(code: str) -> Shop:
    """The shop of this code. Called inside `transaction()`."""
    row = session().scalars(select(Shop).filter_by(code=code)).one_or_none()
    if row is None:
        raise click.ClickException(say("settlement.cli.no_shop", shop=code))
    return row


@contextmanager
def _poster_closed() -> Iterator[None]:
    """End the poster's connection with the command."""
    try:
        yield
    finally:
        ledger.close()


def _shops(codes: Sequence[str]) -> dict[str, UUID]:
    """Shops by code; all of them where none is named."""
    with transaction():
        if codes:
            return {code: shop_row(code).id for code in codes}
        return {row.code: row.id for row in session().execute(select(Shop.code, Shop.id).order_by(Shop.code))}


def _found(shop: str, number: int) -> reading.SettlementView:
    (shop_id,) = _shops([shop]).values()
    return reading.by_number(shop_id, number)


def _said(found: reading.SettlementView) -> dict[str, str]:
    return {
        "name": found.name,
        "days": _days(found.first_day, found.through_day),
        "settled": format_yen(found.settled_yen),
        "payable": format_yen(found.payable_yen),
    }


def _days(first: date, last: date) -> str:
    return first.isoformat() if first == last else f"{first} – {last}"


def _put(content: bytes, out: Path) -> None:
    """Write a file that only its owner may read: it tells where money goes."""
    if str(out) == "-":
        click.echo(content, nl=False)
        return
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    click.echo(say("settlement.cli.written", path=out), err=True)
