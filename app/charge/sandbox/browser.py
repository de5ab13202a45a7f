"""What the pages share: language, sentences, the token in every form, headers, how amounts and times are written."""

from __future__ import annotations

import json
import re
import secrets
from datetime import datetime
from functools import cache
from importlib.resources import files

from flask import Blueprint, Flask, Response, g, redirect, render_template, request, session
from werkzeug.wrappers import Response as AnyResponse

from app.charge.sandbox import storage
from app.charge.sandbox.api import JAPAN
from app.charge.sandbox.gateway import sandbox

LANGS = ("ja", "en")
_COOKIE = "sunaba_lang"
_LOCAL_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none';"
    " frame-ancestors 'none'"
)

site = Blueprint("site", __name__)


class FormExpired(Exception):
    """A form that is not from one of our pages, or from one of long ago."""


@cache
def sentences(lang: str) -> dict[str, str]:
    text = files("app.charge.sandbox").joinpath(f"{lang}.json").read_text(encoding="utf-8")
    read: dict[str, str] = json.loads(text)
    return read


def lang() -> str:
    """What was chosen on this site, else what the merchant said (`speak`), else what the browser asks for."""
    chosen = request.cookies.get(_COOKIE)
    if chosen in LANGS:
        return chosen
    return str(g.get("lang") or request.accept_languages.best_match(LANGS) or "ja")


def speak(locale: str) -> None:
    """The language the merchant asked for."""
    g.lang = locale


def say(key: str, **values: object) -> str:
    """The sentence for `key` in the language of this request."""
    text = sentences(lang())[key]
    return text.format(**values) if values else text


def yen(amount_yen: int) -> str:
    """5,000円 or ¥5,000."""
    return f"{amount_yen:,}円" if lang() == "ja" else f"¥{amount_yen:,}"


def moment(seconds: float) -> str:
    """Time of day in Japan."""
    return f"{datetime.fromtimestamp(seconds, JAPAN):%Y-%m-%d %H:%M:%S}"


def brief(seconds: float) -> str:
    """The same without the year, for tables."""
    return moment(seconds)[5:]


def until(seconds: float) -> str:
    """A deadline: 2026年12月2日 23:59 or 2 Dec 2026, 23:59."""
    at = datetime.fromtimestamp(seconds, JAPAN)
    if lang() == "ja":
        return f"{at.year}年{at.month}月{at.day}日 {at:%H:%M}"
    return f"{at.day} {at:%b %Y, %H:%M} (Japan time)"


def form_token() -> str:
    """The token of this browser, for every form."""
    if "token" not in session:
        session["token"] = secrets.token_urlsafe(32)
    return str(session["token"])


def check_form() -> None:
    """Refuse forms that another site sends. Raises FormExpired."""
    if request.method != "POST":
        return
    given, known = request.form.get("token", ""), session.get("token", "")
    same = bool(known) and secrets.compare_digest(given.encode(errors="replace"), known.encode())
    if not same or request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise FormExpired


def leads_away() -> None:
    """This page's forms end at the merchant, and wherever the merchant sends the browser on from there.

    Chromium applies `form-action` to every redirect that answers a form, and nobody here knows the merchant's.
    """
    g.leads_away = True


def see(url: str) -> AnyResponse:
    """Go there with GET."""
    return redirect(url, code=303)


def trouble(key: str, status: int) -> Response:
    """A page that says what is wrong and what to do."""
    page = render_template("sandbox/trouble.html", title=say(f"trouble.{key}"), cure=say(f"trouble.{key}.cure"))
    return Response(page, status)


@site.get("/language/<code>")
def language(code: str) -> AnyResponse:
    """Remember the language and go back to a page of this site."""
    back = request.args.get("back", "/")
    response = see(back if _LOCAL_PATH.fullmatch(back) else "/")
    if code in LANGS:
        response.set_cookie(_COOKIE, code, max_age=365 * 86_400, httponly=True, samesite="Lax")
    return response


def _headers(response: Response) -> Response:
    policy = _POLICY if response.mimetype == "text/html" else "default-src 'none'; frame-ancestors 'none'"
    forms = "" if g.get("leads_away") else "; form-action 'self'"
    response.headers["Content-Security-Policy"] = policy + forms
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def init_app(app: Flask) -> None:
    # cookies do not tell ports apart: the names must differ from those of the server and of the member page
    with app.extensions["sunaba"].transaction() as db:
        app.secret_key = storage.secret(db)
    app.config.update(SESSION_COOKIE_NAME="sunaba_session", SESSION_COOKIE_SAMESITE="Lax")
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(say=say, lang=lang, form_token=form_token, merchant=lambda: _merchant())
    app.jinja_env.filters.update(yen=yen, moment=moment, brief=brief, until=until)
    app.register_error_handler(FormExpired, lambda _: trouble("form_expired", 400))
    app.after_request(_headers)


def _merchant() -> str:
    return sandbox().settings.merchant(lang())
