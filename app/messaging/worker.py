"""Delivers what waits in the outbox. Run as many workers as you like; none doubles another's work.

It wakes at a NOTIFY and looks by itself every second besides, for what becomes due again. SIGTERM and SIGINT let it
finish the message in hand. Logs name the message's id and what went wrong, never an address or a word of it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from app.db import DATABASE_AWAY
from app.limits import forget_past_windows
from app.messaging import leases
from app.messaging.maildir import MaildirMail, MaildirSms
from app.messaging.ports import Mail, MailMessage, Refused, Sms, SmsMessage
from app.messaging.smtp import SmtpMail
from app.messaging.twilio import TwilioSms
from app.outbox import CHANNEL
from app.seal import unseal
from app.settings import Settings, SettingsError

_log = logging.getLogger("kumiai.worker")

_LOOK_EVERY_S = 1.0
_RECONNECT_AFTER_S = 2.0
_FORGET_EVERY_S = 600.0

Deliver = Callable[[UUID, dict[str, Any]], None]
"""Takes a message's id, which stays the same at a second try, and what it says. Raises as adapters do (ports.py)."""
Tidy = Callable[[psycopg.Connection[Any]], None]
"""Deletes what is over, for a second at most; called every ten minutes, on the worker's connection."""


class Worker:
    """One worker: one connection, one message at a time."""

    def __init__(
        self,
        settings: Settings,
        *,
        deliver: Mapping[str, Deliver] | None = None,
        tidy: Sequence[Tidy] = (forget_past_windows,),
    ) -> None:
        """`deliver` is what it can deliver, by topic; None: mail and SMS."""
        self._database_url = settings.database_url
        self._sealing_key = settings.sealing_key
        self._deliver = mail_and_sms(settings) if deliver is None else deliver
        self._tidies = tidy
        self._stopping = False
        self._forgets_at_s = 0.0

    def stop(self) -> None:
        """Finish the message in hand, then return from `run`."""
        self._stopping = True

    def run(self) -> None:
        """Deliver until `stop`. A lost database is waited for."""
        while not self._stopping:
            try:
                with _connect(self._database_url) as connection:
                    self._serve(connection)
            except DATABASE_AWAY as error:
                _log.warning("no database (%s); trying again", type(error).__name__)
                time.sleep(_RECONNECT_AFTER_S)

    def _serve(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        _log.info("waiting for messages: %s", ", ".join(sorted(self._deliver)))
        while not self._stopping:
            while not self._stopping and self.deliver_one(connection):
                pass
            self._tidy(connection)
            if not self._stopping:
                _wait(connection)

    def _tidy(self, connection: psycopg.Connection[Any]) -> None:
        if time.monotonic() < self._forgets_at_s:
            return
        for tidy in self._tidies:
            try:
                tidy(connection)
            except DATABASE_AWAY:
                raise
            except Exception:  # whatever is wrong with one, the others are done, and messages go on
                _log.exception("something was not tidied; trying again in %s s", round(_FORGET_EVERY_S))
        self._forgets_at_s = time.monotonic() + _FORGET_EVERY_S

    def deliver_one(self, connection: psycopg.Connection[Any]) -> bool:
        """Deliver the next due message. False when there is none."""
        job = leases.lease(connection, topics=sorted(self._deliver))
        if job is None:
            return False
        if job.expired:
            leases.give_up(connection, job, error="Expired")
        elif job.attempts > leases.MAX_ATTEMPTS:  # each of its workers died before it could say what went wrong
            leases.give_up(connection, job, error="WorkerDied")
        else:
            self._attempt(connection, job)
        return True

    def _attempt(self, connection: psycopg.Connection[Any], job: leases.Leased) -> None:
        try:
            self._deliver[job.topic](job.id, json.loads(unseal(self._sealing_key, job.payload_sealed)))
        except Refused:
            _log.warning("%s %s refused for good", job.topic, job.id)
            leases.give_up(connection, job, error="Refused")
        except Exception as error:  # whatever is wrong with one message, the others go on
            _log.warning("%s %s not delivered (attempt %s): %s", job.topic, job.id, job.attempts, type(error).__name__)
            leases.put_back(connection, job, error=type(error).__name__)
        else:
            _log.info("%s %s delivered (attempt %s)", job.topic, job.id, job.attempts)
            leases.delivered(connection, job)


def _connect(database_url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(database_url, autocommit=True, application_name="kumiai worker")


def _wait(connection: psycopg.Connection[Any]) -> None:
    for _ in connection.notifies(timeout=_LOOK_EVERY_S, stop_after=1):
        return


def mail_and_sms(settings: Settings) -> dict[str, Deliver]:
    """Without KUMIAI_SMS_URL text messages wait for a worker that has it."""
    mail = mail_from_url(settings.mail_url, sender=settings.mail_from)
    deliver: dict[str, Deliver] = {"mail": lambda id_, said: mail.send(MailMessage(id=id_, **said))}
    if settings.sms_url:
        sms = sms_from_url(settings.sms_url)
        deliver["sms"] = lambda id_, said: sms.send(SmsMessage(id=id_, **said))
    return deliver


def mail_from_url(url: str, *, sender: str) -> Mail:
    """The mail adapter for KUMIAI_MAIL_URL. Raises SettingsError."""
    scheme, _, rest = url.partition(":")
    if scheme == "maildir":
        return MaildirMail(Path(rest), sender=sender)
    if scheme in ("smtp", "smtps"):
        return SmtpMail(url, sender=sender)
    raise SettingsError("KUMIAI_MAIL_URL must begin with smtp://, smtps:// or maildir:")


def sms_from_url(url: str) -> Sms:
    """The SMS adapter for KUMIAI_SMS_URL. Raises SettingsError."""
    scheme, _, rest = url.partition(":")
    if scheme == "maildir":
        return MaildirSms(Path(rest))
    if scheme == "twilio":
        return TwilioSms.from_url(url)
    raise SettingsError("KUMIAI_SMS_URL must begin with twilio:// or maildir:")
