"""Every sentence in both languages: the same keys, the same placeholders, and none missing that a page asks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from flask import Flask

from app.errors import DomainError
from app.web.locale import LOCALES, translate
from tests.conftest import ROOT

SHARED = ROOT / "app/web/translations"
SERVER = ROOT / "app/translations"
MYPAGE = ROOT / "app/mypage/translations"
FILES = sorted(path.relative_to(ROOT) for folder in (SHARED, SERVER, MYPAGE) for path in (folder / "ja").glob("*.po"))

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_JA = "[぀-ヿ一-鿿、-】％]"
_HALF_WIDTH = re.compile(rf"{_JA}[ \t]*[:()]|[:()][ \t]*{_JA}")
_OTHER_WORDS = re.compile("(?:パラメータ|フォルダ|サーバ|ブラウザ|ユーザ)(?!ー)|外部アプリ|店舗窓口|利用者")
_ASKED = re.compile(r"""\bt\('([a-z0-9_.]+)'[,)]""")


def read(path: Path, locale: str) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=locale, abort_invalid=True)


def sentences(path: Path, locale: str) -> dict[str, str]:
    return {str(message.id): str(message.string) for message in read(path, locale) if message.id}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_both_languages_say_the_same_things(path: Path) -> None:
    ja = sentences(ROOT / path, "ja")
    en = sentences(ROOT / path.parent.parent / "en" / path.name, "en")
    assert ja.keys() == en.keys()
    assert not [key for key in ja if not ja[key] or not en[key]]
    differing = [key for key in ja if set(_PLACEHOLDER.findall(ja[key])) != set(_PLACEHOLDER.findall(en[key]))]
    assert not differing


@pytest.mark.parametrize("path", FILES, ids=str)
def test_japanese_is_written_one_way(path: Path) -> None:
    """Full-width colons and brackets beside Japanese, long vowels marked, one word for one thing."""
    ja = {key: _PLACEHOLDER.sub("％", text) for key, text in sentences(ROOT / path, "ja").items()}
    assert not [key for key, text in ja.items() if _HALF_WIDTH.search(text) or _OTHER_WORDS.search(text)]


def test_no_catalogue_exists_in_one_language_only() -> None:
    for folder in (SHARED, SERVER, MYPAGE):
        names = [{path.name for path in (folder / locale).glob("*.po")} for locale in LOCALES]
        assert names[0] == names[1], folder


@pytest.mark.parametrize("folder", [SERVER, MYPAGE], ids=["server", "member page"])
def test_no_key_is_in_two_files(folder: Path) -> None:
    """The later file would win in silence."""
    seen: dict[str, Path] = {}
    for path in (*(SHARED / "ja").glob("*.po"), *(folder / "ja").glob("*.po")):
        for key in sentences(path, "ja"):
            assert key not in seen, f"{key} in {seen.get(key)} and {path}"
            seen[key] = path


def test_every_sentence_that_a_template_asks_for_exists() -> None:
    known = {folder: set[str]() for folder in (SHARED, SERVER, MYPAGE)}
    for folder, keys in known.items():
        for path in (folder / "ja").glob("*.po"):
            keys.update(sentences(path, "ja"))
    for template in (ROOT / "app").rglob("templates/**/*.html"):
        owner = MYPAGE if "mypage" in template.parts else SERVER
        asked = set(_ASKED.findall(template.read_text()))
        assert not asked - known[owner] - known[SHARED], template


def test_every_refusal_has_its_sentences(app: Flask) -> None:
    def all_below(kind: type[DomainError]) -> list[type[DomainError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in all_below(child))]

    codes = {kind.code for kind in all_below(DomainError) if hasattr(kind, "code")}
    assert "not_found" in codes
    with app.app_context():
        keys = [f"error.{code}{part}" for code in codes for part in ("", ".cure")]
        assert not [key for key in keys for locale in LOCALES if key in translate(key, locale=locale)]
