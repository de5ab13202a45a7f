"""`kumiai worker`: two workers in one process, so that a client's server that takes its time holds up no mail."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from types import FrameType
from typing import Any
from uuid import UUID

import click
import psycopg
from flask import Flask

from app.db import transaction
from app.factory import create_app
from app.member import service
from app.messaging.worker import Deliver, Tidy, Worker, mail_and_sms
from app.oauth import backchannel, purge
from app.settings import Settings
from app.wallet.settlement import closing


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

    It also deletes old rows of the authorization server now and then, and posts settlements that a process left
    undone: mail does not wait for that.
    """

    def deliver(message_id: UUID, said: dict[str, Any]) -> None:
        with app.app_context():
            backchannel.deliver(message_id, said, settings=settings)

    return Worker(settings, deliver={"logout": deliver}, tidy=(purge.tidy, finish_settlements(app)))


def finish_settlements(app: Flask) -> Tidy:
    """Posts what a process left between a settlement's row and the ledger when it died."""

    def tidy(_: psycopg.Connection[Any]) -> None:
        with app.app_context():
            closing.finish_all()

    return tidy


@click.command()
def worker() -> None:
    """Deliver mail and SMS from the outbox, and tell clients of sign-outs."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings = Settings.from_env()
    app = create_app(settings)
    for_people, for_clients = worker_for_people(app, settings), worker_for_clients(app, settings)

    def stop(number: int, frame: FrameType | None) -> None:
        for_people.stop()
        for_clients.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    beside = threading.Thread(target=_run, args=(for_clients, for_people))
    beside.start()
    _run(for_people, for_clients)
    beside.join()


def _run(one: Worker, other: Worker) -> None:
    """Whichever ends, for whatever reason, ends the other too: half a worker would not be noticed."""
    try:
        one.run()
    finally:
        other.stop()
