"""What the worker needs of the outside world: something that takes mail, something that takes SMS.

An adapter delivers one message and returns, or raises: `Refused` where trying again cannot help, anything else where
it may. It sets time limits of its own (`TIMEOUT_S` per network operation), so that a lease outlives a delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

TIMEOUT_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MailMessage:
    """One mail in plain text. `id` stays the same when it is delivered a second time."""

    id: UUID
    to: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsMessage:
    """One text message. `to` is a number in E.164 form, such as +819012345678."""

    id: UUID
    to: str
    text: str


class Mail(Protocol):
    def send(self, message: MailMessage) -> None: ...


class Sms(Protocol):
    def send(self, message: SmsMessage) -> None: ...


class Refused(Exception):
    """The other side will never take this message: no such mailbox, not a number. Do not try again."""
