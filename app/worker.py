"""`kumiai worker`: three workers in one process, so that a client's server that takes its time holds up no mail."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterable
from types import FrameType
from typing import Any, Protocol
from uuid import UUID

import click
from flask import Flask

from app.db import transaction
from app.factory import create_app
from app.member import service
from app.messaging.worker import Deliver, Worker, mail_and_sms
from app.oauth import backchannel, purge
from app.settings import Settings
from app.wallet.webhooks import purge as webhooks_purge
from app.wallet.webhooks.sender import Sender


class Loop(Protocol):
    """Something that runs until it is told to stop."""

    def run(self) -> None: ...
    def stop(self) -> None: ...


def worker_for_people(app: Flask, settings: Settings) -> Worker:
    """Delivers mail and SMS, and finds out whom a code for a new password is to be mailed to."""
    return Worker(settings, deliver={**mail_and_sms(settings), "password_reset": reset_codes(app)})


def reset_codes(app: Flask) -> Deliver:
    """Has the code mailed that was asked for, where the address is a member's."""

    def deliver(_: UUID, said: dict[str, Any]) -> None:
        with app.app_context(), transaction():
            service.send_reset_code(email=said["email"], code_id=UUID(said["code_id"]))

    return deliver


def worker_for_clients(app: Flask, settings: Settings) -> Worker:
    """Tells clients of sign-outs, in the server's own application: it signs with the server's keys.

    It also deletes old rows of the authorization server and of webhooks now and then: mail does not wait for that.
    """

    def deliver(message_id: UUID, said: dict[str, Any]) -> None:
        with app.app_context():
            backchannel.deliver(message_id, said, settings=settings)

    return Worker(settings, deliver={"logout": deliver}, tidy=(purge.tidy, webhooks_purge.tidy))


@click.command()
def worker() -> None:
    """Deliver mail and SMS from the outbox, tell clients of sign-outs, and send webhooks."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings = Settings.from_env()
    app = create_app(settings)
    loops: list[Loop] = [worker_for_people(app, settings), worker_for_clients(app, settings), Sender(app, settings)]

    def stop(number: int, frame: FrameType | None) -> None:
        _stop(loops)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    beside = [threading.Thread(target=_run, args=(loop, loops)) for loop in loops[1:]]
    for thread in beside:
        thread.start()
    _run(loops[0], loops)
    for thread in beside:
        thread.join()


def _run(loop: Loop, loops: Iterable[Loop]) -> None:
    """Whichever ends, for whatever reason, ends the others too: half a worker would not be noticed."""
    try:
        loop.run()
    finally:
        _stop(loops)


def _stop(loops: Iterable[Loop]) -> None:
    for loop in loops:
        loop.stop()
