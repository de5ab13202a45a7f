"""The sandbox gateway, as the server calls it: its API over HTTP (docs/sandbox.md). No code is shared with it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, NoReturn
from uuid import UUID

import requests
from requests.auth import HTTPBasicAuth
from standardwebhooks import Webhook, WebhookVerificationError

from app.charge.ports import (
    CardPage,
    CardRequest,
    CardSeen,
    Chain,
    Event,
    EventRefused,
    Found,
    GatewayRefused,
    GatewayState,
    GatewayUnavailable,
    KonbiniRequest,
    Received,
    SettledLine,
    Slip,
)
from app.settings import Settings

TIMEOUTS_S = (3, 10)
"""To connect, and to wait for an answer."""
MAX_EVENT_BYTES = 64 * 1024
_HEADING = ["settled_on", "received_id", "payment_id", "order_id", "method", "amount_yen", "fee_yen"]
_BROKEN = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What reading an answer raises that the gateway never wrote."""
_ASK_AGAIN = frozenset({401, 403, 408, 425, 429})
"""Not a word on the payment itself: our key is wrong, or it is too busy."""

_Answer = dict[str, Any]


class SandboxGateway:
    """One account at the sandbox. Implements `app.charge.ports.Gateway`."""

    name = "sandbox"
    chains = tuple(Chain)
    has_cards = True

    def __init__(
        self, *, url: str, key: str, webhook_secret: str, timeouts_s: tuple[float, float] = TIMEOUTS_S
    ) -> None:
        self._url = url.rstrip("/")
        self._account = HTTPBasicAuth(key, "")
        self._webhook = Webhook(webhook_secret)
        self._timeouts_s = timeouts_s

    def start_card(self, request: CardRequest) -> CardPage:
        """The gateway's page. Repeatable."""
        body = {
            "method": "card",
            "order_id": str(request.order_id),
            "amount_yen": request.amount_yen,
            "description": request.description,
            "locale": request.locale,
            "return_url": request.return_url,
            **({"email": request.email} if request.email else {}),
        }
        answer = self._create(request.order_id, body)
        with_page = _read(lambda: CardPage(ref=_text(answer["id"]), url=_text(answer["url"])))
        assert isinstance(with_page, CardPage)
        return with_page

    def start_konbini(self, request: KonbiniRequest) -> Slip:
        """The numbers for the store. Repeatable."""
        body = {
            "method": "konbini",
            "order_id": str(request.order_id),
            "amount_yen": request.amount_yen,
            "description": request.description,
            "locale": request.locale,
            "chain": request.chain.value,
            "name": request.name,
            "name_kana": request.name_kana,
            "email": request.email,
            "phone": request.phone,
            "pay_until": request.pay_until.isoformat(),
        }
        answer = self._create(request.order_id, body)
        slip = _read(lambda: _slip(answer))
        assert isinstance(slip, Slip)
        return slip

    def cancel(self, ref: str) -> GatewayState:
        """What it is now: cancelled, or what it was already. Repeatable."""
        answer = self._ask("POST", f"/v1/payments/{_segment(ref)}/cancel", json={})
        state = _read(lambda: GatewayState(answer["state"]))
        assert isinstance(state, GatewayState)
        return state

    def lookup(self, ref: str) -> Found:
        return _found(self._ask("GET", f"/v1/payments/{_segment(ref)}"))

    def find(self, order_id: UUID) -> Found | None:
        answer = self._ask("GET", "/v1/payments", params={"order_id": str(order_id)})
        listed = _read(lambda: list(answer["payments"]))
        return _found(listed[0]) if listed else None

    def parse_event(self, headers: Mapping[str, str], body: bytes) -> Event:
        """Check the signature (Standard Webhooks) and read it. Raises EventRefused."""
        if len(body) > MAX_EVENT_BYTES:
            raise EventRefused("too long")
        given = {name.lower(): value for name, value in headers.items()}
        try:
            said = self._webhook.verify(body, given)
            event = Event(id=_text(said["id"]), kind=_text(said["type"]), ref=_text(said["data"]["payment_id"]))
        except (WebhookVerificationError, *_BROKEN) as error:
            raise EventRefused(type(error).__name__) from None
        if event.id != given["webhook-id"]:
            raise EventRefused("its id is not the one that was signed for")
        return event

    def settlement(self, text: str) -> Iterator[SettledLine]:
        """The lines of a day's file. Raises ValueError that names the line."""
        rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        try:
            if next(rows, None) != _HEADING:
                raise ValueError(f"line 1: the heading must be {','.join(_HEADING)}")
            for row in rows:
                if row:
                    yield _settled(rows.line_num, row)
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num}: {error}") from None

    def _create(self, order_id: UUID, body: _Answer) -> _Answer:
        return self._ask("POST", "/v1/payments", json=body, headers={"Idempotency-Key": str(order_id)})

    def _ask(self, method: str, path: str, **options: Any) -> _Answer:
        """One request. What it says and is answered is never logged: there are names in it."""
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
        except (requests.RequestException, *_BROKEN) as error:
            raise GatewayUnavailable(type(error).__name__) from None
        if reply.status_code in (200, 201) and isinstance(answer, dict):
            return answer
        if 400 <= reply.status_code < 500 and reply.status_code not in _ASK_AGAIN:
            _refused(answer)
        raise GatewayUnavailable(f"status {reply.status_code}")


