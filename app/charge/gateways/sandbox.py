"""The sandbox gateway, as the server calls it: its API over HTTP (docs/sandbox.md). No code is shared with it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from standardwebhooks import Webhook, WebhookVerificationError

from app.charge.gateways.api import BROKEN, Answer, Api, instant, read, segment, text, text_or_none, yen
from app.charge.ports import (
    CardPage,
    CardRequest,
    CardSeen,
    Chain,
    Event,
    EventRefused,
    Found,
    GatewayState,
    KonbiniRequest,
    Received,
    SettledLine,
    Slip,
)
from app.settings import Settings

MAX_EVENT_BYTES = 64 * 1024
_HEADING = ["settled_on", "received_id", "payment_id", "order_id", "method", "amount_yen", "fee_yen"]


class SandboxGateway:
    """One account at the sandbox. Implements `app.charge.ports.Gateway`."""

    name = "sandbox"
    chains = tuple(Chain)
    has_cards = True

    def __init__(self, *, url: str, key: str, webhook_secret: str, **options: Any) -> None:
        self._api = Api(url=url, key=key, **options)
        self._webhook = Webhook(webhook_secret)

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
        return read(lambda: CardPage(ref=text(answer["id"]), url=text(answer["url"])))

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
        return read(lambda: _slip(answer))

    def cancel(self, ref: str) -> GatewayState:
        """What it is now: cancelled, or what it was already. Repeatable."""
        answer = self._api.post(f"/v1/payments/{segment(ref)}/cancel", headers={}, json={})
        return read(lambda: GatewayState(answer["state"]))

    def lookup(self, ref: str) -> Found:
        answer = self._api.get(f"/v1/payments/{segment(ref)}")
        return read(lambda: _payment(answer))

    def parse_event(self, headers: Mapping[str, str], body: bytes) -> Event:
        """Check the signature (Standard Webhooks) and read it. Raises EventRefused."""
        if len(body) > MAX_EVENT_BYTES:
            raise EventRefused("too long")
        given = {name.lower(): value for name, value in headers.items()}
        try:
            said = self._webhook.verify(body, given)
            event = Event(id=text(said["id"]), kind=text(said["type"]), ref=text(said["data"]["payment_id"]))
        except (WebhookVerificationError, *BROKEN) as error:
            raise EventRefused(type(error).__name__) from None
        if event.id != given["webhook-id"]:
            raise EventRefused("its id is not the one that was signed for")
        return event

    def settlement(self, file: str) -> Iterator[SettledLine]:
        """The lines of a day's file. Raises ValueError that names the line."""
        rows = csv.reader(io.StringIO(file.removeprefix("\ufeff"), newline=""), strict=True)
        try:
            if next(rows, None) != _HEADING:
                raise ValueError(f"line 1: the heading must be {','.join(_HEADING)}")
            for row in rows:
                if row:
                    yield _settled(rows.line_num, row)
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num}: {error}") from None

    def _create(self, order_id: UUID, body: Answer) -> Answer:
        return self._api.post("/v1/payments", headers={"Idempotency-Key": str(order_id)}, json=body)


def from_settings(settings: Settings) -> SandboxGateway:
    """The sandbox that the settings name."""
    return SandboxGateway(
        url=settings.sandbox_url, key=settings.sandbox_key, webhook_secret=settings.sandbox_webhook_secret
    )


def _slip(answer: Answer) -> Slip:
    slip = answer["slip"]
    return Slip(
        ref=text(answer["id"]),
        chain=Chain(slip["chain"]),
        pay_until=instant(slip["pay_until"]),
        receipt_no=text_or_none(slip["receipt_no"]),
        confirmation_no=text_or_none(slip["confirmation_no"]),
        company_code=text_or_none(slip["company_code"]),
        barcode=text_or_none(slip["barcode"]),
        voucher_url=text_or_none(slip["voucher_url"]),
    )


def _payment(answer: Answer) -> Found:
    card = answer["card"]
    return Found(
        ref=text(answer["id"]),
        order_id=UUID(answer["order_id"]),
        state=GatewayState(answer["state"]),
        received=tuple(
            Received(
                id=text(each["id"]),
                amount_yen=yen(each["amount_yen"]),
                received_at=instant(each["received_at"]),
            )
            for each in answer["received"]
        ),
        failure=text_or_none(answer["failure"]),
        card=CardSeen(fingerprint=text(card["fingerprint"]), brand=text(card["brand"]), last4=text(card["last4"]))
        if card
        else None,
    )


def _digits(shown: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", shown):
        raise ValueError("not an amount in whole yen")
    return int(shown)


def _settled(number: int, row: list[str]) -> SettledLine:
    try:
        settled_on, received_id, ref, order_id, _, amount_yen, fee_yen = row
        return SettledLine(
            number=number,
            received_id=text(received_id),
            ref=text(ref),
            order_id=UUID(order_id),
            amount_yen=_digits(amount_yen),
            fee_yen=_digits(fee_yen),
            settled_on=date.fromisoformat(settled_on),
        )
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
