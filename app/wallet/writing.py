"""Step three of a batch: what was decided, written with one statement, without waiting for anything in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any
from uuid import UUID

import psycopg

from app.wallet import statements as sql
from app.wallet.books import AccountChange, Decision, NewTransaction
from app.wallet.documents import document
from app.wallet.postings import Charge, Declined, Payment, Posting, Refund, Refused


def write(
    connection: psycopg.Connection[tuple[Any, ...]],
    *,
    issuer_id: UUID,
    time_zone: str,
    batch: Sequence[tuple[UUID, Posting]],
    decision: Decision,
) -> psycopg.Cursor[tuple[Any, ...]] | None:
    """Send what was decided. Returns the cursor of the positions taken; None where nothing moved."""
    moved = [ruling for ruling in decision.rulings if isinstance(ruling, NewTransaction)]
    requests = _request_rows(batch, decision)
    if not moved:
        if requests:
            refused = {"issuer": issuer_id, "requests": document(requests)}
            connection.execute(sql.WRITE_REFUSALS, refused, prepare=True)
        return None
    late = sorted(change.account.id for change in decision.accounts if change.account.posted_yen is None)
    if late:
        connection.execute(sql.LOCK_ACCOUNTS_TO_WRITE, {"late": late}, prepare=True)
    parameters = {
        "issuer": issuer_id,
        "zone": time_zone,
        "count": len(moved),
        "transactions": document(_transaction_row(n, new) for n, new in enumerate(moved, 1)),
        "transfers": document(_transfer_rows(moved)),
        "accounts": document(_account_row(change) for change in decision.accounts),
        "totals": document({"id": str(i), "total_yen": yen} for i, yen in decision.wallets.items()),
        "spent": document({"id": str(i), "added_yen": yen} for i, yen in decision.spent.items()),
        "requests": document(requests),
    }
    return connection.execute(sql.WRITE, parameters, prepare=True)


def _transaction_row(n: int, new: NewTransaction) -> dict[str, Any]:
    posting = new.posting
    row: dict[str, Any] = {
        "n": n,
        "id": str(new.id),
        "kind": new.kind,
        "requester": posting.requester,
        "request_id": posting.request_id,
        "money_id": new.money_id,
        "amount_yen": new.amount_yen,
    }
    if new.member_id:
        row["member_id"] = str(new.member_id)
    if new.shop_id:
        row["shop_id"] = str(new.shop_id)
    if new.reverses:
        row["reverses"] = str(new.reverses)
    if isinstance(posting, Payment):
        for name in ("grant_id", "terminal_id", "card_id"):
            value = getattr(posting, name)
            if value:
                row[name] = str(value)
        if posting.metadata:
            row["metadata"] = posting.metadata
        if posting.taken_at:
            row["taken_at"] = posting.taken_at.astimezone(UTC).isoformat()
    if isinstance(posting, Payment | Refund | Charge) and posting.description:
        row["description"] = posting.description
    return row


def _account_row(change: AccountChange) -> dict[str, Any]:
    return {
        "id": change.account.id,
        "change_yen": change.change_yen,
        "transfers": change.transfers,
        "late": change.account.posted_yen is None,
    }


def _transfer_rows(moved: list[NewTransaction]) -> Iterator[dict[str, Any]]:
    for n, new in enumerate(moved, 1):
        for line, transfer in enumerate(new.transfers, 1):
            yield {
                "n": n,
                "transaction_id": str(new.id),
                "line": line,
                "money_id": transfer.money_id,
                "debit_account_id": transfer.debit_account_id,
                "credit_account_id": transfer.credit_account_id,
                "amount_yen": transfer.amount_yen,
                "debit_after_yen": transfer.debit_after_yen,
                "credit_after_yen": transfer.credit_after_yen,
            }


def _request_rows(batch: Sequence[tuple[UUID, Posting]], decision: Decision) -> list[dict[str, Any]]:
    """One row per request answered for the first time, refusals included; a name in conflict keeps its first row."""
    rows = []
    for (_, posting), ruling in zip(batch, decision.rulings, strict=True):
        row = {
            "requester": posting.requester,
            "request_id": posting.request_id,
            "params_hash": posting.params_hash.hex(),
        }
        if isinstance(posting, Payment | Charge | Declined) and posting.member_id:
            row["member_id"] = str(posting.member_id)
        if isinstance(ruling, NewTransaction):
            rows.append({**row, "transaction_id": str(ruling.id), "answer": {"balance_yen": ruling.balance_yen}})
        elif isinstance(ruling, Refused) and not ruling.hit and ruling.code != "request_id_conflict":
            rows.append({**row, "refusal": ruling.code, "answer": {"detail": dict(ruling.detail)}})
    return rows
