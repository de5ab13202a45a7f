"""What a webhook says: `{"type", "timestamp", "data"}`, as Standard Webhooks has it, in codes that need no language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import current_app

from app.seal import seal, unseal
from app.wallet import directory, views

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def body(event_type: str, *, at: datetime, data: Mapping[str, Any]) -> bytes:
    """The body of an event that happened at `at`."""
    return _ENCODER.encode({"type": event_type, "timestamp": at.isoformat(), "data": data}).encode()


def sealed(plain: bytes) -> bytes:
    """As it is kept until it is deleted: it may hold personal data."""
    return seal(_key(), plain)


def unsealed(kept: bytes) -> bytes:
    """The inverse of `sealed`."""
    return unseal(_key(), kept)


def of_transaction(row: Any, *, tell_member: bool, tell_balance: bool) -> dict[str, Any]:
    """A transaction as /v1 shows it, without names. `row` is one of the feed's.

    `member_id` is told to whom the member gave a permission; `balance_yen` to whom that lets read balances.
    """
    shown = views.transaction(
        id=row.id,
        position=row.position,
        kind=row.kind,
        amount_yen=row.amount_yen,
        money=directory.money_by_id(row.money_id).code,
        shop_id=row.shop_id,
        created_at=row.created_at,
        request_id=row.request_id,
        balance_yen=row.answer.get("balance_yen", 0),
        names=views.Names(None),
        may_see_balance=tell_balance,
        parts=row.answer.get("parts"),
        points_yen=row.answer.get("points_yen", 0),
        points_missing_yen=row.answer.get("points_missing_yen", 0),
        description=row.description,
        metadata=row.extra,
        reverses=row.reverses,
        hold_id=row.hold_id,
        taken_at=row.taken_at,
    )
    return {"member_id": str(row.member_id) if tell_member and row.member_id else None, **shown}


def _key() -> bytes:
    key: bytes = current_app.extensions["kumiai.settings"].sealing_key
    return key