def from_settings(settings: Settings) -> SandboxGateway:
    """The sandbox that the settings name."""
    return SandboxGateway(
        url=settings.sandbox_url, key=settings.sandbox_key, webhook_secret=settings.sandbox_webhook_secret
    )


def _refused(answer: Any) -> NoReturn:
    code = _read(lambda: _text(answer["error"]["code"]))
    raise GatewayRefused(str(code))


def _read(read: Any) -> Any:
    """What `read` makes of an answer. Raises GatewayUnavailable where the gateway cannot have written it."""
    try:
        return read()
    except _BROKEN as error:
        raise GatewayUnavailable(f"unreadable: {type(error).__name__}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 2_000:
        raise ValueError("not a text")
    return value


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value)


def _segment(ref: str) -> str:
    """One segment of a path, whatever `ref` is."""
    return requests.utils.quote(ref, safe="")  # type: ignore[attr-defined, no-any-return]


def _yen(value: Any) -> int:
    if type(value) is not int or value <= 0:
        raise ValueError("not an amount")
    return value


def _instant(value: Any) -> datetime:
    instant = datetime.fromisoformat(_text(value))
    if instant.tzinfo is None:
        raise ValueError("an instant without offset")
    return instant


def _slip(answer: _Answer) -> Slip:
    slip = answer["slip"]
    return Slip(
        ref=_text(answer["id"]),
        chain=Chain(slip["chain"]),
        pay_until=_instant(slip["pay_until"]),
        receipt_no=_optional(slip["receipt_no"]),
        confirmation_no=_optional(slip["confirmation_no"]),
        company_code=_optional(slip["company_code"]),
        barcode=_optional(slip["barcode"]),
        voucher_url=_optional(slip["voucher_url"]),
    )


def _found(answer: Any) -> Found:
    found = _read(lambda: _payment(answer))
    assert isinstance(found, Found)
    return found


def _payment(answer: _Answer) -> Found:
    card = answer["card"]
    return Found(
        ref=_text(answer["id"]),
        order_id=UUID(answer["order_id"]),
        state=GatewayState(answer["state"]),
        received=tuple(
            Received(
                id=_text(each["id"]),
                amount_yen=_yen(each["amount_yen"]),
                received_at=_instant(each["received_at"]),
            )
            for each in answer["received"]
        ),
        failure=_optional(answer["failure"]),
        card=CardSeen(fingerprint=_text(card["fingerprint"]), brand=_text(card["brand"]), last4=_text(card["last4"]))
        if card
        else None,
    )


def _digits(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError("not an amount in whole yen")
    return int(text)


def _settled(number: int, row: list[str]) -> SettledLine:
    try:
        settled_on, received_id, ref, order_id, _, amount_yen, fee_yen = row
        return SettledLine(
            number=number,
            received_id=_text(received_id),
            ref=_text(ref),
            order_id=UUID(order_id),
            amount_yen=_digits(amount_yen),
            fee_yen=_digits(fee_yen),
            settled_on=date.fromisoformat(settled_on),
        )
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
