"""The product as it runs: server, worker and member page as processes of their own, over a database of their own.

Tests drive them over real HTTP. `Live.app` is the same application in this process, for the factories only.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import requests
from flask import Flask
from sqlalchemy import update

from app.db import dispose, transaction
from app.factory import create_app
from app.issuer import Issuer
from app.member.service import register_member
from app.messaging import maildir
from app.mypage.settings import MypageSettings
from app.oauth.clients import register_client
from app.serve import granian_command
from app.settings import Settings
from app.wallet import ledger
from tests import factories
from tests.ports import free_port

ROOT = Path(__file__).parent.parent
PASSWORD = "きのう見た学食の献立"
READY_WITHIN_S = 30
STEP_UP_YEN = 2_500
"""A payment above this needs a sign-in of the last minutes."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Person:
    """A member who can sign in."""

    id: UUID
    email: str
    password: str = PASSWORD


@dataclass(frozen=True)
class Live:
    """Where everything answers, and the settings it was started with."""

    app: Flask
    settings: Settings
    mypage: MypageSettings

    @property
    def url(self) -> str:
        return self.settings.issuer_url

    def register(self, *, family_name: str = "組合", given_name: str = "花子") -> Person:
        """A member with an address of its own."""
        email = f"{secrets.token_hex(6)}@example.ac.jp"
        with self.app.app_context(), transaction():
            id_ = register_member(email=email, password=PASSWORD, family_name=family_name, given_name=given_name)
        return Person(id=id_, email=email)

    def mailed_code(self, email: str, *, after: int = 0) -> str:
        """The six digits of the newest mail of them to an address, once more than `after` such mails are delivered."""
        mailbox = Path(self.settings.mail_url.removeprefix("maildir:"))

        def look() -> str | None:
            texts = [kept.text for kept in maildir.read(mailbox) if kept.to == email]
            codes = [found[1] for each in texts if (found := re.search(r"^\s*([0-9]{6})\s*$", each, re.MULTILINE))]
            return codes[0] if len(codes) > after else None

        return eventually(look)


