"""`prompt=login`, `max_age` and `id_token_hint`: whether the member must sign in again for this very request.

The wish is met by a sign-in after it was made. When it was made is noted, signed, in the address the member comes
back to, since the web process keeps nothing; the note is bound to the rest of the request.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from flask import request, url_for
from itsdangerous import BadSignature, URLSafeTimedSerializer

from app import clock
from app.oauth.authorization_request import Ask

NOTE = "sign_in_asked"
_NOTE_LIFE_S = 3600
_ASKED_BY_PROMPT = frozenset({"login", "select_account"})


def needed(ask: Ask, *, auth_time: datetime, key: bytes) -> bool:
    """Whether a sign-in of `auth_time` is too old for what the client asks (OpenID Connect Core 3.1.2.1)."""
    if done(auth_time=auth_time, key=key):
        return False
    if ask.prompt & _ASKED_BY_PROMPT:
        return True
    return ask.max_age_s is not None and clock.now() - auth_time > timedelta(seconds=ask.max_age_s)


def done(*, auth_time: datetime, key: bytes) -> bool:
    """Whether the sign-in of `auth_time` is the one that this very request caused."""
    asked_at = _asked_at(key)
    return asked_at is not None and auth_time >= asked_at


def address(ask: Ask, *, key: bytes) -> str:
    """The sign-in page, which leads back to this request: with the note that it was asked for now, where that counts.

    A member who was signed out needs the note too: the sign-in they come back from is the one the client asks for.
    """
    query = _query_without_note()
    if ask.prompt & _ASKED_BY_PROMPT or ask.max_age_s is not None or ask.member_id is not None:
        note = _serializer(key).dumps([_request_hash(), clock.now().timestamp()])
        query += f"&{urlencode({NOTE: note})}"
    return url_for("member.login", next=f"{request.path}?{query}", login_hint=ask.login_hint)


def _asked_at(key: bytes) -> datetime | None:
    try:
        request_hash, asked_at = _serializer(key).loads(request.args.get(NOTE, ""), max_age=_NOTE_LIFE_S)
    except BadSignature:
        return None
    return datetime.fromtimestamp(asked_at, UTC) if request_hash == _request_hash() else None


def _request_hash() -> str:
    return hashlib.sha256(_query_without_note().encode()).hexdigest()


def _query_without_note() -> str:
    parts = request.query_string.decode().split("&")
    return "&".join(part for part in parts if not part.startswith(f"{NOTE}="))


def _serializer(key: bytes) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(key, salt="oauth.sign_in_asked")
