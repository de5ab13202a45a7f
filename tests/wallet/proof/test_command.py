"""`kumiai proof check`, as its user runs it: a process of its own, and neither server nor database anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli import main
from app.wallet.models import KINDS
from app.wallet.proof import proofs
from tests.conftest import ROOT
from tests.wallet.proof.conftest import Yesterday

pytestmark = pytest.mark.ledger

ALONE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {SERVER} or name in {OWN}:
            raise ImportError("this machine has no " + name)

sys.meta_path.insert(0, Nothing())
from app.cli import main
main()
"""
SERVER = {"flask", "sqlalchemy", "psycopg", "joserfc", "authlib", "marshmallow", "babel", "flask_babel", "alembic"}
OWN = {"app.db", "app.web", "app.oauth", "app.member", "app.factory", "app.issuer", "app.wallet.models"}


def alone(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run where the server's libraries and modules cannot be imported, and no setting is set."""
    program = ALONE.replace("{SERVER}", repr(SERVER)).replace("{OWN}", repr(OWN))
    environment = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8", **environment}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def run(*arguments: str | Path, lang: str = "ja_JP.UTF-8") -> Any:
    return CliRunner().invoke(main, ["proof", "check", *map(str, arguments)], env={"LANG": lang})


@pytest.fixture
def file(yesterday: Yesterday, tmp_path: Path) -> Path:
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(yesterday.proof(1), ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture
def keys(yesterday: Yesterday, tmp_path: Path) -> Path:
    """What /oauth/jwks.json said, other kinds of keys included."""
    with yesterday.app.app_context():
        known = proofs.every_key()
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "EC"}, *known]}))
    return path


def changed(file: Path, **content: Any) -> Path:
    document = json.loads(file.read_text())
    document["transaction"]["receipt"]["content"].update(content)
    file.write_text(json.dumps(document))
    return file


def test_it_needs_neither_server_nor_database(file: Path, keys: Path) -> None:
    done = alone("proof", "check", file, "--keys", keys)
    assert done.returncode == 0, done.stderr
    assert "この取引は、署名された記録のとおりです。" in done.stdout
    for words in ("¥450", "支払い", "昼食 A定食", "Asia/Tokyo"):
        assert words in done.stdout


def test_a_console_that_knows_few_letters_stops_nothing(file: Path) -> None:
    done = alone("proof", "check", file, LANG="en_GB", PYTHONIOENCODING="koi8-r")
    assert done.returncode == 0, done.stderr
    assert "? This transaction is as the signed records say." in done.stdout


def test_it_speaks_english_too(file: Path) -> None:
    done = run(file, lang="en_GB.UTF-8")
    assert done.exit_code == 0, done.output
    assert "This transaction is as the signed records say." in done.output
    assert "only this file says" in done.output


def test_without_keys_it_says_whose_word_the_key_is(file: Path, keys: Path) -> None:
    assert "このファイル自身が名乗っている鍵です" in run(file).output
    with_keys = run(file, "--keys", keys).output
    assert "名乗っている" not in with_keys
    assert "--keys のファイルにある鍵です" in with_keys


def test_a_key_that_is_not_among_the_issuers_proves_nothing(file: Path, keys: Path) -> None:
    keys.write_text('{"keys": []}')
    done = run(file, "--keys", keys)
    assert done.exit_code == 1
    assert "鍵がありません" in done.output


def test_a_changed_amount_is_found(file: Path) -> None:
    done = run(changed(file, amount_yen=45_000))
    assert done.exit_code == 1
    assert "署名のあとで書き換えられています" in done.output
    assert "45,000" not in done.output


@pytest.mark.parametrize("text", ["", "{}", "[1]", "レシート", '{"format": "kumiai-proof-2"}'])
def test_what_is_no_proof_file_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    done = run(path)
    assert done.exit_code == 2
    assert "証明ファイル（kumiai-proof-1）として読めません" in done.output


@pytest.mark.parametrize("text", ["{}", "[]", '{"keys": 1}', '{"keys": [1]}'])
def test_keys_that_are_none_are_said(file: Path, keys: Path, text: str) -> None:
    keys.write_text(text)
    done = run(file, "--keys", keys)
    assert done.exit_code == 2
    assert "鍵の一覧（JWK Set）として読めません" in done.output


def test_a_file_that_is_not_there_is_a_wrong_command_line(tmp_path: Path) -> None:
    assert run(tmp_path / "none.json").exit_code == 2


def test_a_strangers_text_does_not_steer_the_terminal(yesterday: Yesterday, tmp_path: Path) -> None:
    """The terminal's own commands in an attached text come out as letters."""
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(yesterday.proof(4)))
    done = run(path)
    assert done.exit_code == 0
    assert "\\u2028" in done.output
    assert "\u2028" not in done.output


def test_both_languages_say_the_same_things() -> None:
    ja, en = (json.loads((ROOT / f"app/wallet/proof/{lang}.json").read_text(encoding="utf-8")) for lang in ("ja", "en"))
    assert ja.keys() == en.keys()
    assert {f"kind.{kind}" for kind in KINDS} <= ja.keys()


def test_every_field_has_a_name(yesterday: Yesterday) -> None:
    sentences = json.loads((ROOT / "app/wallet/proof/ja.json").read_text(encoding="utf-8"))
    shown = yesterday.proof(1)["transaction"]
    names = {name for section in ("receipt", "details") for name in shown[section]["content"]}
    assert not {name for name in names if f"field.{name}" not in sentences}
