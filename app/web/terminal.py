"""Sentences of the translations for people at a terminal, where there is no request to tell the language."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from flask import Flask

from app.web import locale

_TRANSLATIONS = Path(__file__).parent.parent / "translations"


def say(key: str, **values: object) -> str:
    """The sentence for `key`, in English where LANG asks for it, else in Japanese."""
    language = "en" if os.environ.get("LANG", "").startswith("en") else "ja"
    with _sentences().app_context():
        return locale.translate(key, locale=language, **values)


@cache
def _sentences() -> Flask:
    app = Flask(__name__)
    locale.init_app(app, directories=[_TRANSLATIONS], default="ja", time_zone="Asia/Tokyo")
    return app
