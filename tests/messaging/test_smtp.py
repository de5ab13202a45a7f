"""Mail over real SMTP: TLS, passwords, refusals."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.clock import now
from app.ids import new_id
from app.messaging.ports import MailMessage, Refused
from app.messaging.smtp import SmtpMail
from tests.messaging.conftest import SENDER, Postbox, mail_server

ANOTHER_MACHINE = "127.0.0.2"
"""An address that the adapter does not count as this machine."""


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


def message(*, to: str = "hanako@example.ac.jp") -> MailMessage:
    return MailMessage(id=new_id(), to=to, subject="確認コードのお知らせ", text="生協 花子 様\n\n    123456\n")


def send(url: str, mail: MailMessage | None = None) -> None:
    SmtpMail(url, sender=SENDER).send(mail or message())


class Passwords:
    """Lets `kumiai` in, and remembers what was said."""

    def __init__(self) -> None:
        self.said: list[tuple[bytes, bytes]] = []

    def __call__(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.said.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss:word")


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    return Passwords()


def test_japanese_arrives_as_it_was_written(smtp: str, postbox: Postbox) -> None:
    mail = message()
    send(smtp, mail)
    (arrived,) = postbox.mails
    assert arrived["Subject"] == "確認コードのお知らせ"
    assert arrived.get_content().splitlines() == mail.text.splitlines()
    assert arrived["Message-ID"] == f"<{mail.id}@coop.example>"
    assert arrived["Auto-Submitted"] == "auto-generated"
    assert abs(arrived["Date"].datetime - now()) < timedelta(minutes=1)


def test_tls_is_used_where_it_is_offered(postbox: Postbox, tls: ssl.SSLContext) -> None:
    with mail_server(postbox, tls_context=tls) as port:
        send(f"smtp://127.0.0.1:{port}")
    assert postbox.over_tls == [True]


def test_a_certificate_nobody_signed_is_refused_of_another_machine(postbox: Postbox, tls: ssl.SSLContext) -> None:
    with (
        mail_server(postbox, hostname=ANOTHER_MACHINE, tls_context=tls) as port,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        send(f"smtp://{ANOTHER_MACHINE}:{port}")
    assert postbox.mails == []


def test_the_password_is_given_inside_tls(postbox: Postbox, tls: ssl.SSLContext, passwords: Passwords) -> None:
    with mail_server(postbox, tls_context=tls, authenticator=passwords, auth_required=True) as port:
        send(f"smtp://kumiai:p%40ss%3Aword@127.0.0.1:{port}")
    assert passwords.said == [(b"kumiai", b"p@ss:word")]
    assert len(postbox.mails) == 1


def test_the_password_never_leaves_without_tls(postbox: Postbox, passwords: Passwords) -> None:
    with (
        mail_server(postbox, authenticator=passwords, auth_require_tls=False) as port,
        pytest.raises(smtplib.SMTPNotSupportedError),
    ):
        send(f"smtp://kumiai:p%40ss%3Aword@127.0.0.1:{port}")
    assert passwords.said == []
    assert postbox.mails == []


@pytest.mark.parametrize(
    ("recipient_answer", "data_answer", "final"),
    [
        ("550 5.1.1 no such user", "250 OK", True),
        ("451 4.3.0 try later", "250 OK", False),
        (None, "554 5.7.1 looks like spam", True),
        (None, "452 4.2.2 mailbox full", False),
    ],
)
def test_what_is_final_and_what_may_be_tried_again(
    smtp: str, postbox: Postbox, recipient_answer: str | None, data_answer: str, final: bool
) -> None:
    postbox.recipient_answer, postbox.answer = recipient_answer, data_answer
    with pytest.raises(Refused if final else smtplib.SMTPException):
        send(smtp)
    assert postbox.mails == []


def test_a_clumsy_farewell_does_not_send_the_mail_again(postbox: Postbox) -> None:
    class Rude(Postbox):
        async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
            return "421 4.4.2 gone"

    rude = Rude()
    with mail_server(rude) as port:
        send(f"smtp://127.0.0.1:{port}")
    assert len(rude.mails) == 1


def test_an_address_cannot_add_headers(smtp: str, postbox: Postbox) -> None:
    with pytest.raises(ValueError, match="linefeed"):
        send(smtp, message(to="a@example.ac.jp\nBcc: b@example.ac.jp"))
    assert postbox.mails == []
