"""The part of `kumiai worker` that seals: it looks now and then, seals what is due, signs the days that are over."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any

import psycopg
from flask import Flask

from app.db import ENDS_WITH_ITS_HOST, PLANS_BY_KEY
from app.issuer import NoIssuer, current_issuer
from app.settings import Settings
from app.wallet.proof import sealing, statement

_log = logging.getLogger("kumiai.proof")

LOOK_EVERY_S = 20.0


class Sealer:
    """One of as many as you like; each looks on a connection of its own."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Finish the block in hand, then return from `run`."""
        self._stopping.set()

    def run(self) -> None:
        """Seal until `stop`. Whatever goes wrong is logged and tried again: mail does not stop for it."""
        while not self._stopping.is_set():
            try:
                self.look()
            except NoIssuer:
                _log.info("no issuer yet")
            except Exception as error:
                _log.exception("not sealed (%s); trying again", type(error).__name__)
            self._stopping.wait(LOOK_EVERY_S)

    def look(self) -> None:
        """Seal every block that is due and sign every day that is over. Raises Gap, SealBroken, psycopg.Error."""
        with self._app.app_context(), connect(self._settings.database_url) as connection:
            issuer_id, zone = current_issuer().id, self._settings.zone
            while not self._stopping.is_set() and (
                size := sealing.seal_next(connection, issuer_id=issuer_id, zone=zone)
            ):
                _log.info("sealed %s transactions", size)
            sign = partial(statement.sign, sealing_key=self._settings.sealing_key)
            while not self._stopping.is_set() and (
                day := sealing.sign_next(
                    connection, issuer_id=issuer_id, issuer_url=self._settings.issuer_url, zone=zone, sign=sign
                )
            ):
                _log.info("signed %s", day)


def connect(database_url: str) -> psycopg.Connection[Any]:
    """A connection to seal with. It finds rows by key, whatever a table's statistics say."""
    return psycopg.connect(
        database_url, **ENDS_WITH_ITS_HOST, autocommit=True, options=PLANS_BY_KEY, application_name="kumiai proof"
    )
