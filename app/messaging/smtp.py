"""Mail over SMTP: `smtp://[user:password@]host[:port]` (STARTTLS) or `smtps://…` (TLS from the first byte)."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import SplitResult, unquote, urlsplit

from app import clock
from app.messaging.ports import TIMEOUT_S, MailMessage, Refused

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_PORTS = {"smtp": 25, "smtps": 465}


class SmtpMail:
    """One connection per mail: at a co-op's volume simpler than keeping one, and no stale connection to notice."""

    def __init__(self, url: str, *, sender: str) -> None:
        self._url = urlsplit(url)
        self._sender = sender

    def send(self, message: MailMessage) -> None:
        """Deliver one mail. Raises Refused for an answer of 5xx about the recipient or the content."""
        mail = as_email(message, sender=self._sender)
        try:
            with _connection(self._url) as server:
                server.send_message(mail, from_addr=self._sender, to_addrs=[message.to])
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise (Refused() if all(code >= 500 for code in codes) else error) from None
        except smtplib.SMTPDataError as error:
            raise (Refused() if error.smtp_code >= 500 else error) from None


def as_email(message: MailMessage, *, sender: str) -> EmailMessage:
    """The mail as RFC 5322 wants it. Its Message-ID comes from the message's id, so a second delivery is recognised."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(clock.now())
    mail["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday answer, please
    mail.set_content(message.text)
    return mail


@contextmanager
def _connection(url: SplitResult) -> Iterator[smtplib.SMTP]:
    host, port = url.hostname or "localhost", url.port or _PORTS[url.scheme]
    context = _tls(host)
    if url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    try:
        server.ehlo()
        if url.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        elif url.scheme == "smtp" and url.username:
            raise smtplib.SMTPNotSupportedError("the server offers no STARTTLS: the password stays here")
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        yield server
        with suppress(smtplib.SMTPException):  # the mail is taken; a clumsy farewell must not send it again
            server.quit()
    finally:
        server.close()


def _tls(host: str) -> ssl.SSLContext:
    """Certificates are checked, but for a relay on this very machine, which usually made its own."""
    context = ssl.create_default_context()
    if host in _THIS_MACHINE:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
