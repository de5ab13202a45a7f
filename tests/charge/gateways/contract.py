"""What any gateway's tests ask for: requests as the server makes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from app.charge.ports import CardRequest, Chain, KonbiniRequest


def card_request(**changes: Any) -> CardRequest:
    given: dict[str, Any] = {
        "order_id": uuid4(),
        "pay_until": datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1),
        "amount_yen": 5_000,
        "description": "学食 チャージ",
        "return_url": "http://localhost:8001/charge/return",
        "locale": "ja",
        "email": "hanako@example.ac.jp",
    }
    return CardRequest(**{**given, **changes})


def konbini_request(**changes: Any) -> KonbiniRequest:
    given: dict[str, Any] = {
        "order_id": uuid4(),
        "ordered_at": datetime.now(UTC),
        "amount_yen": 3_000,
        "description": "教科書 チャージ",
        "chain": Chain.SEICOMART,
        "name": "組合 花子",
        "name_kana": "クミアイ ハナコ",
        "email": "hanako@example.ac.jp",
        "phone": "09012345678",
        "pay_until": datetime.now(UTC).replace(microsecond=0) + timedelta(days=7),
        "locale": "ja",
    }
    return KonbiniRequest(**{**given, **changes})
