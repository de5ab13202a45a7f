"""`kumiai card …`: members' cards as the office looks after them, their PINs, and the limits of taps."""

from __future__ import annotations

from uuid import UUID

import click

from app.db import session, transaction
from app.errors import DomainError, NotFound
from app.money import MAX_SUM_YEN, format_yen
from app.office.database import office
from app.office.member_commands import member_id_of
from app.reader import assurance, cards, pins
from app.reader.assurance import LEVELS, Limits
from app.reader.cards import Reading
from app.reader.models import Card
from app.web.terminal import aligned, language, say

_YEN = click.IntRange(0, MAX_SUM_YEN)


@click.group()
def card() -> None:
    """Members' cards: register, stop and replace them; PINs; what taps may pay."""


@card.command("list")
@click.argument("email")
def list_(email: str) -> None:
    """A member's cards, those in use first, and whether there is a PIN."""
    with office(server=True):
        with transaction():
            member_id = member_id_of(email)
            rows = [cards.view(row, language()) for row in cards.of_member(member_id)]
        pin = pins.state(member_id)
    lines = [
        (row["id"], f"…{row['last4']}", row["kind"], say(f"card.status.{row['status']}"), row["valid_until"] or "")
        for row in rows
    ]
    for line in aligned(lines) if lines else [say("card.none")]:
        click.echo(line)
    click.echo(say(f"card.pin.{pin}"))


@card.command()
@click.argument("email")
@click.option("--idm", help="The number of a card nothing else is read off, in 16 hexadecimal digits.")
@click.option("--reader", default="usb", show_default=True, help="As nfcpy names it, where no IDm is given.")
@click.option("--replaces", type=click.UUID, help="The card in whose place it comes; it is stopped.")
@click.option("--take-over", is_flag=True, help="Another member registered it, and its bearer is before you.")
def add(email: str, idm: str | None, reader: str, replaces: UUID | None, take_over: bool) -> None:
    """Register a card to a member: the one on the reader, or a FeliCa Lite-S card by its number."""
    with office(server=True):
        reading = _by_number(idm) if idm else _by_reader(reader)
        with transaction():
            member_id = member_id_of(email)
            card_id = _registered(reading, member_id=member_id, replaces=replaces, take_over=take_over)
    click.echo(say("card.added", last4=reading.idm[-4:].upper(), id=card_id))


@card.command()
@click.argument("card_id", type=click.UUID)
def lost(card_id: UUID) -> None:
    """Stop a card at once."""
    with office(server=True), transaction():
        _known(card_id)
        cards.report_lost(card_id)
    click.echo(say("card.stopped"))


@card.command()
@click.argument("card_id", type=click.UUID)
def found(card_id: UUID) -> None:
    """Let a lost card pay again: it is in your hand, and its member before you."""
    with office(server=True), transaction():
        if _known(card_id).status != "lost":
            raise click.ClickException(say("card.not_lost"))
        cards.found_again(card_id)
    click.echo(say("card.found"))


@card.command("reset-pin")
@click.argument("email")
def reset_pin(email: str) -> None:
    """Forget a member's PIN, which also unlocks it. They set a new one themselves."""
    with office(server=True), transaction():
        there_was_one = pins.forget(member_id_of(email))
    click.echo(say("card.pin_reset" if there_was_one else "card.pin.none"))


@card.command()
@click.argument("level", type=click.Choice(LEVELS), required=False)
@click.option("--per-payment", type=_YEN, help="Yen; 0: no tap of this level is taken.")
@click.option("--per-day", type=_YEN, help="Yen by one card.")
def limits(level: str | None, per_payment: int | None, per_day: int | None) -> None:
    """Show what taps may pay by what they prove, or set it for one level.

    idm: the card's number alone. fcf: what is on it, too. pin: and the PIN, or staff looked at the photo. mac: the
    card proved that it is no copy.
    """
    with office(server=True), transaction():
        known = assurance.limits()
        if level is not None and (per_payment is not None or per_day is not None):
            before = known[level]
            wanted = Limits(
                max_per_payment_yen=before.max_per_payment_yen if per_payment is None else per_payment,
                max_per_day_yen=before.max_per_day_yen if per_day is None else per_day,
            )
            if wanted.max_per_day_yen < wanted.max_per_payment_yen:
                raise click.ClickException(say("card.day_below_payment"))
            changed = assurance.set_limits(level, wanted)
            click.echo(say("card.limits_set", count=f"{changed:,}"))
            known = {**known, level: wanted}
    lines = [(say("card.col.level"), say("card.col.payment"), say("card.col.day"))]
    lines += [
        (name, format_yen(one.max_per_payment_yen), format_yen(one.max_per_day_yen)) for name, one in known.items()
    ]
    for line in aligned(lines):
        click.echo(line)


def _by_number(idm: str) -> Reading:
    if len(idm) != 16 or not all(digit in "0123456789abcdefABCDEF" for digit in idm):
        raise click.ClickException(say("card.no_idm"))
    return Reading(idm=idm.upper(), blocks={}, profile="lite_s")


def _by_reader(path: str) -> Reading:
    """The card on the reader. Raises ClickException."""
    try:
        from app.reader.agent.source import CardProfile, NfcpySource, SourceError
    except ImportError:
        raise click.ClickException(say("lite_s.no_nfcpy")) from None
    wanted = [
        CardProfile(name=profile.code, system=profile.system, service=profile.service, blocks=profile.blocks)
        for profile in cards.all_profiles().values()
    ]
    try:
        with NfcpySource(path, *wanted) as source:
            click.echo(say("card.touch"))
            read = source.wait_for_card(60)
    except SourceError as error:
        raise click.ClickException(say(f"card.{error.code}", reader=path)) from None
    if read is None:
        raise click.ClickException(say("card.no_card"))
    blocks = {int(number): bytes.fromhex(block) for number, block in read.blocks.items()}
    return Reading(idm=read.idm, blocks=blocks, profile=read.profile)


def _registered(reading: Reading, *, member_id: UUID, replaces: UUID | None, take_over: bool) -> UUID:
    try:
        if replaces is None:
            return cards.register(reading, member_id=member_id, take_over=take_over)
        return cards.replace(replaces, reading, member_id=member_id)
    except NotFound:
        raise click.ClickException(say("card.unknown")) from None
    except DomainError as error:
        raise click.ClickException(say(f"error.{error.code}")) from None


def _known(card_id: UUID) -> Card:
    row = session().get(Card, card_id)
    if row is None:
        raise click.ClickException(say("card.unknown"))
    return row
