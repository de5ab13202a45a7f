"""Mail and SMS into a folder on this machine: development and tests. Production refuses it (see settings)."""

from __future__ import annotations

import mailbox
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

from app.messaging.ports import MailMessage, SmsMessage
from app.messaging.smtp import as_email

_KIND = "X-Kumiai-Kind"


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as it lies in the folder. `id` is the Message-ID, which grows with time (UUIDv7)."""

    id: str
    kind: Literal["mail", "sms"]
    to: str
    subject: str
    text: str
    sent_at: datetime


class MaildirMail:
    """Keeps mail in the Maildir at `path` (made when it is missing)."""

    def __init__(self, path: Path, *, sender: str) -> None:
        self._path = path
        self._sender = sender

    def send(self, message: MailMessage) -> None:
        _keep(self._path, as_email(message, sender=self._sender), kind="mail")


class MaildirSms:
    """Keeps SMS in the same folder, so that one page shows both."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, message: SmsMessage) -> None:
        mail = MailMessage(id=message.id, to=message.to, subject="SMS", text=message.text)
        _keep(self._path, as_email(mail, sender="sms@localhost"), kind="sms")


def read(path: Path) -> list[Kept]:
    """What lies in the folder, newest first."""
    if not (path / "cur").exists():  # the last of its folders to be made: another process may be at it
        return []
    folder = mailbox.Maildir(path, factory=None)
    kept = [_parse(folder.get_bytes(key)) for key in folder.iterkeys()]
    return sorted(kept, key=lambda message: message.id, reverse=True)


def _keep(path: Path, mail: EmailMessage, *, kind: str) -> None:
    mail[_KIND] = kind
    path.parent.mkdir(parents=True, exist_ok=True)
    mailbox.Maildir(path, factory=None).add(mail)


def _parse(raw: bytes) -> Kept:
    mail = message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return Kept(
        id=str(mail["Message-ID"]),
        kind="sms" if mail[_KIND] == "sms" else "mail",
        to=str(mail["To"]),
        subject=str(mail["Subject"]),
        text=str(mail.get_content()),
        sent_at=mail["Date"].datetime,
    )