def eventually(look: Callable[[], Found | None], *, within_s: float = READY_WITHIN_S) -> Found:
    """What `look` finds as soon as it finds something; an assertion error when it does not in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def read_until(running: subprocess.Popen[str], words: str, *, within_s: float = READY_WITHIN_S) -> str:
    """What a program says, up to the line with `words`. One that ends, or takes too long, fails with what it said."""
    assert running.stdout is not None
    said = ""
    too_late = threading.Timer(within_s, running.kill)
    too_late.start()
    try:
        while line := running.stdout.readline():
            said += line
            if words in line:
                return said
    finally:
        too_late.cancel()
    raise AssertionError(f"it never said {words!r}, only: {said}")


@contextmanager
def live(settings: Settings, *, directory: Path) -> Iterator[Live]:
    """Everything started over the (migrated, empty) database of `settings`; stopped again at the end."""
    settings = replace(
        settings,
        environment="development",
        issuer_url=f"http://localhost:{free_port()}",
        mypage_url=f"http://localhost:{free_port()}",
        mail_url=f"maildir:{directory / 'mailbox'}",
        sms_url=f"maildir:{directory / 'mailbox'}",
        instance_path=directory,
    )
    with ExitStack() as stack:
        app = stack.enter_context(_application(settings))
        mypage = MypageSettings(
            key=secrets.token_bytes(32),
            client_secret=_register_mypage(app, settings),
            issuer_url=settings.issuer_url,
            url=settings.mypage_url,
        )
        env = {**server_env(settings), **mypage_env(mypage)}
        worker = [sys.executable, "-c", "from app.cli import main; main()", "worker"]
        stack.enter_context(process(worker, env=env, log=directory / "worker.log"))
        for target, url in (("wsgi:app", settings.issuer_url), ("wsgi:mypage", mypage.url)):
            stack.enter_context(served(target, url, env=env, log=directory / f"{target[5:]}.log"))
        yield Live(app=app, settings=settings, mypage=mypage)


@contextmanager
def served(
    target: str, url: str, *, env: Mapping[str, str], log: Path, workers: int = 1
) -> Iterator[subprocess.Popen[bytes]]:
    """A WSGI callable served the way production does, once it answers; yields the web server."""
    port = int(url.rsplit(":", 1)[1])
    command = granian_command(target, host="127.0.0.1", port=port, workers=workers, threads=16)
    with process(command, env=env, log=log) as running:
        eventually(lambda: _answers(url, running, log) or None)
        yield running


@contextmanager
def process(command: list[str], *, env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child process for as long as the block lasts."""
    with log.open("ab") as output:
        running = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=output, stderr=output)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(timeout=15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def mypage_env(mypage: MypageSettings) -> dict[str, str]:
    """The settings of a member page as its process reads them."""
    return {
        "KUMIAI_ISSUER_URL": mypage.issuer_url,
        "KUMIAI_MYPAGE_URL": mypage.url,
        "KUMIAI_MYPAGE_KEY": _base64(mypage.key),
        "KUMIAI_MYPAGE_CLIENT_SECRET": mypage.client_secret,
    }


def server_env(settings: Settings) -> dict[str, str]:
    """The settings as the server's process reads them."""
    return {
        "KUMIAI_ENV": settings.environment,
        "DATABASE_URL": settings.database_url,
        "KUMIAI_SECRET_KEY": _base64(settings.secret_key),
        "KUMIAI_SEALING_KEY": _base64(settings.sealing_key),
        "KUMIAI_CARD_PEPPER": _base64(settings.card_pepper),
        "KUMIAI_ISSUER_URL": settings.issuer_url,
        "KUMIAI_MYPAGE_URL": settings.mypage_url,
        "KUMIAI_MAIL_URL": settings.mail_url,
        "KUMIAI_SMS_URL": settings.sms_url,
        "KUMIAI_INSTANCE": str(settings.instance_path),
        "KUMIAI_CHARGE_GATEWAY": settings.charge_gateway,
        "KUMIAI_SANDBOX_URL": settings.sandbox_url,
        "KUMIAI_SANDBOX_KEY": settings.sandbox_key,
        "KUMIAI_SANDBOX_WEBHOOK_SECRET": settings.sandbox_webhook_secret,
        "KUMIAI_READER_PROFILES": str(settings.reader_profiles or ""),
        "KUMIAI_LITE_S_KEY": _base64(settings.lite_s_key) if settings.lite_s_key else "",
    }


def _base64(key: bytes) -> str:
    return base64.b64encode(key).decode()


@contextmanager
def _application(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    with app.app_context():
        factories.issuer(name_ja="みどり大学生協", name_en="Midori University Co-op")
        with transaction() as session:  # below what a payment may be, so that a large one can be made at all
            session.execute(update(Issuer).values(step_up_yen=STEP_UP_YEN))
    yield app
    ledger.close()
    with app.app_context():
        dispose()


def _register_mypage(app: Flask, settings: Settings) -> str:
    with app.app_context():
        shop_id = factories.shop(accepts=[])  # a client without shops may not ask for payments
    with app.app_context(), transaction():
        _, secret = register_client(
            client_id="mypage",
            name_ja="組合員マイページ",
            name_en="Member page",
            profile="web",
            scopes=["openid", "profile", "balance", "history", "payment", "charge", "move", "card", "offline_access"],
            redirect_uris=[f"{settings.mypage_url}/callback"],
            post_logout_redirect_uris=[f"{settings.mypage_url}/signed-out"],
            allowed_shops=[shop_id],
        )
    assert secret is not None
    return secret


def _answers(url: str, running: subprocess.Popen[bytes], log: Path) -> bool:
    assert running.poll() is None, log.read_text()
    try:
        return requests.get(f"{url}/static/icon.svg", timeout=5).ok
    except requests.RequestException:  # nobody listens yet, or the worker that took the call is still importing
        return False
