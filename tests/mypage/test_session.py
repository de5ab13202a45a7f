"""The sealed cookie: what it lets through, and what opens as nobody."""

from __future__ import annotations

import time

import pytest
from cryptography.fernet import Fernet
from flask.testing import FlaskClient

from app.mypage.factory import create_mypage
from app.mypage.session import COOKIE, LIFE, Seal
from app.mypage.settings import MypageSettings
from tests.live import free_port


def member_page(url: str = "http://localhost:8001") -> FlaskClient:
    nobody = f"http://localhost:{free_port()}"
    return create_mypage(
        MypageSettings(key=b"k" * 32, client_secret="secret", url=url, issuer_url=nobody)
    ).test_client()


def sealed(key: bytes = b"k" * 32) -> str:
    settings = MypageSettings(key=key, client_secret="secret")
    return Seal(settings.derived_key("session")).dumps({"tokens": {"access_token": "kat_1"}})


def is_signed_in(page: FlaskClient, cookie: str) -> bool:
    page.set_cookie(COOKIE, cookie)
    return page.get("/history").status_code == 503  # signed in, it asks the server, and there is none


def test_what_this_member_page_sealed_opens() -> None:
    assert is_signed_in(member_page(), sealed())


@pytest.mark.parametrize(
    "cookie",
    ["", "x", "日本", sealed()[:-5] + "AAAA=", sealed(b"l" * 32), Fernet(b"A" * 43 + b"=").encrypt(b"{}").decode()],
    ids=["empty", "short", "Japanese", "changed", "another key", "of others"],
)
def test_anything_else_opens_as_nobody(cookie: str) -> None:
    assert not is_signed_in(member_page(), cookie)


def test_an_old_cookie_opens_as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = sealed()
    later = time.time() + LIFE.total_seconds() + 1
    monkeypatch.setattr("cryptography.fernet.time.time", lambda: later)
    assert not is_signed_in(member_page(), cookie)


def test_over_tls_the_cookie_is_for_tls_only() -> None:
    answer = member_page("https://my.example.jp").get("/callback")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "Strict-Transport-Security" in answer.headers
    assert "Secure" not in member_page().get("/callback").headers["Set-Cookie"]


def test_each_purpose_has_its_own_key() -> None:
    settings = MypageSettings(key=b"k" * 32, client_secret="secret")
    assert len({settings.derived_key("csrf"), settings.derived_key("session"), settings.key}) == 3
