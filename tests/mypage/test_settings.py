"""The member page's settings, and that it starts with nothing of the server installed."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from click.testing import CliRunner

from app.cli import main
from app.mypage.settings import MypageSettings, MypageSettingsError
from tests.live import ROOT

GIVEN = {
    "KUMIAI_MYPAGE_KEY": base64.b64encode(b"k" * 32).decode(),
    "KUMIAI_MYPAGE_CLIENT_SECRET": "kcs_secret",
    "KUMIAI_ISSUER_URL": "https://pay.example.jp/",
    "KUMIAI_MYPAGE_URL": "https://my.example.jp/",
    "KUMIAI_MYPAGE_NAME_EN": "My Co-op",
}


def test_from_the_environment() -> None:
    settings = MypageSettings.from_env(GIVEN)
    assert settings.issuer_url == "https://pay.example.jp"
    assert settings.redirect_uri == "https://my.example.jp/callback"
    assert settings.client_id == "mypage"
    assert (settings.name("ja"), settings.name("en")) == ("組合員マイページ", "My Co-op")
    assert "kcs_secret" not in repr(settings)


@pytest.mark.parametrize("name", ["KUMIAI_MYPAGE_KEY", "KUMIAI_MYPAGE_CLIENT_SECRET"])
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(MypageSettingsError, match=name):
        MypageSettings.from_env({**GIVEN, name: ""})


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUMIAI_MYPAGE_KEY", raising=False)
    said = CliRunner().invoke(main, ["mypage"])
    assert said.exit_code == 1
    assert "KUMIAI_MYPAGE_KEY" in said.output


@pytest.mark.parametrize("key", ["short", "!", base64.b64encode(b"k" * 31).decode()])
def test_a_key_that_is_no_key(key: str) -> None:
    with pytest.raises(MypageSettingsError, match="openssl rand"):
        MypageSettings.from_env({**GIVEN, "KUMIAI_MYPAGE_KEY": key})


def test_starts_without_the_server_s_libraries() -> None:
    """`pip install kumiai[mypage]` brings none of these; importing one would fail there, and fails here."""
    program = """
import sys
for name in "sqlalchemy psycopg alembic marshmallow flask_smorest flask_sqlalchemy argon2 structlog rfc8785".split():
    sys.modules[name] = None
from wsgi import mypage
assert mypage.test_client().get("/").status_code == 200
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=GIVEN, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
