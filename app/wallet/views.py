"""How the ledger's rows and outcomes look to callers of the API. Plain dictionaries; the schemas describe them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.wallet import directory
from app.wallet.directory import MoneyEntry, ShopEntry
from app.wallet.errors import HIT_HEADER, LedgerRefusal
from app.wallet.parts import plain_parts, signed_yen
from app.wallet.postings import Accepted, Outcome, Refused

_BALANCE_DETAIL = ("balance_yen", "short_by_yen")


class Names:
    """What monies and shops are called in one language, each looked up once; without a language, by their codes."""

    def __init__(self, locale: str | None) -> None:
        self._locale = locale
        self._monies: dict[str, dict[str, str]] = {}
        self._shops: dict[UUID, dict[str, str]] = {}

    def money(self, code: str) -> dict[str, str]:
        if code not in self._monies:
            entry = directory.money(code)
            assert entry is not None
            self._monies[code] = self._view(entry)
        return self._monies[code]

    def shop(self, shop_id: UUID) -> dict[str, str]:
        if shop_id not in self._shops:
            self._shops[shop_id] = self._view(directory.shop_by_id(shop_id))
        return self._shops[shop_id]

    def _view(self, entry: MoneyEntry | ShopEntry) -> dict[str, str]:
        view = entry.view(self._locale or "ja")
        if self._locale is None:
            del view["name"]
        return view


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
    money: str,
    shop_id: UUID | None,
    created_at: datetime,
    request_id: str | None,
    balance_yen: int,
    names: Names,
    may_see_balance: bool,
    parts: Iterable[tuple[str, int, int]] | None = None,
    points_yen: int = 0,
    points_missing_yen: int = 0,
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
    reverses: UUID | None = None,
    hold_id: UUID | None = None,
    taken_at: datetime | None = None,
) -> dict[str, Any]:
    """A transaction as every endpoint shows it. `parts`: code of money, yen, balance; None: those that are plain."""
    if not parts:
        parts = plain_parts(kind=kind, money=money, amount_yen=amount_yen, balance_yen=balance_yen)
    shown = [
        {
            "money": names.money(code),
            "signed_amount_yen": change_yen,
            "balance_yen": after_yen if may_see_balance else None,
        }
        for code, change_yen, after_yen in parts
    ]
    signed = shown[0]["signed_amount_yen"] if kind == "adjustment" else signed_yen(kind, amount_yen)
    return {
        "id": str(id),
        "receipt_no": receipt_no(position),
        "kind": kind,
        "amount_yen": amount_yen,
        "signed_amount_yen": signed,
        "money": names.money(money),
        "parts": shown,
        "points_granted_yen": points_yen,
        "points_missing_yen": points_missing_yen,
        "shop": names.shop(shop_id) if shop_id else None,
        "description": description,
        "metadata": metadata or {},
        "request_id": request_id,
        "reverses": str(reverses) if reverses else None,
        "hold_id": str(id if kind == "hold" else hold_id) if hold_id or kind == "hold" else None,
        "taken_at": taken_at.isoformat() if taken_at else None,
        "created_at": created_at.isoformat(),
        "balance_yen": balance_yen if may_see_balance else None,
    }


def of_outcome(
    outcome: Accepted,
    *,
    names: Names,
    request_id: str | None,
    may_see_balance: bool,
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
    reverses: UUID | None = None,
    hold_id: UUID | None = None,
    taken_at: datetime | None = None,
) -> dict[str, Any]:
    """The transaction that a posting became, shown without asking the database again."""
    return transaction(
        id=outcome.transaction_id,
        position=outcome.position,
        kind=outcome.kind,
        amount_yen=outcome.amount_yen,
        money=outcome.money,
        shop_id=outcome.shop_id,
        created_at=outcome.created_at,
        request_id=request_id,
        balance_yen=outcome.balance_yen,
        names=names,
        may_see_balance=may_see_balance,
        parts=outcome.parts,
        points_yen=outcome.points_yen,
        points_missing_yen=outcome.points_missing_yen,
        description=description,
        metadata=metadata,
        reverses=reverses,
        hold_id=hold_id,
        taken_at=taken_at,
    )


def tried(shown: dict[str, Any]) -> dict[str, Any]:
    """The view of a dry run: what would be, without what only a transaction that was written has."""
    return {**shown, "id": None, "receipt_no": None, "hold_id": None, "created_at": None, "dry_run": True}


def receipt_no(position: int) -> str:
    """A receipt's number as people read it out: the position in groups of four, at least eight digits."""
    digits = f"{position:08d}"
    if len(digits) == 8:  # nearly every one
        return f"{digits[:4]}-{digits[4:]}"
    head = len(digits) % 4
    groups = [digits[:head]] if head else []
    groups += [digits[i : i + 4] for i in range(head, len(digits), 4)]
    return "-".join(groups)
