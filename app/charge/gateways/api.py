"""Calls to a vendor's API over HTTP, as every adapter makes them. What is said and answered is never logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import requests
from requests.auth import HTTPBasicAuth

from app.charge.ports import GatewayRefused, GatewayUnavailable

TIMEOUTS_S = (5, 20)
"""To connect, and to wait for an answer."""

_ASK_AGAIN = frozenset({401, 403, 408, 409, 425, 429})
"""Not a word on the payment itself: our key is wrong, it is too busy, or the same request is still under way."""
BROKEN = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError, RecursionError)
"""What reading an answer raises that the vendor never wrote."""

Answer = dict[str, Any]
Read = TypeVar("Read")


class Api:
    """One account at a vendor: HTTP Basic with the secret key as name, and no password."""

    def __init__(self, *, url: str, key: str, timeouts_s: tuple[float, float] = TIMEOUTS_S) -> None:
        self._url = url.rstrip("/")
        self._account = HTTPBasicAuth(key, "")
        self._timeouts_s = timeouts_s

    def get(self, path: str, **query: Any) -> Answer:
        return self._ask("GET", path, params=query)

    def post(self, path: str, *, headers: Mapping[str, str], json: Any = None, form: Any = None) -> Answer:
        return self._ask("POST", path, headers=headers, json=json, data=form)

    def _ask(self, method: str, path: str, **options: Any) -> Answer:
        """Raises GatewayUnavailable where nobody knows what was done, GatewayRefused with the vendor's own code."""
        try:
            with requests.Session() as http:
                http.trust_env = False  # neither a proxy nor a .netrc may stand between
                reply = http.request(
                    method,
                    self._url + path,
                    auth=self._account,
                    timeout=self._timeouts_s,
                    allow_redirects=False,
                    **options,
                )
                answer = reply.json()
        except (requests.RequestException, ValueError, RecursionError) as error:
            raise GatewayUnavailable(type(error).__name__) from None
        if 200 <= reply.status_code < 300 and isinstance(answer, dict):
            return answer
        code = _code(answer)
        if code and 400 <= reply.status_code < 500 and reply.status_code not in _ASK_AGAIN:
            raise GatewayRefused(code)
        raise GatewayUnavailable(f"status {reply.status_code}")


def _code(answer: Any) -> str | None:
    """The vendor's word for a refusal; without one, something between us and the vendor has answered."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return None
    words = (error.get(name) for name in ("decline_code", "code", "type"))
    return next((word[:100] for word in words if word and isinstance(word, str)), None)


def read(reading: Callable[[], Read]) -> Read:
    """What `reading` makes of an answer. Raises GatewayUnavailable where the vendor cannot have written it."""
    try:
        return reading()
    except BROKEN as error:
        raise GatewayUnavailable(f"unreadable: {type(error).__name__}") from None


def text(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 5_000:
        raise ValueError("not a text")
    return value


def text_or_none(value: Any) -> str | None:
    return None if value in (None, "") else text(value)


def yen(value: Any) -> int:
    """JPY has no smaller unit: amounts are whole yen at every vendor."""
    if type(value) is not int or value <= 0:
        raise ValueError("not an amount")
    return value


def instant(value: Any) -> datetime:
    """ISO 8601 with an offset."""
    given = datetime.fromisoformat(text(value))
    if given.tzinfo is None:
        raise ValueError("an instant without offset")
    return given


def order_id(value: Any) -> UUID | None:
    """Our number of an order; None where it is none of ours: the account may take payments for others too."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def segment(name: str) -> str:
    """One segment of a path, whatever `name` is."""
    return quote(name, safe="")
