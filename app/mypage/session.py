"""What the member page remembers of a visitor: all of it in one sealed cookie, nothing in the process.

The tokens are in it, so it is encrypted and authenticated (Fernet), not only signed as Flask's own session is.
A cookie that was tampered with, sealed with another key or is too old opens as an empty session.
"""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from flask import Flask, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature
from werkzeug.exceptions import HTTPException

from app.mypage.settings import MypageSettings

COOKIE = "mypage_session"
LIFE = timedelta(hours=12)
"""A cookie opens this long after it was last written. A renewal of the tokens writes it again."""

_CODES = 3


class Seal:
    """Encrypts and opens what a cookie holds. Stands where Flask expects a signing serializer."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def dumps(self, value: dict[str, Any]) -> str:
        return self._fernet.encrypt(json.dumps(value).encode()).decode()

    def loads(self, sealed: str, max_age: int) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads(self._fernet.decrypt(sealed, ttl=max_age))
        except InvalidToken:
            raise BadSignature("not sealed by this member page, or too long ago") from None
        return value


class SealedSession(SecureCookieSessionInterface):
    """Flask's cookie session, encrypted."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def get_signing_serializer(self, app: Flask) -> Seal:  # type: ignore[override]  # the two methods used of it
        return self._seal


Tokens = dict[str, Any]
"""A token response (RFC 6749 section 5.1) with `expires_at`, seconds since 1970."""

Attempt = dict[str, str]
"""A sign-in under way: what must come back with the browser, or is needed then."""


def tokens() -> Tokens | None:
    """The visitor's tokens, or None for a visitor who is not signed in."""
    return session.get("tokens")


def sign_in(new: Tokens) -> None:
    """Begin a fresh session. Nothing of the one before stays, so nothing planted in it does."""
    session.clear()
    session["id_token"], session["sub"] = new["id_token"], new["sub"]
    keep(new)


def keep(new: Tokens) -> None:
    """Remember renewed tokens. The ID token stays the one of the sign-in."""
    session["tokens"] = {name: value for name, value in new.items() if name not in ("id_token", "sub")}


def id_token() -> str | None:
    """What the visitor signed in with, to be shown to the server when they sign out. None in an older cookie."""
    return session.get("id_token")


def sub() -> str | None:
    """Who is signed in, as the server calls them."""
    return session.get("sub")


def forget() -> None:
    """Sign this browser out of the member page."""
    session.clear()


def begin(attempt: Attempt) -> None:
    """Remember a sign-in under way. A second one, in another tab, takes its place."""
    session["attempt"] = attempt


def take_attempt() -> Attempt | None:
    """The sign-in under way, once: an answer that comes a second time finds nothing."""
    attempt: Attempt | None = session.pop("attempt", None)
    return attempt


def keep_confirmed(payment: dict[str, str]) -> None:
    """Remember a payment that the member has confirmed, and whose sign-in the server asked for again."""
    session["confirmed"] = payment


def take_confirmed() -> dict[str, str] | None:
    """That payment, once."""
    payment: dict[str, str] | None = session.pop("confirmed", None)
    return payment


def shown_codes() -> list[str]:
    """The ids of the one-time codes shown last, the newest first."""
    return list(session.get("codes", []))


def keep_shown_codes(ids: list[str]) -> None:
    """Remember them. A till may still read the one before the newest."""
    session["codes"] = ids[:_CODES]


def keep_new_link(url: str) -> None:
    """Remember a charge link that was just made, for the page that shows it."""
    session["new_link"] = url


def take_new_link() -> str | None:
    """That link, once: it is kept nowhere else."""
    url: str | None = session.pop("new_link", None)
    return url


class MypageSession:
    """Only a signed-in visitor may call. Others are led to the first page, or (`come_back`) sign in and return."""

    def __init__(self, *, come_back: bool = False) -> None:
        self._come_back = come_back

    def check(self) -> None:
        if tokens() is None:
            onward = url_for("mypage.login", next=request.full_path.rstrip("?")) if self._come_back else "/"
            raise HTTPException(response=redirect(onward, code=303))

    def describe(self) -> str:
        return "signed in to the member page"


def init_app(app: Flask, settings: MypageSettings) -> None:
    app.config.update(
        SECRET_KEY=settings.derived_key("csrf"),
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.https,
        PERMANENT_SESSION_LIFETIME=LIFE,
    )
    app.session_interface = SealedSession(Seal(settings.derived_key("session")))
