"""`kumiai demo card`: a student card without hardware.

It speaks nfcpy's real Type 3 Tag protocol over nfcpy's `udp` driver, so `kumiai till sale` reads it the way it
reads a card on a USB reader. It holds still on the reader until Ctrl-C; every sale is one tap.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

import click
import nfc
import nfc.clf
from nfc.clf import ContactlessFrontend, LocalTarget
from nfc.tag.tt3 import Type3TagEmulation

from app.demo import demo_card
from app.web.terminal import say

SYSTEM = 0xFE00
SERVICE = 0x1A8B
PMM = "0120FFFFFFFFFFFF"
"""Manufacture parameters. The FF bytes declare the longest response times (0.6 s for three blocks): a real card's
few milliseconds are too short for two processes on a busy machine."""

READER_SILENT_S = 0.3
"""A reader that died says no goodbye; after this long without a command the card can be found again."""

LISTEN_S = 3600.0
"""nfcpy's own second ends, now and then, between a reader's poll and its first command, which is then lost."""


class PortTaken(Exception):
    """Something else, perhaps another emulated card, waits on this UDP port."""


def emulate(*, idm: str, blocks: Mapping[int, bytes], port: int, on_read: Callable[[], None]) -> None:
    """Be the card with this IDm (16 hex digits) until Ctrl-C. `on_read` is called after each reading of its blocks.

    Raises PortTaken.
    """

    def read_block(number: int, begin: bool, end: bool) -> bytes | None:
        if end:
            on_read()
        return blocks.get(number)

    def power_up(tag: Type3TagEmulation) -> None:
        tag.add_service(SERVICE, read_block, None)

    hold(f"01{idm}{PMM}{SYSTEM:04X}", port=port, power_up=power_up)


def hold(sensf_res: str, *, port: int, power_up: Callable[[Type3TagEmulation], None]) -> None:
    """Be a card on the reader until Ctrl-C: what it answers to a poll (IDm, PMm, system; in hex), and, from
    `power_up`, which is called whenever a reader takes it up, its services. Raises PortTaken.
    """

    def as_card(target: LocalTarget) -> LocalTarget:
        target.brty = "212F"
        target.sensf_res = bytearray.fromhex(sensf_res)
        return target

    _check_free(port)
    with ContactlessFrontend(f"udp:localhost:{port}") as radio:
        while True:
            tag = radio.connect(card={"on-startup": as_card, "on-connect": _take_over, "timeout": LISTEN_S})
            if tag is False:
                return  # nfcpy turns Ctrl-C into this
            if tag is not None:
                power_up(tag)
                _answer(tag)


def _take_over(tag: Type3TagEmulation) -> bool:
    """Have `connect` return the tag: its own loop would wait for ever for a reader that was killed."""
    return False


def _answer(tag: Type3TagEmulation) -> None:
    """Answer one reader until it goes away."""
    command = tag.cmd
    try:
        while True:
            command = tag.send_response(tag.process_command(command), READER_SILENT_S)
    except nfc.clf.CommunicationError:
        return  # the reader left, or fell silent


def _check_free(port: int) -> None:
    """nfcpy retries a taken port for ever, without a word."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError as error:
            raise PortTaken from error


def _idm(context: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        if len(bytes.fromhex(value)) == 8:
            return value.upper()
    except ValueError:
        pass
    raise click.BadParameter("16 hex digits, for example 0114B7F2A93C5D60")


@click.command()
@click.option("--idm", default=demo_card.IDM, show_default=True, callback=_idm, help="The card's number.")
@click.option("--student-id", default=demo_card.STUDENT_ID, show_default=True, help="Up to 12 ASCII characters.")
@click.option("--port", default=demo_card.PORT, show_default=True, help="UDP port the reader looks at.")
def card(idm: str, student_id: str, port: int) -> None:
    """Hold an emulated student card on the reader until Ctrl-C."""
    try:
        blocks = demo_card.fcf_blocks(student_id)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--student-id") from error
    try:
        click.echo(say("demo.card.here", last4=idm[-4:], student_id=student_id, port=port))
        emulate(idm=idm, blocks=blocks, port=port, on_read=lambda: click.echo(say("demo.card.read")))
    except PortTaken:
        raise click.ClickException(say("demo.card.port_taken", port=port)) from None
    except KeyboardInterrupt:
        pass
    click.echo(say("demo.card.gone"))
