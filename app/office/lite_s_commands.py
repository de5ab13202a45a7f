"""`kumiai lite-s …`: FeliCa Lite-S cards of the co-op's own.

It needs a card reader and KUMIAI_LITE_S_KEY, no database and no other setting: a machine in the office that is not on
any network will do.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from app.settings import lite_s_key
from app.web.terminal import say

if TYPE_CHECKING:
    from app.office.lite_s_issuing import Issued
    from app.reader.agent.source import NfcpySource


@click.group()
def lite_s() -> None:
    """Issue FeliCa Lite-S cards that can prove what they are."""


@lite_s.command()
@click.option("--reader", default="usb", show_default=True, help="The reader, as nfcpy names it.")
@click.option("--wait", "card_timeout_s", default=60.0, show_default=True, help="Seconds to wait for a card.")
@click.option("--yes", is_flag=True, help="Do not ask whether it may be locked.")
def issue(reader: str, card_timeout_s: float, yes: bool) -> None:
    """Write its key into one new card and lock it. Says its IDm, by which it is then registered to a member."""
    master_key = lite_s_key(os.environ)
    if master_key is None:
        raise click.ClickException(say("lite_s.no_key"))
    try:
        from app.office.lite_s_issuing import Issued
        from app.reader.agent.lite_s import LITE_S
        from app.reader.agent.source import NfcpySource, SourceError
    except ImportError:
        raise click.ClickException(say("lite_s.no_nfcpy")) from None
    if not yes and not click.confirm(say("lite_s.sure")):
        raise click.Abort
    try:
        with NfcpySource(reader, LITE_S) as source:
            found = _issue_one(source, master_key, card_timeout_s)
    except SourceError as error:  # no reader
        raise click.ClickException(say(f"lite_s.{error.code}", reader=reader)) from None
    if found is None:
        raise click.ClickException(say("lite_s.no_card"))
    idm, issued = found
    if issued in (Issued.NOT_OURS, Issued.FAULTY):
        raise click.ClickException(say(f"lite_s.{issued.value}", idm=idm))
    click.echo(say(f"lite_s.{issued.value}", idm=idm))


def _issue_one(source: NfcpySource, master_key: bytes, card_timeout_s: float) -> tuple[str, Issued] | None:
    """The next card's IDm and what became of it, held as often as it takes; None when none came in time."""
    from app.office.lite_s_issuing import issue
    from app.reader.agent.source import HoldAgain, WrongCard

    click.echo(say("lite_s.touch"))
    ends_at = time.monotonic() + card_timeout_s
    said = ""
    while (left_s := ends_at - time.monotonic()) > 0:
        try:
            found = source.wait_for_tag(left_s)
            if found is None:
                break
            _, tag = found
            return tag.idm.hex().upper(), issue(tag, master_key)
        except (HoldAgain, WrongCard) as trouble:
            if trouble.code != said:  # once, not at every reading of a card that lies there
                click.echo(say(f"lite_s.{trouble.code}"))
            said = trouble.code
    return None
