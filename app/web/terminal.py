"""Sentences of the translations for people at a terminal, where there is no request to tell the language."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from flask import Flask

from app.web import locale

_TRANSLATIONS = Path(__file__).parent.parent / "translations"


def say(key: str, **values: object) -> str:
    """The sentence for `key`, in English where LANG asks for it, else in Japanese."""
    with _sentences().app_context():
        return locale.translate(key, locale=language(), **values)


def language() -> str:
    """`en` where LANG asks for it, else `ja`."""
    return "en" if os.environ.get("LANG", "").startswith("en") else "ja"


def aligned(lines: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """The rows of a table, each cell as wide as the widest of its column."""
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """How many columns of a terminal it takes; a Japanese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


@cache
def _sentences() -> Flask:
    app = Flask(__name__)
    locale.init_app(app, directories=[_TRANSLATIONS], default="ja", time_zone="Asia/Tokyo")
    return app
