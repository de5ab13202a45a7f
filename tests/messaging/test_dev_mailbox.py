"""The development mailbox: readable in a browser, and absent in production."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from app.db import dispose
from app.factory import create_app
from app.ids import new_id
from app.messaging.maildir import MaildirMail, MaildirSms
from app.messaging.ports import MailMessage, SmsMessage
from app.settings import Settings


@pytest.fixture
def folder(settings: Settings) -> Path:
    return Path(settings.mail_url.removeprefix("maildir:"))


def test_it_shows_mail_and_sms_newest_first_with_big_codes(app: Flask, folder: Path) -> None:
    client = app.test_client()
    mail = MailMessage(id=new_id(), to="hanako@example.ac.jp", subject="古いほう", text="様\n\n    111222\n")
    MaildirMail(folder, sender="no-reply@coop.example").send(mail)
    MaildirSms(folder).send(SmsMessage(id=new_id(), to="+819012345678", text="<b>新しいほう</b>\n333444"))
    page = client.get("/dev/mailbox").text
    assert page.index('<p class="amount">333444</p>') < page.index('<p class="amount">111222</p>')
    assert page.index("+819012345678") < page.index("hanako@example.ac.jp")
    assert "&lt;b&gt;新しいほう" in page


def test_messages_of_the_same_second_keep_their_order(app: Flask, folder: Path) -> None:
    mail = MaildirMail(folder, sender="no-reply@coop.example")
    messages = [MailMessage(id=new_id(), to="a@example.ac.jp", subject=f"no. {n}", text="x") for n in range(5)]
    for message in reversed(messages):
        mail.send(message)
    page = app.test_client().get("/dev/mailbox").text
    places = [page.index(message.subject) for message in messages]
    assert places == sorted(places, reverse=True)


def test_an_empty_one_says_so(make_settings: Callable[[str], Settings], database_url: str, tmp_path: Path) -> None:
    app = create_app(replace(make_settings(database_url), mail_url=f"maildir:{tmp_path / 'none'}"))
    assert "まだ何も届いていません" in app.test_client().get("/dev/mailbox").text
    with app.app_context():
        dispose()


@pytest.mark.parametrize(
    "changed",
    [
        {"environment": "production", "mail_url": "smtp://localhost"},
        {"environment": "production"},
        {"environment": "development", "mail_url": "smtp://localhost"},
    ],
)
def test_it_does_not_exist_in_production_or_beside_a_mail_server(
    make_settings: Callable[[str], Settings], database_url: str, changed: dict[str, str]
) -> None:
    app = create_app(replace(make_settings(database_url), **changed))  # type: ignore[arg-type]
    assert app.test_client().get("/dev/mailbox").status_code == 404
    with app.app_context():
        dispose()
