"""KOMOJU (https://ja.doc.komoju.com): cards by its hosted page with 3-D Secure, six convenience stores.

A card is a session (a page that becomes a payment), a slip is a payment; `ref` says which by its first letter. KOMOJU
tells no fingerprint of a card: brand, last four digits and expiry stand for it, so that two such cards count as one.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from app.charge.gateways.api import Answer, Api, instant, order_id, read, segment, text, text_or_none, yen
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
    KonbiniRequest,
    Received,
    SettledLine,
    Slip,
)
from app.settings import Settings

PAGE_LASTS_S = 3_600
MAX_EVENT_BYTES = 64 * 1024
_TOKYO = ZoneInfo("Asia/Tokyo")

STORES = {
    Chain.LAWSON: "lawson",
    Chain.FAMILYMART: "family-mart",
    Chain.MINISTOP: "ministop",
    Chain.SEICOMART: "seicomart",
    Chain.DAILY_YAMAZAKI: "daily-yamazaki",
    Chain.SEVEN_ELEVEN: "seven-eleven",
}
_CHAINS = {store: chain for chain, store in STORES.items()}

_STATES = {
    "pending": GatewayState.PENDING,
    "authorized": GatewayState.PENDING,  # of a slip: nobody has paid it yet
    "captured": GatewayState.PAID,
    "refunded": GatewayState.PAID,  # the money had arrived; giving it back is the office's own act
    "failed": GatewayState.FAILED,
    "cancelled": GatewayState.CANCELLED,
    "expired": GatewayState.EXPIRED,
}
_SESSION_STATES = {
    "pending": GatewayState.PENDING,
    "completed": GatewayState.PENDING,  # until its payment says more
    "cancelled": GatewayState.CANCELLED,
    "expired": GatewayState.EXPIRED,
}


class KomojuGateway:
    """One merchant at KOMOJU. Implements `app.charge.ports.Gateway`."""

    name = "komoju"
    chains = tuple(STORES)
    has_cards = True

    def __init__(self, *, key: str, url: str, webhook_secrets: tuple[str, ...], **options: Any) -> None:
        self._api = Api(url=url, key=key, **options)
        self._secrets = webhook_secrets

    def start_card(self, request: CardRequest) -> CardPage:
        """A session for cards only. Repeatable for 24 hours (X-KOMOJU-IDEMPOTENCY)."""
        body = {
            "mode": "payment",
            "amount": request.amount_yen,
            "currency": "JPY",
            "return_url": request.return_url,
            "payment_types": ["credit_card"],
            "default_locale": request.locale,
            "expires_in_seconds": PAGE_LASTS_S,
            "line_items": [{"description": request.description, "amount": request.amount_yen, "quantity": 1}],
            "payment_data": {"external_order_num": str(request.order_id), "capture": "auto"},
            **({"email": request.email} if request.email else {}),
        }
        answer = self._api.post("/sessions", headers=_once(request.order_id), json=body)
        return read(lambda: CardPage(ref=f"s_{text(answer['id'])}", url=text(answer["session_url"])))

    def start_konbini(self, request: KonbiniRequest) -> Slip:
        """A payment that waits for cash. Repeatable for 24 hours."""
        ordered, last = (instant.astimezone(_TOKYO).date() for instant in (request.ordered_at, request.pay_until))
        body = {
            "amount": request.amount_yen,
            "tax": 0,
            "currency": "JPY",
            "external_order_num": str(request.order_id),
            "description": request.description,
            "locale": request.locale,
            "payment_details": {
                "type": "konbini",
                "store": STORES[request.chain],
                "email": request.email,
                "phone": request.phone,
                "expiry_days": max(1, (last - ordered).days),
            },
        }
        answer = self._api.post("/payments", headers=_once(request.order_id), json=body)
        return read(lambda: _slip(answer))

    def cancel(self, ref: str) -> GatewayState:
        kind, name = _parts(ref)
        path = f"/{'sessions' if kind == 's' else 'payments'}/{segment(name)}/cancel"
        try:
            self._api.post(path, headers={}, json={})
        except GatewayRefused:  # it is paid or over already
            return self.lookup(ref).state
        return self.lookup(ref).state

    def lookup(self, ref: str) -> Found:
        kind, name = _parts(ref)
        if kind == "s":
            session = self._api.get(f"/sessions/{segment(name)}")
            return read(lambda: _of_session(ref, session))
        payment = self._api.get(f"/payments/{segment(name)}")
        return read(lambda: _of_payment(ref, payment))

    def parse_event(self, headers: Mapping[str, str], body: bytes) -> Event:
        """X-Komoju-Signature: HMAC-SHA256 of the body, in hexadecimal. Raises EventRefused.

        It signs no instant, so an old event may be sent again by whoever has it; all it can do is have us look.
        """
        if len(body) > MAX_EVENT_BYTES:
            raise EventRefused("too long")
        given = {name.lower(): value for name, value in headers.items()}
        signature = given.get("x-komoju-signature", "").encode()
        expected = (hmac.digest(secret.encode(), body, "sha256").hex().encode() for secret in self._secrets)
        if not any(hmac.compare_digest(signature, one) for one in expected):
            raise EventRefused("not signed by KOMOJU")
        try:
            said = json.loads(body)
            kind = text(said["type"])
            ref = _ref(said["data"]) if kind.startswith("payment.") else None
            return Event(id=text(said["id"]), kind=kind, ref=ref)
        except (KeyError, TypeError, ValueError) as error:
            raise EventRefused(type(error).__name__) from None

    def settlement(self, file: str) -> Iterator[SettledLine]:
        """KOMOJU documents no form of its settlement file, so none is guessed. Raises ValueError."""
        raise ValueError("KOMOJU's settlement files have no documented form; compare by its payments page instead")


def from_settings(settings: Settings) -> KomojuGateway:
    return KomojuGateway(
        key=settings.komoju_key, url=settings.komoju_url, webhook_secrets=settings.komoju_webhook_secrets
    )


def _once(order_id: UUID) -> dict[str, str]:
    return {"X-KOMOJU-IDEMPOTENCY": str(order_id)}


def _parts(ref: str) -> tuple[str, str]:
    kind, _, name = ref.partition("_")
    if kind not in ("s", "p") or not name:
        raise GatewayRefused("unknown_ref")
    return kind, name


def _ref(payment: Answer) -> str:
    """A payment that came out of a page is known by the page."""
    session = text_or_none(payment.get("session"))
    return f"s_{session}" if session else f"p_{text(payment['id'])}"


def _slip(payment: Answer) -> Slip:
    details = payment["payment_details"]
    return Slip(
        ref=f"p_{text(payment['id'])}",
        chain=_CHAINS[details["store"]],
        pay_until=instant(payment["payment_deadline"]),
        receipt_no=text_or_none(details.get("receipt")),
        confirmation_no=text_or_none(details.get("confirmation_code")),
        voucher_url=text_or_none(details.get("instructions_url")),
    )


def _of_session(ref: str, session: Answer) -> Found:
    """What its page has come to. An attempt that failed may be followed by another while the page is open."""
    tried = session.get("payment")
    payment = _of_payment(ref, tried) if isinstance(tried, dict) else None
    state = _SESSION_STATES[session["status"]]
    if payment is not None and (payment.state is GatewayState.PAID or session["status"] == "completed"):
        return payment
    return Found(ref=ref, order_id=payment.order_id if payment else None, state=state)


def _of_payment(ref: str, payment: Answer) -> Found:
    state = _STATES[payment["status"]]
    details = payment.get("payment_details") or {}
    return Found(
        ref=ref,
        order_id=order_id(payment.get("external_order_num")),
        state=state,
        received=(_received(payment),) if state is GatewayState.PAID else (),
        failure="payment_failed" if state is GatewayState.FAILED else None,
        card=_card(details) if details.get("type") == "credit_card" else None,
    )


def _received(payment: Answer) -> Received:
    """What the customer paid, without what KOMOJU takes of them on top."""
    paid = yen(payment["total"]) - int(payment.get("payment_method_fee") or 0)
    return Received(id=text(payment["id"]), amount_yen=yen(paid), received_at=instant(payment["captured_at"]))


def _card(details: Answer) -> CardSeen | None:
    brand, last4 = details.get("brand"), details.get("last_four_digits")
    if not (isinstance(brand, str) and isinstance(last4, str)):
        return None  # money that arrived does not wait for what its card looks like
    return CardSeen(
        fingerprint=f"{brand}:{last4}:{details.get('month')}/{details.get('year')}", brand=brand, last4=last4
    )
