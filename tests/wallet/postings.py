"""Postings as tests want them: a payment with everything defaulted but what the test is about."""

from __future__ import annotations

import secrets
from typing import Any

from app.wallet.postings import Payment, Refund
from tests.factories import Holder


def payment(holder: Holder, amount_yen: int, *, key: str | None = None, **changes: Any) -> Payment:
    values: dict[str, Any] = {
        "requester": "test",
        "request_id": key or secrets.token_hex(8),
        "params_hash": f"payment {amount_yen}".encode(),
        "member_id": holder.member_id,
        "money": holder.money,
        "shop_id": holder.shop_id,
        "amount_yen": amount_yen,
        "controls": (),
    }
    return Payment(**{**values, **changes})


def refund(transaction_id: Any, *, key: str | None = None) -> Refund:
    return Refund(
        requester="test",
        request_id=key or secrets.token_hex(8),
        params_hash=f"refund {transaction_id}".encode(),
        transaction_id=transaction_id,
    )
