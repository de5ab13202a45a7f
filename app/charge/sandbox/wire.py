"""What comes in and goes out as JSON. Every refusal has a code, and names the field where there is one."""

from __future__ import annotations

import json
import re
import sqlite3
import time
import unicodedata
from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from app.charge.sandbox import events, payments
from app.charge.sandbox.cards import luhn
from app.charge.sandbox.chains import CHAINS
from app.charge.sandbox.events import StoredEvent
from app.charge.sandbox.faults import Fault
from app.charge.sandbox.payments import Asked, Payment

MAX_CARD_YEN = 1_000_000
MAX_KONBINI_YEN = 299_999
MAX_DAYS = 60
_CARD_WORDS = frozenset(
    {"card", "card_number", "number", "pan", "exp", "expiry", "exp_month", "exp_year", "cvc", "cvv"}
)
_CARD_NUMBER = re.compile(
    r"(?<!\d)\d{13,19}(?!\d)|(?<![\w-])\d{4}[ -](?:\d{4}[ -]\d{4}[ -]\d{4}|\d{6}[ -]\d{4,5})(?![\w-])", re.ASCII
)
"""In one piece, or grouped as on a card. Not what may stand in a UUID."""
_KANA = re.compile("[ァ-ヺー・ヽヾ\u3000 ]+")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}", re.ASCII)
_PHONE = re.compile("0[0-9]{9,10}", re.ASCII)


class ApiError(Exception):
    """An answer that is no yes."""

    def __init__(self, status: int, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"code": code, "message": message, **({"field": field} if field else {})}}


def invalid(field: str, message: str) -> ApiError:
    return ApiError(400, "invalid_field", f"{field}: {message}", field=field)


