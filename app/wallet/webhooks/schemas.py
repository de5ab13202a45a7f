"""The webhook API's fields: names, types, examples, descriptions."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate

from app.wallet.schemas import MAX_PAGE, storable_text
from app.wallet.webhooks.event_types import EVENT_TYPES

MAX_URL_LENGTH = 2_000
_URL_CHARACTERS = re.compile(r"[!-~]+")  # visible ASCII: a name in another script is written in its ASCII form
_ID = {"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-0000000000e1"}
_DELIVERY_ID = {"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-0000000000e2"}
_INSTANT = {"format": "date-time", "example": "2026-11-23T03:34:56.123456+00:00"}
_SECRET = {
    "description": "Signs every webhook (Standard Webhooks). Shown this once.",
    "example": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwEuWpZGxPfSk=",
}
STATES = ("waiting", "delivered", "given_up")


def _receivable(url: str) -> None:
    """Refuse what no webhook can be sent to: user and password or a fragment in it, no host, a port that is none."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named or not _URL_CHARACTERS.fullmatch(url) or parts.scheme not in ("https", "http"):
        raise ValidationError("Must be an https:// address in visible ASCII characters.")
    if "@" in parts.netloc or "#" in url:
        raise ValidationError("Must have no user name, password or fragment.")


def _each_once(events: list[str]) -> None:
    if len(set(events)) != len(events):
        raise ValidationError("Named twice.")


def _url(**how: Any) -> fields.String:
    return fields.String(
        **how,
        validate=[validate.Length(1, MAX_URL_LENGTH), _receivable],
        metadata={"description": "Where to POST, by https.", "example": "https://hooks.example.ac.jp/kumiai"},
    )


def _events(**how: Any) -> fields.List[str]:
    return fields.List(
        fields.String(validate=validate.OneOf(EVENT_TYPES)),
        **how,
        validate=[validate.Length(1, len(EVENT_TYPES)), _each_once],
        metadata={"description": "The event types it is sent.", "example": ["payment.created", "refund.created"]},
    )


def _description(**how: Any) -> fields.String:
    return fields.String(
        **how,
        validate=[validate.Length(max=200), storable_text],
        metadata={"description": "For yourself.", "example": "注文サーバー"},
    )


def _contact(**how: Any) -> fields.Email:
    return fields.Email(
        **how,
        validate=[validate.Length(max=254), validate.Regexp(r"^[!-~]+$(?!\n)")],
        metadata={
            "description": "Who is written to when the endpoint is disabled, after five days of nothing but failures.",
            "example": "ops@example.ac.jp",
        },
    )


class EndpointBody(Schema):
    url = _url(required=True)
    events = _events(required=True)
    description = _description(load_default="")
    contact_email = _contact(required=True)


class EndpointChange(Schema):
    """What is left out stays as it is."""

    url = _url()
    events = _events()
    description = _description()
    contact_email = _contact()
    status = fields.String(
        validate=validate.OneOf(["active", "disabled"]),
        metadata={
            "description": "`disabled` stops sending. `active` goes on, with what was waiting; "
            "what happened while it was disabled is not sent.",
            "example": "active",
        },
    )


class RotateBody(Schema):
    overlap_s = fields.Integer(
        strict=True,
        load_default=86_400,
        validate=validate.Range(0, 604_800),
        metadata={
            "description": "For how many seconds the secret before it signs too. 0: it ends at once.",
            "example": 86_400,
        },
    )


class EndpointView(Schema):
    """An address that hears of events."""

    id = fields.String(required=True, metadata=_ID)
    url = _url(required=True)
    events = _events(required=True)
    description = _description(required=True)
    contact_email = fields.String(required=True, metadata={"example": "ops@example.ac.jp"})
    status = fields.String(
        required=True, validate=validate.OneOf(["active", "disabled"]), metadata={"example": "active"}
    )
    disabled_reason = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(["asked", "gone", "failing", None]),
        metadata={
            "description": "`asked` by you; `gone`: it answered 410; `failing`: nothing but failures for five days.",
            "example": None,
        },
    )
    failing_since = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "date-time", "description": "Since when nothing but failures.", "example": None},
    )
    previous_secret_until = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "date-time", "description": "Until when two secrets sign.", "example": None},
    )
    created_at = fields.String(required=True, metadata=_INSTANT)


