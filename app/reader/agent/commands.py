"""`kumiai till`: the program at the till. Its exit codes are `Ending`, in till.py."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper

import click

from app.reader.agent.screen import LANGS, Screen, lang_of
from app.reader.agent.server import Server, ServerError
from app.reader.agent.settings import SettingMissing, TillSettings
from app.reader.agent.source import NfcpySource, SourceError
from app.reader.agent.spool import Spool, SpoolError, SpoolUnreadable
from app.reader.agent.till import Ending, Till

MAX_AMOUNT_YEN = 9_999_999

_LOG = logging.getLogger(__name__)


@click.group()
@click.option("--lang", type=click.Choice(LANGS), help="Language of the screen. [default: from LANG]")
@click.pass_context
def till(context: click.Context, lang: str | None) -> None:
    """Take payments by student card.

    Settings: KUMIAI_TILL_SERVER, KUMIAI_TILL_CLIENT_ID, KUMIAI_TILL_CLIENT_SECRET, KUMIAI_TILL_READER (usb),
    KUMIAI_TILL_SPOOL. Where `make run` runs, the demo's are used.

    Exit codes: 0 paid (resend: every result is known), 10 refused, 11 the result of a payment is not known, 12 nothing
    was taken, 13 a payment that an earlier sale left behind was paid. 2 is a wrong command line; anything else counts
    as 11.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console without ✓ must not stop a sale
    context.obj = lang or lang_of(os.environ.get("LANG", ""))


@till.command()
@click.argument("amount_yen", metavar="AMOUNT", type=click.IntRange(1, MAX_AMOUNT_YEN))
@click.option("--wait", "card_timeout_s", default=60.0, show_default=True, help="Seconds to wait for a card.")
@click.pass_obj
def sale(lang: str, amount_yen: int, card_timeout_s: float) -> None:
    """Take one payment of AMOUNT yen."""

    def take(settings: TillSettings, till: Till) -> Ending:
        with NfcpySource(settings.reader) as source:
            return till.sale(source, amount_yen=amount_yen, card_timeout_s=card_timeout_s)

    _run(lang, take)


@till.command()
@click.pass_obj
def resend(lang: str) -> None:
    """Ask again for every payment whose result is not known."""
    _run(lang, lambda settings, till: till.ask_unfinished())


def _run(lang: str, action: Callable[[TillSettings, Till], Ending]) -> None:
    """Put a till together, do `action` with it, exit with how it ended."""
    screen = Screen(lang)
    try:
        settings = TillSettings.from_env(os.environ)
        with (
            Spool(settings.spool) as spool,
            Server(
                url=settings.server, client_id=settings.client_id, client_secret=settings.client_secret, lang=lang
            ) as server,
        ):
            till = Till(spool=spool, server=server, screen=screen)
            ending = _attempt(lambda: action(settings, till), till)
    except SpoolUnreadable as error:
        screen.failure(error.code, str(error), unfinished=None)
        ending = Ending.UNKNOWN
    except (SettingMissing, SpoolError) as error:
        screen.failure(error.code, str(error), unfinished=0)
        ending = Ending.NOTHING_TAKEN
    sys.exit(ending)


def _attempt(action: Callable[[], Ending], till: Till) -> Ending:
    """Do it, and whatever goes wrong, end with what that means for the money."""
    try:
        return action()
    except (SourceError, ServerError, SpoolError) as error:
        code, detail = error.code, str(error)
    except KeyboardInterrupt:
        code, detail = "stopped", ""
    except Exception:
        _LOG.exception("the till failed")
        code, detail = "failed", ""
    try:
        return till.give_up(code, detail)
    except OSError:  # nobody reads the screen any more; the exit code must still come through
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return till.give_up(code, detail)