class Fields:
    """The members of a JSON object, each taken once and checked; `done` refuses what nobody took."""

    def __init__(self, body: bytes) -> None:
        try:
            said = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            raise ApiError(400, "invalid_json", "the body is not JSON") from None
        if not isinstance(said, dict):
            raise ApiError(400, "invalid_json", "the body is not a JSON object")
        self._said: dict[str, Any] = said
        self._taken: set[str] = set()

    def _take(self, name: str) -> Any:
        self._taken.add(name)
        return self._said.get(name)

    def text(self, name: str, *, most: int, pattern: re.Pattern[str] | None = None) -> str:
        value = self.optional_text(name, most=most, pattern=pattern)
        if value is None:
            raise invalid(name, "is missing")
        return value

    def optional_text(self, name: str, *, most: int, pattern: re.Pattern[str] | None = None) -> str | None:
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or len(value) > most:
            raise invalid(name, f"must be a text of 1 to {most} characters")
        if any(unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co") for character in value):
            raise invalid(name, "has control characters, or half a character")
        if pattern is not None and not pattern.fullmatch(value):
            raise invalid(name, "is not in the form that is asked for")
        if any(luhn(re.sub("[ -]", "", found)) for found in _CARD_NUMBER.findall(value)):
            raise ApiError(400, "card_data_refused", f"{name}: looks like a card number", field=name)
        return value

    def whole(self, name: str, *, least: int, most: int) -> int:
        value = self.optional_whole(name, least=least, most=most)
        if value is None:
            raise invalid(name, "is missing")
        return value

    def optional_whole(self, name: str, *, least: int, most: int) -> int | None:
        value = self._take(name)
        if value is None:
            return None
        if type(value) is not int or not least <= value <= most:
            raise invalid(name, f"must be a whole number from {least} to {most}")
        return value

    def optional_seconds(self, name: str) -> float | None:
        value = self._take(name)
        if value is None:
            return None
        if type(value) not in (int, float) or not 0 <= value <= 86_400:
            raise invalid(name, "must be a number of seconds from 0 to 86400")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._take(name)
        if value not in (None, True, False) or type(value) is int:
            raise invalid(name, "must be true or false")
        return bool(value)

    def one_of(self, name: str, choices: Collection[str], *, default: str | None = None) -> str:
        value = self._take(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or value not in choices:
            raise invalid(name, f"must be one of {', '.join(choices)}")
        return value

    def done(self) -> None:
        """Raises ApiError where there was more; what belongs to a card gets a refusal of its own."""
        for name in sorted(self._said.keys() - self._taken, key=repr):
            if name in _CARD_WORDS:
                raise ApiError(
                    400, "card_data_refused", "card data is entered on our page, never sent by API", field=name
                )
            raise ApiError(400, "unknown_field", f"{name[:64]!r} is unknown", field=name[:64])


def peek(body: bytes, name: str) -> str | None:
    """A text of the object in `body`, if that is there."""
    try:
        value = json.loads(body).get(name)
    except (ValueError, AttributeError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def read_order(body: bytes) -> Asked:
    """What a merchant asks for. Raises ApiError."""
    fields = Fields(body)
    method = fields.one_of("method", ("card", "konbini"))
    common: dict[str, Any] = {
        "method": method,
        "order_id": fields.text("order_id", most=64, pattern=re.compile("[A-Za-z0-9_-]+", re.ASCII)),
        "amount_yen": fields.whole("amount_yen", least=1, most=MAX_CARD_YEN if method == "card" else MAX_KONBINI_YEN),
        "description": fields.text("description", most=200),
        "locale": fields.one_of("locale", ("ja", "en"), default="ja"),
    }
    own = _card_order(fields) if method == "card" else _konbini_order(fields)
    fields.done()
    return Asked(**common, **own)


def _card_order(fields: Fields) -> dict[str, Any]:
    email = fields.optional_text("email", most=254, pattern=_EMAIL)
    return_url = fields.text("return_url", most=2_000)
    _check_url("return_url", return_url)
    return {"email": email, "return_url": return_url}


def _konbini_order(fields: Fields) -> dict[str, Any]:
    return {
        "chain": fields.one_of("chain", tuple(CHAINS)),
        "name": fields.text("name", most=60),
        "name_kana": fields.text("name_kana", most=60, pattern=_KANA),
        "email": fields.text("email", most=254, pattern=_EMAIL),
        "phone": fields.text("phone", most=11, pattern=_PHONE),
        "ends_at": _instant(fields, "pay_until"),
    }


def _instant(fields: Fields, name: str) -> float:
    text = fields.text(name, most=40)
    try:
        instant = datetime.fromisoformat(text)
        seconds = instant.timestamp() if instant.tzinfo else None
    except (ValueError, OverflowError):
        seconds = None
    if seconds is None:
        raise invalid(name, "must be an instant with its offset (RFC 3339)")
    if not 0 < seconds - time.time() <= MAX_DAYS * 86_400:
        raise invalid(name, f"must lie within the next {MAX_DAYS} days")
    return seconds


def _check_url(field: str, value: str) -> None:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        good = (
            good and (parts.port is None or parts.port > 0) and value.isascii() and not re.search(r"[\s\\;,'\"]", value)
        )
    except ValueError:
        good = False
    if not good:
        raise invalid(field, "must be an absolute http or https address")


def read_webhook_url(body: bytes) -> str:
    """Where webhooks go; empty: nowhere yet."""
    fields = Fields(body)
    url = fields.optional_text("url", most=2_000)
    fields.done()
    return checked_webhook_url(url or "")


def checked_webhook_url(url: str) -> str:
    """The address, or an empty string. Raises ApiError."""
    if url:
        _check_url("url", url[:2_001])
    return url


def instant(seconds: float) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def dump_payment(db: sqlite3.Connection, payment: Payment, *, url: str) -> dict[str, Any]:
    """A payment as the merchant sees it."""
    own = {"url": f"{url}/pay/{payment.id}"} if payment.method == "card" else {"slip": _slip(payment, url=url)}
    card = {
        "fingerprint": payment.card_fingerprint,
        "brand": payment.card_brand,
        "last4": payment.card_last4,
    }
    return {
        "id": payment.id,
        "order_id": payment.order_id,
        "method": payment.method,
        "state": payment.state,
        "amount_yen": payment.amount_yen,
        "failure": payment.failure,
        "created_at": instant(payment.created_at),
        "ends_at": instant(payment.ends_at),
        "received": [
            {"id": each.id, "amount_yen": each.amount_yen, "received_at": instant(each.received_at)}
            for each in payments.arrivals(db, payment.id)
        ],
        "card": card if payment.card_fingerprint else None,
        **own,
    }


def _slip(payment: Payment, *, url: str) -> dict[str, Any]:
    assert payment.chain is not None
    chain = CHAINS[payment.chain]
    return {
        "chain": payment.chain,
        "receipt_no": payment.receipt_no,
        "confirmation_no": payment.phone if chain.by_phone else None,
        "company_code": payment.company_code,
        "barcode": payment.receipt_no if chain.barcode else None,
        "voucher_url": f"{url}/voucher/{payment.id}",
        "pay_until": instant(payment.ends_at),
    }


def dump_fault(fault: Fault) -> dict[str, Any]:
    """A fault that is still to happen, without what it does not have."""
    return {name: value for name, value in asdict(fault).items() if value is not None}


def dump_event(db: sqlite3.Connection, event: StoredEvent) -> dict[str, Any]:
    """An event with the log of its delivery, for the console and scripts."""
    return {
        "id": event.id,
        "payment_id": event.payment_id,
        "kind": event.kind,
        "state": event.state,
        "created_at": instant(event.created_at),
        "due_at": instant(event.due_at),
        "attempts": [
            {
                "url": each.url,
                "started_at": instant(each.started_at),
                "duration_ms": each.duration_ms,
                "status": each.status,
                "error": each.error,
            }
            for each in events.attempts(db, event.id)
        ],
    }
