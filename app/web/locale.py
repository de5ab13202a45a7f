"""Japanese and English: which one this request wants, and the sentences themselves.

Sentences live in `translations/<locale>/*.po`, one file per part of the system, under short keys
(`login.title`). The .po files are read as they are: there is no compiled copy to forget. A test compares the
two languages key by key.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from flask import Blueprint, Flask, g, has_request_context, redirect, request
from flask_babel import Babel, Domain, force_locale, get_babel, get_locale
from werkzeug.wrappers import Response

from app.web.local_path import local_path
from app.web.protection import Public, protected_by

LOCALES = ("ja", "en")
COOKIE = "kumiai_lang"

_PARSED = {code: Locale.parse(code) for code in LOCALES}  # parsing one takes longer than all else about it

_OWN_TRANSLATIONS = Path(__file__).parent / "translations"


class Catalogue(Domain):  # type: ignore[misc]  # Flask-Babel ships no types
    """The sentences of every part, read straight from its .po files."""

    def __init__(self, directories: Sequence[Path]) -> None:
        super().__init__(domain="kumiai")
        self._directories = tuple(directories)

    def get_translations(self) -> Translations:
        locale = current_locale()
        if locale not in self.cache:
            self.cache[locale] = self._load(locale)
        translations: Translations = self.cache[locale]
        return translations

    def _load(self, locale: str) -> Translations:
        merged = Translations()
        for directory in self._directories:
            for path in sorted((directory / locale).glob("*.po")):
                compiled = BytesIO()
                with path.open("rb") as file:
                    write_mo(compiled, read_po(file, locale=locale))
                compiled.seek(0)
                merged.merge(Translations(compiled, domain="kumiai"))
        return merged


def translate(key: str, locale: str | None = None, **values: Any) -> str:
    """The sentence for `key` in the request's language (or `locale`), with its placeholders filled."""
    domain: Domain = get_babel().instance.domain_instance
    if locale is None:
        return str(domain.gettext(key, **values))
    with force_locale(locale):
        return str(domain.gettext(key, **values))


def current_locale() -> str:
    """`ja` or `en`."""
    locale = get_locale()
    return locale.language if locale is not None and locale.language in LOCALES else "ja"


def _choose(default: str) -> Locale:
    if not has_request_context():
        return _PARSED[default]
    asked = g.get("ui_locale") or ("Cookie" in request.headers and request.cookies.get(COOKIE))
    if asked not in LOCALES:
        asked = request.accept_languages.best_match(LOCALES) if "Accept-Language" in request.headers else None
    return _PARSED[asked or default]


def prefer(locales: str | None) -> None:
    """Take up `ui_locales` of OpenID Connect Core 3.1.2.1: the first language we have."""
    for wanted in (locales or "").split():
        if wanted.split("-")[0] in LOCALES:
            g.ui_locale = wanted.split("-")[0]
            return


def hand_on_preferred(pages: Blueprint) -> None:
    """Have these pages take up `ui_locales` from their address, and every address that leads to them name it.

    So signing in, between a client's request and its answer, is in the language the client asked for.
    """

    def take_up() -> None:
        if COOKIE not in request.cookies:  # what the member chose on this site counts more
            prefer(request.args.get("ui_locales"))

    def name(_: str, values: dict[str, Any]) -> None:
        values.setdefault("ui_locales", g.get("ui_locale"))

    pages.before_request(take_up)
    pages.url_defaults(name)


@protected_by(Public("only sets which language the pages are in"))
def _switch(locale: str) -> Response:
    """Remember the language in a cookie and go back to a page of this very site."""
    response = redirect(local_path(request.args.get("back")) or "/", code=303)
    if locale in LOCALES:
        response.set_cookie(
            COOKIE, locale, max_age=365 * 86400, secure=request.is_secure, httponly=True, samesite="Lax"
        )
    return response


def init_app(app: Flask, *, directories: Sequence[Path], default: str, time_zone: str) -> None:
    """Set the languages up, with a `GET /language/<locale>` that remembers the choice.

    The sentences of the page frame come with it; `directories` hold those of the application.
    """
    Babel(
        app,
        default_locale=default,
        default_timezone=time_zone,
        locale_selector=lambda: _choose(default),
    )
    catalogue = Catalogue([_OWN_TRANSLATIONS, *directories])
    app.extensions["babel"].instance.domain_instance = catalogue  # a cached_property: set before its first use
    app.jinja_env.globals.update(t=translate, current_locale=current_locale)
    app.add_url_rule("/language/<locale>", "language", _switch)
