"""Step three of a batch: what was decided, written with one statement, without waiting for anything in between.

Holds, one-time codes and quotas, which few batches have, are written by statements of their own after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, date
from functools import cache
from typing import Any
from uuid import UUID

import psycopg

from app.wallet import statements as sql
from app.wallet.books import AccountChange, ControlChange, Decision, NewTransaction, WalletChange
from app.wallet.decide import is_dry_run
from app.wallet.documents import array, document
from app.wallet.parts import plain_parts
from app.wallet.postings import Posting, Refused

Connection = psycopg.Connection[tuple[Any, ...]]
Batch = Sequence[tuple[UUID, Posting]]


def write(
    connection: Connection, *, issuer_id: UUID, time_zone: str, day: date, batch: Batch, decision: Decision
) -> psycopg.Cursor[tuple[Any, ...]] | None:
    """Send what was decided by `day`. Returns the cursor of the positions taken; None where nothing moved."""
    moved = list(_moved(decision))
    if refused := list(_refused_rows(batch, decision)):
        refusals = {"issuer": issuer_id, "requests": document(refused)}
        connection.execute(sql.WRITE_REFUSALS, refusals, prepare=True)
    if not moved:
        return None
    changed = {"day": day, **_wallets(decision.wallets.values()), **_controls(decision.controls)}
    connection.execute(sql.CHANGE, changed, prepare=True)
    parameters = {
        "issuer": issuer_id,
        "zone": time_zone,
        "day": day,
        "count": len(moved),
        "transactions": document(_transaction_row(n, new) for n, new in enumerate(moved, 1)),
        **_transfers(moved),
        **_accounts(decision.accounts.values()),
    }
    late = sorted(change.account.id for change in decision.accounts.values() if change.account.posted_yen is None)
    if late:
        connection.execute(sql.LOCK_ACCOUNTS_TO_WRITE, {"late": late}, prepare=True)
    head = connection.execute(sql.WRITE, parameters, prepare=True)
    _write_what_few_have(connection, issuer_id=issuer_id, moved=moved, decision=decision)
    return head


def _moved(decision: Decision) -> Iterator[NewTransaction]:
    """The transactions to be written, in the order of their positions."""
    for ruling in decision.rulings:
        if isinstance(ruling, NewTransaction) and not ruling.dry_run:
            yield from ruling.before
            yield ruling


def _write_what_few_have(
    connection: Connection, *, issuer_id: UUID, moved: list[NewTransaction], decision: Decision
) -> None:
    if placed := [new for new in moved if new.hold is not None]:
        connection.execute(sql.WRITE_HOLDS, _hold_rows(placed), prepare=True)
    if ended := [_ended_row(new) for new in moved if new.ended_hold is not None]:
        connection.execute(sql.END_HOLDS, {"ended": document(ended)}, prepare=True)
    if decision.codes:
        used = document({"id": code, "used_by": by} for code, by in decision.codes.items())
        connection.execute(sql.USE_CODES, {"codes": used}, prepare=True)
    if decision.paid_out:
        paid = document({"begins_on": day.isoformat(), "yen": yen} for day, yen in decision.paid_out.items())
        connection.execute(sql.PAY_OUT, {"issuer": issuer_id, "paid_out": paid}, prepare=True)


_KEPT = frozenset({"grant_id", "terminal_id", "card_id", "hold_id", "description"})


@cache
def _kept(kind: type[Any]) -> tuple[str, ...]:
    """The fields of a posting that its transaction keeps as they are."""
    return tuple(field.name for field in fields(kind) if field.name in _KEPT)


def _transaction_row(n: int, new: NewTransaction) -> dict[str, Any]:
    """A transaction, and its request with the answer."""
    posting = new.posting
    row: dict[str, Any] = {
        "n": n,
        "id": new.id,
        "kind": new.kind,
        "requester": posting.requester,
        "request_id": posting.request_id,
        "params_hash": posting.params_hash.hex(),
        "asked_of": getattr(posting, "member_id", None),
        "answer": _answer(new),
        "money_id": new.money_id,
        "amount_yen": new.amount_yen,
        "member_id": new.member_id,
        "shop_id": new.shop_id,
    }
    made_of: Any = type(posting)
    for name in _kept(made_of):
        if value := getattr(posting, name):
            row[name] = value
    if new.reverses:
        row["reverses"] = new.reverses
    if metadata := getattr(posting, "metadata", None):
        row["metadata"] = metadata
    if getattr(posting, "agreed_before", False):
        row["metadata"] = {**row.get("metadata", {}), "agreed_before": True}
    if taken_at := getattr(posting, "taken_at", None):
        row["taken_at"] = taken_at.astimezone(UTC).isoformat()
    return row


def _accounts(changes: Collection[AccountChange]) -> dict[str, str]:
    return {
        "account_id": array([change.account.id for change in changes]),
        "account_change": array([change.change_yen for change in changes]),
        "account_pending": array([change.pending_yen for change in changes]),
        "account_transfers": array([change.transfers for change in changes]),
        "account_late": array([change.account.posted_yen is None for change in changes]),
    }


def _wallets(changes: Collection[WalletChange]) -> dict[str, str]:
    """A wallet whose day and month nothing is added to keeps its sums, and the day they are of."""
    counted = [change.day_yen != 0 or change.month_yen != 0 for change in changes]
    return {
        "wallet_id": array([change.wallet.id for change in changes]),
        "wallet_change": array([change.change_yen for change in changes]),
        "wallet_pending": array([change.pending_yen for change in changes]),
        "wallet_reserved": array([change.reserved_yen for change in changes]),
        "wallet_day": array(
            [change.day_yen if counts else None for change, counts in zip(changes, counted, strict=True)]
        ),
        "wallet_month": array(
            [change.month_yen if counts else None for change, counts in zip(changes, counted, strict=True)]
        ),
        "wallet_expires": array([change.expires_on for change in changes]),
        "wallet_status": array(["closed" if change.closes else None for change in changes]),
    }


def _controls(changes: Mapping[UUID, ControlChange]) -> dict[str, str]:
    return {
        "control_id": array(list(changes)),
        "control_day": array([change.day_yen for change in changes.values()]),
        "control_month": array([change.month_yen for change in changes.values()]),
        "control_given_back": array([change.given_back_yen for change in changes.values()]),
    }


def _transfers(moved: list[NewTransaction]) -> dict[str, str]:
    rows = [
        (n, new.id, line, transfer) for n, new in enumerate(moved, 1) for line, transfer in enumerate(new.transfers, 1)
    ]
    return {
        "transfer_n": array([n for n, _, _, _ in rows]),
        "transfer_of": array([transaction_id for _, transaction_id, _, _ in rows]),
        "transfer_line": array([line for _, _, line, _ in rows]),
        "transfer_money": array([transfer.money_id for _, _, _, transfer in rows]),
        "transfer_debit": array([transfer.debit_account_id for _, _, _, transfer in rows]),
        "transfer_credit": array([transfer.credit_account_id for _, _, _, transfer in rows]),
        "transfer_amount": array([transfer.amount_yen for _, _, _, transfer in rows]),
        "transfer_debit_after": array([transfer.debit_after_yen for _, _, _, transfer in rows]),
        "transfer_credit_after": array([transfer.credit_after_yen for _, _, _, transfer in rows]),
    }


def _hold_rows(placed: list[NewTransaction]) -> dict[str, str]:
    holds, parts = [], []
    for new in placed:
        assert new.hold is not None
        holds.append(
            {
                "id": new.id,
                "controls": [str(control) for control in new.hold.posting.controls],
                "expires_at": new.hold.posting.expires_at.astimezone(UTC).isoformat(),
            }
        )
        for line, (account_id, amount_yen) in enumerate(new.hold.parts, 1):
            parts.append({"hold_id": new.id, "line": line, "account_id": account_id, "amount_yen": amount_yen})
    return {"holds": document(holds), "parts": document(parts)}


def _ended_row(new: NewTransaction) -> dict[str, Any]:
    ended = new.ended_hold
    assert ended is not None
    return {"id": ended.id, "state": ended.state, "captured_yen": ended.captured_yen, "ended_by": new.id}


def _refused_rows(batch: Batch, decision: Decision) -> Iterator[dict[str, Any]]:
    """One row per request refused for the first time; a name in conflict keeps its first row."""
    for (_, posting), ruling in zip(batch, decision.rulings, strict=True):
        if not isinstance(ruling, Refused) or ruling.hit or ruling.code == "request_id_conflict" or is_dry_run(posting):
            continue
        yield {
            "requester": posting.requester,
            "request_id": posting.request_id,
            "params_hash": posting.params_hash.hex(),
            "member_id": getattr(posting, "member_id", None),
            "refusal": ruling.code,
            "answer": {"detail": dict(ruling.detail)},
        }


def _answer(new: NewTransaction) -> dict[str, Any]:
    """What the outcome says beyond the transaction's own row, from which plain parts follow."""
    answer: dict[str, Any] = {"balance_yen": new.balance_yen}
    if new.parts != plain_parts(kind=new.kind, money=new.money, amount_yen=new.amount_yen, balance_yen=new.balance_yen):
        answer["parts"] = [[part.money, part.amount_yen, part.balance_yen] for part in new.parts]
    if new.points_yen:
        answer["points_yen"] = new.points_yen
    if new.points_missing_yen:
        answer["points_missing_yen"] = new.points_missing_yen
    return answer
