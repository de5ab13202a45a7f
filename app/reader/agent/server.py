"""The server, as the till sees it: a token by client credentials, taps, and three kinds of answer.

Accepted and refused are known; everything else (no reply, a broken reply, a server in trouble, a request that was
not understood) is unknown, and an unknown tap is asked again under the same tap_id, which can never move value twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from app.reader.agent.spool import Tap

TIMEOUTS_S = (2, 8)
"""To connect, and to wait for a reply: the server itself answers or gives up within 5 s."""

RENEW_BEFORE_S = 30

DECIDED = frozenset(
    {
        "assurance_too_low",
        "card_changed",
        "card_expired",
        "card_lost",
        "card_proof_expired",
        "card_proof_wrong",
        "card_unknown",
        "daily_limit_exceeded",
        "insufficient_balance",
        "invalid_amount",
        "items_do_not_add_up",
        "mandate_exceeded",
        "money_not_accepted",
        "monthly_limit_exceeded",
        "payment_limit_exceeded",
        "pin_locked",
        "pin_not_set",
        "pin_required",
        "pin_wrong",
        "shop_closed",
        "shop_unknown",
        "terminal_revoked",
        "wallet_closed",
        "wallet_suspended",
        "wallet_unknown",
    }
)
"""Codes by which the server says that it judged this very tap, and that nothing moved. Any other, such as `not_found`
or `invalid_fields`, says nothing about what became of the tap when it was sent before."""

_NOT_AUTHORISED = frozenset({"unauthorized", "invalid_token", "insufficient_scope", "invalid_client"})
_BROKEN = (KeyError, TypeError, ValueError, ArithmeticError, RecursionError)
"""What reading a reply raises that this server never wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Value moved, now or at an earlier asking."""

    amount_yen: int
    balance_yen: int
    receipt_no: str
    transaction_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing moved: an error code, with the server's sentences in the till's language.

    `balance_yen` is there where the balance was the reason.
    """

    code: str
    title: str
    cure: str
    balance_yen: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Perhaps value moved, perhaps not. `why` is for the log."""

    why: str


Answer = Accepted | Refused | Unknown


class ServerError(Exception):
    """No tap can be sent at all. `code` names a sentence of the agent's catalogue."""

    code = ""


class ServerAway(ServerError):
    code = "server_away"


class NotAuthorised(ServerError):
    """Wrong client id or secret, or a client that is no till."""

    code = "not_authorised"


class _Bearer(AuthBase):
    """An AuthBase, because requests lets a .netrc file overwrite a plain Authorization header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Server:
    """One server and this till's account on it. A context manager."""

    def __init__(self, *, url: str, client_id: str, client_secret: str, lang: str) -> None:
        self._url = url.rstrip("/")
        self._account = HTTPBasicAuth(client_id, client_secret)
        self._http = requests.Session()
        self._http.headers["Accept-Language"] = lang
        self._token = ""
        self._token_ends_at = 0.0

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def sign_in(self) -> None:
        """Have a token at hand, so that a touch need not wait for one. Raises ServerAway, NotAuthorised."""
        if time.monotonic() < self._token_ends_at:
            return
        try:
            reply = self._post(
                "/oauth/token", auth=self._account, data={"grant_type": "client_credentials", "scope": "till"}
            )
            if reply.status_code in (400, 401, 403):
                raise NotAuthorised(f"{self._url}: {reply.status_code}")
            reply.raise_for_status()
            body = reply.json()
            self._token = str(body["access_token"])
            self._token_ends_at = time.monotonic() + int(body["expires_in"]) - RENEW_BEFORE_S
        except (requests.RequestException, *_BROKEN) as error:
            raise ServerAway(self._url) from error

    def send(self, tap: Tap) -> Answer:
        """Ask for this tap, for the first time or again. Raises NotAuthorised."""
        try:
            reply = self._post_tap(tap)
            if reply.status_code == 401:
                self._token_ends_at = 0.0  # ended early: the clock, or the server's keys, changed
                reply = self._post_tap(tap)
        except (ServerAway, requests.RequestException) as error:
            return Unknown(why=f"{type(error).__name__}: {error}")
        return _answer(reply)

    def _post_tap(self, tap: Tap) -> requests.Response:
        self.sign_in()
        body = {
            "tap_id": tap.tap_id,
            "amount_yen": tap.amount_yen,
            "card": {"idm": tap.card.idm, "blocks": dict(tap.card.blocks)},
            "taken_at": tap.taken_at,
        }
        if tap.money is not None:
            body["money"] = tap.money
        return self._post("/v1/taps", auth=_Bearer(self._token), headers={"Idempotency-Key": tap.tap_id}, json=body)

    def _post(self, path: str, **request: Any) -> requests.Response:
        return self._http.post(self._url + path, timeout=TIMEOUTS_S, allow_redirects=False, **request)


def _answer(reply: requests.Response) -> Answer:
    """Only what the server itself said, whole, is known: a page of something in between is not."""
    try:
        body = reply.json()
        if reply.status_code == 201:
            return _accepted(body)
        code, title, cure = str(body["code"]), str(body["title"]), str(body["detail"])
        balance_yen = int(body["balance_yen"]) if "balance_yen" in body else None
    except _BROKEN as error:
        return Unknown(why=f"status {reply.status_code}, {error!r}")
    if code in _NOT_AUTHORISED:
        raise NotAuthorised(code)
    if 400 <= reply.status_code < 500 and code in DECIDED:
        return Refused(code=code, title=title, cure=cure, balance_yen=balance_yen)
    return Unknown(why=f"status {reply.status_code}, {code}")


def _accepted(body: Mapping[str, Any]) -> Accepted:
    return Accepted(
        amount_yen=int(body["amount_yen"]),
        balance_yen=int(body["balance_yen"]),
        receipt_no=str(body["receipt_no"]),
        transaction_id=str(body["id"]),
    )
