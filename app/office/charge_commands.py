"""`kumiai charge …`: the rules of charging, its orders, what waits for the office, the gateway's settlement file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from flask import current_app
from sqlalchemy import null, select

from app.charge import reconciliation, rules, suspense
from app.charge.crediting import Key
from app.charge.gateways.current import current_gateway
from app.charge.models import ChargeOrder, ChargeReceived
from app.charge.poller import Charges
from app.db import session, transaction
from app.member.models import Member
from app.money import format_yen
from app.office.database import office
from app.office.member_commands import actor, local, member_id_of
from app.office.rule_options import YEN
from app.wallet import directory
from app.wallet.postings import Accepted
from app.web.terminal import aligned, say

_NOTHING = "none"
_PAGE = 50


@click.group()
def charge() -> None:
    """Charging by card and at stores: rules, orders, money that waits for the office, reconciliation."""


class _YenOrNone(click.ParamType[Any]):
    """An amount, or `none` for no such limit."""

    name = "yen|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return _NOTHING if value == _NOTHING else YEN.convert(value, param, ctx)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for name, kind in _RULES.items():
        command = click.option(f"--{name.replace('_', '-')}", name, type=kind)(command)
    return command


_RULES: dict[str, Any] = {
    "step_yen": YEN,
    "min_yen": YEN,
    "card_max_yen": YEN,
    "konbini_max_yen": YEN,
    "card_max_per_day_yen": _YenOrNone(),
    "card_max_per_month_yen": _YenOrNone(),
    "new_card_max_per_day_yen": _YenOrNone(),
    "new_card_days": click.IntRange(0, 365),
    "card_fee_yen": click.IntRange(0, 10_000),
    "konbini_fee_yen": click.IntRange(0, 10_000),
    "konbini_days": click.IntRange(1, 30),
    "identity": click.Choice(["none", "birthday", "code"]),
}


@charge.command("rules")
@_options
def rules_(**given: Any) -> None:
    """Show the rules; with options, change them first. They count for orders made from then on."""
    changed = {name: null() if value == _NOTHING else value for name, value in given.items() if value is not None}
    with office(), transaction():
        if changed:
            row = rules.rules()
            session().add(row)
            for name, value in changed.items():
                setattr(row, name, value)
            session().flush()
        found = rules.rules()
        lines = [(name.replace("_", "-"), _shown(getattr(found, name), name)) for name in _RULES]
    for line in aligned(lines):
        click.echo(line)


def _shown(value: Any, name: str) -> str:
    if value is None:
        return _NOTHING
    return format_yen(value) if name.endswith("_yen") else str(value)


@charge.command("list")
@click.option("--member", "email", help="Only of this member.")
@click.option("--state", help="Only in this state.")
def list_(email: str | None, state: str | None) -> None:
    """The last fifty orders, newest first."""
    with office() as settings, transaction():
        query = select(ChargeOrder, Member.email).join(Member, Member.id == ChargeOrder.payer_id)
        if email is not None:
            query = query.where(ChargeOrder.payer_id == member_id_of(email))
        if state is not None:
            query = query.where(ChargeOrder.state == state)
        rows = session().execute(query.order_by(ChargeOrder.id.desc()).limit(_PAGE)).all()
        lines = [
            (
                str(order.id),
                local(order.created_at, zone=settings.zone),
                payer,
                order.method + (f":{order.chain}" if order.chain else ""),
                directory.money_by_id(order.money_id).code,
                format_yen(order.amount_yen),
                say(f"charge.state.{order.state}"),
            )
            for order, payer in rows
        ]
    for line in aligned(lines) if lines else ():
        click.echo(line)


@charge.command()
@click.argument("order_id", type=click.UUID)
def show(order_id: UUID) -> None:
    """One order, with what arrived for it."""
    with office() as settings, transaction():
        order = session().get(ChargeOrder, order_id)
        if order is None:
            raise click.ClickException(say("error.charge_unknown"))
        received = session().scalars(
            select(ChargeReceived).where(ChargeReceived.order_id == order_id).order_by(ChargeReceived.number)
        )
        lines = [
            ("state", say(f"charge.state.{order.state}")),
            ("amount", f"{format_yen(order.amount_yen)} + {format_yen(order.fee_yen)}"),
            ("gateway", f"{order.gateway} {order.gateway_ref or '-'}"),
            ("created", local(order.created_at, zone=settings.zone)),
        ]
        lines += [("received", _of_received(row, settings.zone)) for row in received]
    for line in aligned(lines):
        click.echo(line)


def _of_received(row: ChargeReceived, zone: Any) -> str:
    what = [row.id, format_yen(row.amount_yen), local(row.received_at, zone=zone), say(f"charge.received.{row.state}")]
    what += [part for part in (row.reason, row.settled_by) if part]
    return "  ".join(what)


@charge.group("suspense")
def suspense_() -> None:
    """Money that arrived and could not be credited by itself."""


@suspense_.command("list")
def waiting() -> None:
    """What waits, oldest first. Exit status 1 where something does."""
    with office() as settings, transaction():
        lines = [
            (row.gateway, _of_received(row, settings.zone), email or "-", str(order.id) if order else "-")
            for row, order, email in suspense.waiting()
        ]
    for line in aligned(lines) if lines else ():
        click.echo(line)
    if lines:
        sys.exit(1)


@suspense_.command()
@click.argument("gateway")
@click.argument("received_id", metavar="ID")
@click.option("--reason", required=True, help="Why, for the record.")
@click.option("--member", "email", help="Whose it is, where no order says it.")
@click.option("--money", help="Which money, where no order says it.")
def credit(gateway: str, received_id: str, reason: str, email: str | None, money: str | None) -> None:
    """Credit it to the member who paid."""
    with office(server=True):
        whose = None
        if email is not None and money is not None:
            with transaction():
                whose = suspense.Whose(member_id=member_id_of(email), money=money)
        done = suspense.credit(Key(gateway=gateway, id=received_id), by=f"{actor()}: {reason}", whose=whose)
    click.echo(say("charge.cli.credited", amount=format_yen(done.amount_yen), transaction=done.transaction_id))


@suspense_.command("return")
@click.argument("gateway")
@click.argument("received_id", metavar="ID")
@click.option("--reason", required=True, help="How it was given back, for the record.")
def return_(gateway: str, received_id: str, reason: str) -> None:
    """Write down that it was given back outside: at the gateway, by bank transfer."""
    with office():
        suspense.give_back(Key(gateway=gateway, id=received_id), by=f"{actor()}: {reason}")
    click.echo(say("charge.cli.returned"))


@charge.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--apply", "apply_", is_flag=True, help="Post an adjustment for each line that is missing or differs.")
def reconcile(file: Path, apply_: bool) -> None:
    """Compare the gateway's settlement file with what arrived here. Exit status 1 where a line does not match."""
    with office(server=True):
        gateway = current_gateway()
        try:
            found = reconciliation.compare(gateway, file.read_text(encoding="utf-8-sig"))
        except (ValueError, UnicodeDecodeError) as error:
            raise click.ClickException(f"{file.name}: {error}") from None
        for finding in found:
            click.echo(_of_finding(finding))
        wrong = [finding for finding in found if finding.state != reconciliation.MATCHED]
        click.echo(say("charge.cli.reconciled", matched=len(found) - len(wrong), others=len(wrong)))
        left = len(wrong)
        for finding, outcome in reconciliation.apply(gateway, wrong) if apply_ else ():
            done = isinstance(outcome, Accepted)
            left -= done
            click.echo(say("charge.cli.applied" if done else "charge.cli.not_applied", received=finding.received_id))
    if left:
        sys.exit(1)


def _of_finding(finding: reconciliation.Finding) -> str:
    there, here = (format_yen(yen) if yen is not None else "-" for yen in (finding.there_yen, finding.here_yen))
    number = str(finding.line.number) if finding.line else "-"
    return f"{number:>5}  {say(f'charge.reconcile.{finding.state}')}  {finding.received_id}  {there}  {here}"


@charge.command()
def poll() -> None:
    """Do once what the worker does by itself: look up what is due, credit what waits, remind."""
    with office(server=True) as settings:
        Charges(current_app._get_current_object(), settings).poll(current_gateway())  # type: ignore[attr-defined]
    click.echo(say("charge.cli.polled"))
