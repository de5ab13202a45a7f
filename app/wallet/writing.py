"""Step three of a batch: what was decided, written with one statement, without waiting for anything in between.

Holds, one-time codes and quotas, which few batches have, are written by statements of their own after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date
from typing import Any
from uuid import UUID

import orjson
import psycopg

from app.wallet import statements as sql
from app.wallet.books import AccountChange, ControlChange, Decision, NewTransaction, WalletChange
from app.wallet.decide import is_dry_run
from app.wallet.documents import array, document, sparse
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
        **_transactions(moved),
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


def _transactions(moved: list[NewTransaction]) -> dict[str, str]:
    """The transactions, and their requests with the answers. What only some postings have is left out by most."""
    postings: list[Any] = [new.posting for new in moved]
    return {
        "id": array([new.id for new in moved]),
        "kind": array([new.kind for new in moved]),
        "requester": array([posting.requester for posting in postings]),
        "request_id": array([posting.request_id for posting in postings]),
        "params_hash": array([posting.params_hash.hex() for posting in postings]),
        "asked_of": array([getattr(posting, "member_id", None) for posting in postings]),
        "balance": array([new.balance_yen for new in moved]),
        "answered": sparse([_answered(new) for new in moved]),
        "member": array([new.member_id for new in moved]),
        "money": array([new.money_id for new in moved]),
        "shop": array([new.shop_id for new in moved]),
        "amount": array([new.amount_yen for new in moved]),
        "reverses": sparse([new.reverses for new in moved]),
        "hold": sparse([getattr(posting, "hold_id", None) for posting in postings]),
        "grant": sparse([getattr(posting, "grant_id", None) for posting in postings]),
        "terminal": sparse([getattr(posting, "terminal_id", None) for posting in postings]),
        "card": sparse([getattr(posting, "card_id", None) for posting in postings]),
        "description": sparse([getattr(posting, "description", None) or None for posting in postings]),
        "metadata": sparse([_metadata(posting) for posting in postings]),
        "taken_at": sparse([_taken_at(posting) for posting in postings]),
    }


def _metadata(posting: Any) -> str | None:
    kept = getattr(posting, "metadata", None)
    if getattr(posting, "agreed_before", False):
        kept = {**(kept or {}), "agreed_before": True}
    return orjson.dumps(kept).decode() if kept else None


def _taken_at(posting: Any) -> str | None:
    taken_at = getattr(posting, "taken_at", None)
    return taken_at.astimezone(UTC).isoformat() if taken_at else None


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


def _answered(new: NewTransaction) -> str | None:
    """What the outcome says beyond the transaction's own row, from which plain parts follow, and the balance."""
    answer: dict[str, Any] = {}
    if new.parts != plain_parts(kind=new.kind, money=new.money, amount_yen=new.amount_yen, balance_yen=new.balance_yen):
        answer["parts"] = [[part.money, part.amount_yen, part.balance_yen] for part in new.parts]
    if new.points_yen:
        answer["points_yen"] = new.points_yen
    if new.points_missing_yen:
        answer["points_missing_yen"] = new.points_missing_yen
    return orjson.dumps(answer).decode() if answer else None
