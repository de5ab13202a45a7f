"""Stripe (https://docs.stripe.com): cards by Checkout with 3-D Secure, `konbini` for the four chains it has.

A card is a Checkout Session (`cs_…`), a slip a PaymentIntent (`pi_…`). Over plain HTTP with a pinned version of the
API: of its library we would use five calls.
"""

from __future__ import annotations

import csv
import hmac
import io
import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from app.charge.gateways.api import Answer, Api, order_id, read, segment, text, text_or_none, yen
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

VERSION = "2025-03-31.basil"
"""Stripe-Version: how objects look, whatever the account's own version is."""

TOLERANCE_S = 300
"""How old an event's signature may be."""
MAX_EVENT_BYTES = 256 * 1024

STORES = {
    Chain.LAWSON: "lawson",
    Chain.FAMILYMART: "familymart",
    Chain.MINISTOP: "ministop",
    Chain.SEICOMART: "seicomart",
}
_VERSION = {"Stripe-Version": VERSION}
_COLUMNS = ("created", "gross", "fee", "reporting_category", "charge_id", "payment_intent_id")


class StripeGateway:
    """One account at Stripe. Implements `app.charge.ports.Gateway`."""

    name = "stripe"
    chains = tuple(STORES)
    has_cards = True

    def __init__(self, *, key: str, url: str, webhook_secrets: tuple[str, ...], **options: Any) -> None:
        self._api = Api(url=url, key=key, **options)
        self._secrets = webhook_secrets

    def start_card(self, request: CardRequest) -> CardPage:
        """A Checkout Session. Repeatable for 24 hours (Idempotency-Key). 3-D Secure is asked for wherever the card has
        it (`request_three_d_secure: any`)."""
        ours = str(request.order_id)
        form = {
            "mode": "payment",
            "payment_method_types[0]": "card",
            "payment_method_options[card][request_three_d_secure]": "any",
            "line_items[0][quantity]": "1",
            "line_items[0][price_data][currency]": "jpy",
            "line_items[0][price_data][unit_amount]": str(request.amount_yen),
            "line_items[0][price_data][product_data][name]": request.description,
            "client_reference_id": ours,
            "metadata[order_id]": ours,
            "payment_intent_data[metadata][order_id]": ours,
            "success_url": request.return_url,
            "cancel_url": request.return_url,
            "expires_at": str(int(request.pay_until.timestamp())),
            "locale": request.locale,
            **({"customer_email": request.email} if request.email else {}),
        }
        answer = self._api.post("/v1/checkout/sessions", headers=_once(request.order_id), form=form)
        return read(lambda: CardPage(ref=text(answer["id"]), url=text(answer["url"])))

    def start_konbini(self, request: KonbiniRequest) -> Slip:
        """A PaymentIntent, confirmed at once. Repeatable for 24 hours. The phone number is the confirmation number."""
        ours = str(request.order_id)
        form = {
            "amount": str(request.amount_yen),
            "currency": "jpy",
            "confirm": "true",
            "description": request.description,
            "payment_method_types[0]": "konbini",
            "payment_method_data[type]": "konbini",
            "payment_method_data[billing_details][name]": request.name,
            "payment_method_data[billing_details][email]": request.email,
            "payment_method_options[konbini][confirmation_number]": request.phone,
            "payment_method_options[konbini][expires_at]": str(int(request.pay_until.timestamp())),
            "metadata[order_id]": ours,
        }
        answer = self._api.post("/v1/payment_intents", headers=_once(request.order_id), form=form)
        return read(lambda: _slip(answer, request.chain))

    def cancel(self, ref: str) -> GatewayState:
        page, intent = f"/v1/checkout/sessions/{segment(ref)}/expire", f"/v1/payment_intents/{segment(ref)}/cancel"
        path = page if ref.startswith("cs_") else intent
        try:
            self._api.post(path, headers=_VERSION, form={})
        except GatewayRefused:  # it is paid or over already
            return self.lookup(ref).state
        return self.lookup(ref).state

    def lookup(self, ref: str) -> Found:
        if ref.startswith("cs_"):
            query = {"expand[]": "payment_intent.latest_charge"}
            session = self._api.get(f"/v1/checkout/sessions/{segment(ref)}", **query)
            return read(lambda: _of_session(session))
        intent = self._api.get(f"/v1/payment_intents/{segment(ref)}", **{"expand[]": "latest_charge"})
        return read(lambda: _of_intent(ref, intent))

    def parse_event(self, headers: Mapping[str, str], body: bytes) -> Event:
        """Stripe-Signature: `t=…,v1=…`, HMAC-SHA256 of `t.body`; several v1 while a secret is turned over.

        Raises EventRefused.
        """
        if len(body) > MAX_EVENT_BYTES:
            raise EventRefused("too long")
        given = {name.lower(): value for name, value in headers.items()}
        parts = [part.partition("=")[::2] for part in given.get("stripe-signature", "").split(",")]
        instant = next((value for name, value in parts if name == "t"), "")
        if not instant.isdigit() or len(instant) > 12 or abs(time.time() - int(instant)) > TOLERANCE_S:
            raise EventRefused("too old, or without an instant")
        signed = f"{instant}.".encode() + body
        expected = [hmac.digest(secret.encode(), signed, "sha256").hex().encode() for secret in self._secrets]
        shown = [value.encode() for name, value in parts if name == "v1"]
        if not any(hmac.compare_digest(one, other) for one in shown for other in expected):
            raise EventRefused("not signed by Stripe")
        try:
            said = json.loads(body)
            return Event(id=text(said["id"]), kind=text(said["type"]), ref=_subject(said["data"]["object"]))
        except (KeyError, TypeError, ValueError) as error:
            raise EventRefused(type(error).__name__) from None

    def settlement(self, file: str) -> Iterator[SettledLine]:
        """The itemized report 「Balance change from activity」, exported with its metadata columns.

        Raises ValueError that names the line. (https://docs.stripe.com/reports/balance)
        """
        rows = csv.DictReader(io.StringIO(file.removeprefix("\ufeff"), newline=""), strict=True)
        if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
            raise ValueError(f"line 1: no column {', '.join(missing)}")
        try:
            for row in rows:
                if row["reporting_category"] == "charge":
                    yield _settled(rows.line_num, row)
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num}: {error}") from None