class EndpointWithSecretView(EndpointView):
    secret = fields.String(required=True, metadata=_SECRET)


class EndpointsView(Schema):
    endpoints = fields.List(fields.Nested(EndpointView), required=True)


class DeliveriesQuery(Schema):
    state = fields.String(
        load_default=None,
        validate=validate.OneOf(STATES),
        metadata={"description": "Only these.", "example": "delivered"},
    )
    limit = fields.Integer(
        load_default=20, validate=validate.Range(1, MAX_PAGE), metadata={"description": "Per page.", "example": 20}
    )
    cursor = fields.String(
        load_default=None,
        validate=validate.Length(max=64),
        metadata={"description": "`next_cursor` of the page before."},
    )


class DeliveryView(Schema):
    """One event for one endpoint."""

    id = fields.String(
        required=True, metadata={**_DELIVERY_ID, "description": "The header `webhook-id`, the same at every try."}
    )
    event_type = fields.String(required=True, metadata={"example": "webhook.test"})
    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata={
            "description": "`given_up`: after the last try, or the permission it needed ended.",
            "example": "delivered",
        },
    )
    attempt_count = fields.Integer(required=True, metadata={"example": 1})
    last_status = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Status of the last answer.", "example": 200}
    )
    last_error = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Class of the last failure, such as `TimeoutError`.", "example": None},
    )
    created_at = fields.String(required=True, metadata=_INSTANT)
    delivered_at = fields.String(
        required=True, allow_none=True, metadata={**_INSTANT, "example": "2026-11-23T03:34:56.456789+00:00"}
    )


class DeliveriesView(Schema):
    deliveries = fields.List(fields.Nested(DeliveryView), required=True)
    next_cursor = fields.String(
        required=True, allow_none=True, metadata={"description": "Null on the last page.", "example": None}
    )


def _headers(example: dict[str, str], **how: Any) -> fields.Dict:
    return fields.Dict(
        keys=fields.String(), values=fields.String(), required=True, **how, metadata={"example": example}
    )


_PAYLOAD = (
    '{"type":"webhook.test","timestamp":"2026-11-23T03:34:56.123456+00:00",'
    '"data":{"endpoint_id":"01936a7c-5b1e-7a10-8000-0000000000e1"}}'
)
_SENT = {
    "Content-Type": "application/json",
    "User-Agent": "Kumiai-Webhooks/1",
    "webhook-id": "01936a7c-5b1e-7a10-8000-0000000000e2",
    "webhook-timestamp": "1795404896",
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
}


class AttemptView(Schema):
    """One try: what was sent, and what came back."""

    number = fields.Integer(required=True, metadata={"example": 1})
    started_at = fields.String(required=True, metadata={**_INSTANT, "example": "2026-11-23T03:34:56.369789+00:00"})
    duration_ms = fields.Integer(required=True, metadata={"example": 87})
    url = fields.String(required=True, metadata={"example": "https://hooks.example.ac.jp/kumiai"})
    request_headers = _headers(_SENT)
    status = fields.Integer(required=True, allow_none=True, metadata={"example": 200})
    error = fields.String(required=True, allow_none=True, metadata={"example": None})
    response_headers = _headers({"Server": "nginx"}, allow_none=True)
    response_body = fields.String(
        required=True, allow_none=True, metadata={"description": "Its first 4 KiB.", "example": "ok"}
    )


class DeliveryLogView(DeliveryView):
    next_attempt_at = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "format": "date-time",
            "description": "Null where it does not wait, or waits behind an earlier event of the same member.",
            "example": None,
        },
    )
    payload = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The body, byte for byte. Null where the permission it needed ended before.",
            "example": _PAYLOAD,
        },
    )
    attempts = fields.List(fields.Nested(AttemptView), required=True)


class QueuedView(Schema):
    delivery_id = fields.String(required=True, metadata=_DELIVERY_ID)
