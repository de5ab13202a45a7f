"""Mail about charges. Queued with the surrounding transaction, so that each is sent once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from babel.dates import format_datetime

from app.charge.models import ChargeOrder, ChargeReceived
from app.issuer import issuer_zone, mypage_url
from app.money import format_yen
from app.wallet import directory
from app.wallet.notices import send
from app.web.locale import translate


def slip(order: ChargeOrder) -> None:
    """Where to pay, and until when, with the address of the page that shows the numbers."""
    send(order.payer_id, "charge_slip", **_said(order), **_slip(order))


def reminder(order: ChargeOrder) -> None:
    """Tomorrow is the last day."""
    send(order.payer_id, "charge_reminder", **_said(order), **_slip(order))


def arrived(order: ChargeOrder, received: ChargeReceived) -> None:
    """Money arrived: credited; late; once more; or waiting for the office."""
    if received.state == "suspense":
        message = "charge_waits"
    elif (received.number or 1) > 1:
        message = "charge_paid_again"
    else:
        message = "charge_paid_late" if received.late else "charge_paid"
    send(order.payer_id, message, at=received.received_at, **_said(order), received=format_yen(received.amount_yen))
    if order.member_id != order.payer_id and received.state == "credited":
        send(order.member_id, "charge_given", at=received.received_at, **_said(order))


def _said(order: ChargeOrder) -> dict[str, Any]:
    return {
        "amount": format_yen(order.amount_yen),
        "to_pay": format_yen(order.amount_yen + order.fee_yen),
        "money": directory.money_by_id(order.money_id).view(order.locale)["name"],
        "page": f"{mypage_url()}/charge/{order.id}",
    }


def _slip(order: ChargeOrder) -> dict[str, Any]:
    assert order.chain is not None
    assert order.pay_until is not None
    return {
        "chain": translate(f"charge.chain.{order.chain}", order.locale),
        "until": _moment(order.pay_until, order.locale),
    }


def _moment(instant: datetime, locale: str) -> str:
    pattern = translate("web.moment_with_year", locale)
    return format_datetime(instant.astimezone(issuer_zone()), pattern, locale=locale)
