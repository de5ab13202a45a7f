"""The agent's two languages say the same things."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import app.reader.agent
from app.reader.agent.screen import LANGS, lang_of

FOLDER = Path(app.reader.agent.__path__[0])


def sentences(lang: str) -> dict[str, str]:
    said: dict[str, str] = json.loads((FOLDER / f"{lang}.json").read_text(encoding="utf-8"))
    return said


def test_both_languages_have_the_same_sentences_with_the_same_places_to_fill() -> None:
    ja, en = (sentences(lang) for lang in LANGS)
    assert ja.keys() == en.keys()
    for key in ja:
        assert set(re.findall(r"{\w+}", ja[key])) == set(re.findall(r"{\w+}", en[key])), key


def test_every_error_of_the_agent_says_what_happened() -> None:
    code_of = re.compile(r'^    code = "(\w+)"$', re.MULTILINE)
    codes = {code for path in FOLDER.glob("*.py") for code in code_of.findall(path.read_text(encoding="utf-8"))}
    assert len(codes) > 5
    assert codes <= sentences("ja").keys()


@pytest.mark.parametrize(
    ("locale", "lang"),
    [("ja_JP.UTF-8", "ja"), ("en_US.UTF-8", "en"), ("en", "en"), ("C.UTF-8", "ja"), ("", "ja"), ("fr_FR", "ja")],
)
def test_the_language_follows_the_locale(locale: str, lang: str) -> None:
    assert lang_of(locale) == lang
