"""How the ledger's rows and outcomes look to callers of the API. Plain dictionaries; the schemas describe them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.wallet import directory
from app.wallet.errors import HIT_HEADER, LedgerRefusal
from app.wallet.postings import Accepted, Outcome, Refused

_TAKES_FROM_WALLET = frozenset({"payment", "expiry", "hold", "capture", "close"})
_BALANCE_DETAIL = ("balance_yen", "short_by_yen")


def accepted(outcome: Outcome, *, may_see_balance: bool) -> Accepted:
    """The accepted outcome, or its refusal raised. A caller who may not read balances is not told one by a refusal."""
    if isinstance(outcome, Accepted):
        return outcome
    raise refusal(outcome, may_see_balance=may_see_balance)


def refusal(refused: Refused, *, may_see_balance: bool) -> LedgerRefusal:
    """A stored or fresh refusal as the error to raise."""
    detail = {name: value for name, value in refused.detail.items() if may_see_balance or name not in _BALANCE_DETAIL}
    return LedgerRefusal(refused.code, repeated=refused.hit, **detail)


def hit_headers(outcome: Accepted) -> dict[str, str]:
    """`Idempotency-Hit: true` where this request had been answered before."""
    return {HIT_HEADER: "true"} if outcome.hit else {}


def transaction(
    *,
    id: UUID,  # noqa: A002  # the field's name in the API
    position: int,
    kind: str,
    amount_yen: int,
    money: Mapping[str, str],
    shop: Mapping[str, str] | None,
    created_at: datetime,
    request_id: str | None,
    balance_yen: int | None,
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
    reverses: UUID | None = None,
    taken_at: datetime | None = None,
) -> dict[str, Any]:
    """A transaction as every endpoint shows it."""
    return {
        "id": str(id),
        "receipt_no": receipt_no(position),
        "kind": kind,
        "amount_yen": amount_yen,
        "signed_amount_yen": -amount_yen if kind in _TAKES_FROM_WALLET else amount_yen,
        "money": money,
        "shop": shop,
        "description": description,
        "metadata": metadata or {},
        "request_id": request_id,
        "reverses": str(reverses) if reverses else None,
        "taken_at": taken_at.isoformat() if taken_at else None,
        "created_at": created_at.isoformat(),
        "balance_yen": balance_yen,
    }


def of_outcome(
    outcome: Accepted,
    *,
    locale: str,
    request_id: str,
    may_see_balance: bool,
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
    taken_at: datetime | None = None,
) -> dict[str, Any]:
    """The transaction that a posting became, shown without asking the database again."""
    money = directory.money(outcome.money)
    assert money is not None
    return transaction(
        id=outcome.transaction_id,
        position=outcome.position,
        kind=outcome.kind,
        amount_yen=outcome.amount_yen,
        money=money.view(locale),
        shop=directory.shop_by_id(outcome.shop_id).view(locale) if outcome.shop_id else None,
        created_at=outcome.created_at,
        request_id=request_id,
        balance_yen=outcome.balance_yen if may_see_balance else None,
        description=description,
        metadata=metadata,
        taken_at=taken_at,
    )


def receipt_no(position: int) -> str:
    """A receipt's number as people read it out: the position in groups of four, at least eight digits."""
    digits = f"{position:08d}"
    head = len(digits) % 4
    groups = [digits[:head]] if head else []
    groups += [digits[i : i + 4] for i in range(head, len(digits), 4)]
    return "-".join(groups)