def from_settings(settings: Settings) -> StripeGateway:
    return StripeGateway(
        key=settings.stripe_key, url=settings.stripe_url, webhook_secrets=settings.stripe_webhook_secrets
    )


def _once(order_id: UUID) -> dict[str, str]:
    return {**_VERSION, "Idempotency-Key": str(order_id)}


def _subject(subject: Answer) -> str | None:
    """What to look up: a page, an intent, or the intent of a charge or refund; None: this is about something else."""
    if subject["object"] in ("checkout.session", "payment_intent"):
        return text(subject["id"])
    return text_or_none(subject.get("payment_intent"))


def _slip(intent: Answer, chain: Chain) -> Slip:
    details = intent["next_action"]["konbini_display_details"]
    store = details["stores"][STORES[chain]]
    return Slip(
        ref=text(intent["id"]),
        chain=chain,
        pay_until=datetime.fromtimestamp(details["expires_at"], UTC),
        receipt_no=text(store["payment_code"]),
        confirmation_no=text_or_none(store.get("confirmation_number")),
        voucher_url=text_or_none(details.get("hosted_voucher_url")),
    )


def _of_session(session: Answer) -> Found:
    ref, ours = text(session["id"]), _order_of(session)
    intent = session.get("payment_intent")
    if isinstance(intent, dict) and intent["status"] == "succeeded":
        return _of_intent(ref, intent)
    if session["status"] == "expired":
        return Found(ref=ref, order_id=ours, state=GatewayState.EXPIRED)
    return Found(ref=ref, order_id=ours, state=GatewayState.PENDING)


def _of_intent(ref: str, intent: Answer) -> Found:
    state = _state(intent)
    charge = intent.get("latest_charge") if isinstance(intent.get("latest_charge"), dict) else None
    if state is GatewayState.PAID and charge is None:
        raise GatewayUnavailable("paid, and its charge is not told")
    error = intent.get("last_payment_error") or {}
    return Found(
        ref=ref,
        order_id=_order_of(intent),
        state=state,
        received=(_received(intent, charge),) if state is GatewayState.PAID and charge else (),
        failure=text_or_none(error.get("decline_code") or error.get("code")),
        card=_card(charge) if charge else None,
    )


def _state(intent: Answer) -> GatewayState:
    match intent["status"]:
        case "succeeded":
            return GatewayState.PAID
        case "canceled":
            return GatewayState.CANCELLED
        case "requires_payment_method" if intent.get("last_payment_error"):
            # of a slip: its time ran out; a card may be tried again on the page, which runs out by itself
            is_slip = "konbini" in (intent.get("payment_method_types") or ())
            return GatewayState.EXPIRED if is_slip else GatewayState.PENDING
        case "requires_payment_method" | "requires_action" | "requires_confirmation" | "processing":
            return GatewayState.PENDING
    raise ValueError("a status that is not documented")


def _received(intent: Answer, charge: Answer) -> Received:
    return Received(
        id=text(charge["id"]),
        amount_yen=yen(intent["amount_received"]),
        received_at=datetime.fromtimestamp(charge["created"], UTC),
    )


def _card(charge: Answer) -> CardSeen | None:
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    brand, last4 = card.get("brand"), card.get("last4")
    if not (isinstance(brand, str) and isinstance(last4, str)):
        return None  # money that arrived does not wait for what its card looks like
    known = card.get("fingerprint") or f"{brand}:{last4}:{card.get('exp_month')}/{card.get('exp_year')}"
    return CardSeen(fingerprint=text(known), brand=brand, last4=last4)


def _order_of(subject: Answer) -> UUID | None:
    return order_id((subject.get("metadata") or {}).get("order_id"))


def _settled(number: int, row: Mapping[str, str]) -> SettledLine:
    try:
        return SettledLine(
            number=number,
            received_id=text(row["charge_id"]),
            ref=text(row["payment_intent_id"]),
            order_id=order_id(row.get("payment_metadata[order_id]")),
            amount_yen=_whole(row["gross"]),
            fee_yen=_whole(row["fee"]),
            settled_on=date.fromisoformat(row["created"][:10]),
        )
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None


def _whole(shown: str) -> int:
    """Yen as the report writes them: 3000 or 3000.00."""
    whole, _, rest = shown.partition(".")
    if not whole.isdigit() or rest.strip("0"):
        raise ValueError("not an amount in whole yen")
    return int(whole)
