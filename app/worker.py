"""`kumiai worker`: people, clients, webhooks, sealing, what expires: in one process, so that none holds up another."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any, Protocol
from uuid import UUID

import click
import psycopg
from flask import Flask

from app.charge import purge as charge_purge
from app.charge.poller import Charges
from app.db import transaction
from app.factory import create_app
from app.member import service
from app.messaging.worker import Deliver, Tidy, Worker, mail_and_sms
from app.oauth import backchannel, purge
from app.settings import Settings
from app.wallet import ledger
from app.wallet.bulk import purge as bulk_purge
from app.wallet.bulk.runner import BulkRunner
from app.wallet.housekeeping.sweeper import Sweeper
from app.wallet.proof.sealer import Sealer
from app.wallet.settlement import closing
from app.wallet.webhooks import purge as webhooks_purge
from app.wallet.webhooks.sender import Sender

_log = logging.getLogger("kumiai.worker")


class Part(Protocol):
    """Works until it is stopped."""

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

    Now and then it also deletes old rows of the authorization server, webhooks, gateways and files, and posts
    settlements that a process left undone: mail does not wait for that.
    """

    def deliver(message_id: UUID, said: dict[str, Any]) -> None:
        with app.app_context():
            backchannel.deliver(message_id, said, settings=settings)

    tidy = (purge.tidy, webhooks_purge.tidy, charge_purge.tidy, bulk_purge.tidy, finish_settlements(app))
    return Worker(settings, deliver={"logout": deliver}, tidy=tidy)


def finish_settlements(app: Flask) -> Tidy:
    """Posts what a process left between a settlement's row and the ledger when it died."""

    def tidy(_: psycopg.Connection[Any]) -> None:
        with app.app_context():
            closing.finish_all()

    return tidy


@click.command()
def worker() -> None:
    """Deliver mail, SMS and webhooks, seal transactions, run bulk jobs, end what has run out."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings = Settings.from_env()
    app = create_app(settings)
    parts: list[Part] = [
        worker_for_people(app, settings),
        worker_for_clients(app, settings),
        Sender(app, settings),
        Sealer(app, settings),
        BulkRunner(app),
        Sweeper(app, settings),
        Charges(app, settings),
    ]

    def stop(number: int, frame: FrameType | None) -> None:
        _stop(parts)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    failed: list[Part] = []
    beside = [threading.Thread(target=_run, args=(part, parts, failed)) for part in parts[1:]]
    for thread in beside:
        thread.start()
    _run(parts[0], parts, failed)
    for thread in beside:
        thread.join()
    ledger.close()
    if failed:
        raise SystemExit(1)  # so that whoever supervises it knows that it was not told to stop


def _run(part: Part, parts: Sequence[Part], failed: list[Part]) -> None:
    """Whichever ends, for whatever reason, ends the others too: a part of a worker would not be noticed."""
    try:
        part.run()
    except Exception:
        _log.exception("%s ended, and the worker with it", type(part).__name__)
        failed.append(part)
    finally:
        _stop(parts)


def _stop(parts: Sequence[Part]) -> None:
    for part in parts:
        part.stop()
