"""What every page of the member page stands on: this process's settings, its OAuth client, and the visitor's API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Blueprint, current_app

from app.mypage import session
from app.mypage.api_client import MemberApi
from app.mypage.oauth_client import OAuthClient
from app.mypage.settings import MypageSettings
from app.web.locale import current_locale

pages = Blueprint("mypage", __name__, template_folder="templates")

SAFE = "%.200r"
"""What a visitor or a server sent, as it may stand in the log: on one line, and not for ever."""


@contextmanager
def member_api() -> Iterator[MemberApi]:
    """The API in the visitor's name and language. Renewed tokens go into the visitor's cookie."""
    with client().session(session.tokens() or {}, renewed=session.keep) as http:
        yield MemberApi(http, base_url=settings().issuer_url, locale=current_locale())


def settings() -> MypageSettings:
    found: MypageSettings = current_app.extensions["mypage.settings"]
    return found


def client() -> OAuthClient:
    found: OAuthClient = current_app.extensions["mypage.client"]
    return found
