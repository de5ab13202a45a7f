"""Postings as tests want them: a payment with everything defaulted but what the test is about."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

from app.wallet.errors import OutcomeUnknown, RequestInProgress, TemporarilyUnavailable
from app.wallet.poster import Poster
from app.wallet.postings import Outcome, Payment, Posting, Refund
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


def answered(poster: Poster, posting: Posting) -> Outcome:
    """As a client sends: a 503 or a 409 `request_in_progress` says to send the very same again."""
    for _ in range(20):
        try:
            return poster.post(posting)
        except (TemporarilyUnavailable, RequestInProgress, OutcomeUnknown):
            continue
    raise AssertionError("no answer after twenty sendings")


def one_of(things: Collection[Any], pick: int) -> Any:
    """The thing that a drawn number picks. How many there are by then, the drawing must not know."""
    return list(things)[pick % len(things)]
