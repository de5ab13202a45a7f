"""`kumiai member …`: how the office stops a member's account, opens it again, and looks at it."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import click
from sqlalchemy import select

from app.db import session, transaction
from app.issuer import current_issuer
from app.member.models import Member
from app.member.service import normal_email
from app.money import format_yen
from app.office.database import office
from app.wallet import suspension
from app.wallet.hold_models import StopEvent
from app.wallet.models import Money, Wallet
from app.web.terminal import aligned, say


@click.group()
def member() -> None:
    """Stop members' accounts, resume them, look at them."""


@member.command()
@click.argument("email")
@click.option("--reason", default="", help="Kept with the stop.")
def suspend(email: str, reason: str) -> None:
    """Stop an account at once: wallets, sessions, tokens."""
    with office(server=True) as settings, transaction():
        stopped = suspension.suspend(member_id_of(email), actor=actor(), reason=_reason(reason))
    if stopped.already:
        click.echo(say("member.already", at=local(stopped.suspended_at, zone=settings.zone)))
    else:
        click.echo(say("member.suspended", monies=_listed(stopped.monies)))


@member.command()
@click.argument("email")
@click.option("--reason", required=True, help="Why, for the record.")
def resume(email: str, reason: str) -> None:
    """Open a stopped account again. Closed wallets stay closed."""
    with office(server=True), transaction():
        if not _reason(reason):
            raise click.ClickException(say("member.no_reason"))
        monies = suspension.resume(member_id_of(email), actor=actor(), reason=_reason(reason))
    click.echo(say("member.resumed", monies=_listed(monies)))


@member.command()
@click.argument("email")
@click.argument("day", type=click.DateTime(formats=["%Y-%m-%d"]), metavar="YYYY-MM-DD")
def birthday(email: str, day: datetime) -> None:
    """Record a birthday, which the issuer may have asked before a card is charged."""
    with office(), transaction():
        session().get_one(Member, member_id_of(email)).birthday = day.date()
    click.echo(say("member.birthday_recorded"))


@member.command()
@click.argument("email")
def show(email: str) -> None:
    """Name, status, wallets, and when the account was stopped, by whom and why."""
    with office(server=True) as settings, transaction():
        lines = list(_described(session().get_one(Member, member_id_of(email)), zone=settings.zone))
    for line in lines:
        click.echo(line)


def member_id_of(email: str) -> UUID:
    """The member of this address. Raises ClickException."""
    here = (Member.issuer_id == current_issuer().id, Member.email == normal_email(email))
    member_id = session().scalar(select(Member.id).where(*here))
    if member_id is None:
        raise click.ClickException(say("member.none", email=email))
    return member_id


def actor() -> str:
    """Who in the office, as far as this machine knows."""
    try:
        return f"office:{getpass.getuser()}"
    except (KeyError, OSError):  # a user without a name
        return "office"


def local(instant: datetime, *, zone: ZoneInfo) -> str:
    return instant.astimezone(zone).isoformat(sep=" ", timespec="seconds")


def _reason(text: str) -> str:
    reason = " ".join(text.split())
    if len(reason) > 200 or not reason.isprintable():
        raise click.ClickException(say("member.no_reason"))
    return reason


def _listed(monies: tuple[str, ...]) -> str:
    return ", ".join(monies) or say("member.no_monies")


def _described(row: Member, *, zone: ZoneInfo) -> Iterator[str]:
    yield from aligned(
        [
            (say("member.name"), row.name),
            (say("member.email"), row.email),
            (say("member.status"), say(f"member.status.{row.status}")),
        ]
    )
    columns = (Money.code, Wallet.status, Wallet.total_yen, Wallet.pending_yen)
    wallets = select(*columns).join_from(Wallet, Money).where(Wallet.member_id == row.id).order_by(Money.position)
    lines = [tuple(say(f"member.{name}") for name in ("col.money", "status", "col.balance", "col.held"))]
    lines += [
        (code, say(f"member.status.{status}"), format_yen(total), format_yen(pending))
        for code, status, total, pending in session().execute(wallets)
    ]
    yield ""
    yield from aligned(lines)
    events = select(StopEvent).where(StopEvent.member_id == row.id).order_by(StopEvent.created_at)
    for event in session().scalars(events):
        when = local(event.created_at, zone=zone)
        yield f"{when}  {say(f'member.event.{event.action}')}  {event.actor}  {event.reason}".rstrip()
