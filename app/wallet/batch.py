"""One batch against the database: lock → decide → write, in one transaction and two round trips.

`post_batch` either commits the whole batch or raises with nothing written. It never retries; `app.wallet.poster`
does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from app.wallet import statements as sql
from app.wallet.books import (
    AccountState,
    Books,
    Control,
    Decision,
    NewTransaction,
    Original,
    PastRequest,
    PastTransfer,
    SameAs,
    WalletState,
)
from app.wallet.decide import decide
from app.wallet.postings import Accepted, Charge, Outcome, Payment, Posting, Refund, Refused

Connection = psycopg.Connection[tuple[Any, ...]]
Batch = Sequence[tuple[UUID, Posting]]


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


class Monies:
    """The issuer's monies by id and by code. They are never renamed or removed, so a process may remember them."""

    def __init__(self, connection: Connection, issuer_id: UUID) -> None:
        rows = connection.execute(sql.MONIES, {"issuer": issuer_id}).fetchall()
        self.code_of: dict[int, str] = dict(rows)
        self.id_of = {code: money_id for money_id, code in self.code_of.items()}


def post_batch(connection: Connection, *, issuer_id: UUID, monies: Monies, batch: Batch) -> list[Outcome]:
    """Lock, decide, write and commit one batch. Returns one outcome per posting. Raises psycopg.Error, unwritten.

    A failed COMMIT leaves open whether it was written; the same batch again finds out, since requests that were
    written answer from their rows.
    """
    with connection.pipeline():
        connection.execute("BEGIN")
        books = _Reader(connection, issuer_id=issuer_id, monies=monies).read([posting for _, posting in batch])
        decision = decide(books, batch)
        head = _write(connection, issuer_id=issuer_id, batch=batch, decision=decision)
        connection.execute("COMMIT")
    return _outcomes(decision, head.fetchone() if head else None)


class _Reader:
    """Everything the batch touches, locked and read."""

    def __init__(self, connection: Connection, *, issuer_id: UUID, monies: Monies) -> None:
        self.connection = connection
        self.issuer_id = issuer_id
        self.id_of = monies.id_of
        self.code_of = monies.code_of

    def read(self, postings: Sequence[Posting]) -> Books:
        refunds = [p.transaction_id for p in postings if isinstance(p, Refund)]
        originals, past_transfers, refunded = self._originals(refunds) if refunds else ([], [], [])
        parameters = self._keys(postings, originals)
        controls, wallets, accounts, lots, shops, requests = self._rows(
            parameters,
            sql.LOCK_CONTROLS,
            sql.LOCK_WALLETS,
            sql.LOCK_ACCOUNTS,
            sql.LOTS,
            sql.SHOPS,
            sql.REQUESTS,
        )
        books = Books(shops=dict(shops))
        by_id = self._accounts(books, accounts)
        self._wallets(books, wallets, lots, by_id)
        for row in controls:
            books.controls[row[0]] = _control(row)
        for row in requests:
            books.requests[row[0], row[1]] = self._past_request(row)
        for row in originals:
            books.originals[row[0]] = self._original(row, past_transfers, dict(refunded), by_id)
        return books

    def _originals(self, refunds: list[UUID]) -> list[list[Any]]:
        return self._rows({"originals": refunds}, sql.LOCK_ORIGINALS, sql.ORIGINAL_TRANSFERS, sql.REFUNDED)

    def _rows(self, parameters: Mapping[str, Any], *statements: str) -> list[list[Any]]:
        """Send all statements, then wait once for all their rows."""
        cursors = [self.connection.execute(statement, parameters, prepare=True) for statement in statements]
        return [cursor.fetchall() for cursor in cursors]

    def _keys(self, postings: Sequence[Posting], originals: list[Any]) -> dict[str, Any]:
        """The keys of what is to be locked, each once. A money nobody knows has no rows, and is refused later."""
        controls: set[UUID] = set()
        wallets: set[tuple[UUID, int]] = set()
        takings: set[tuple[UUID, int]] = set()
        books: set[tuple[str, int]] = set()
        for posting in postings:
            match posting:
                case Payment():
                    money_id = self.id_of.get(posting.money, 0)
                    controls.update(posting.controls)
                    wallets.add((posting.member_id, money_id))
                    takings.add((posting.shop_id, money_id))
                case Charge():
                    money_id = self.id_of.get(posting.money, 0)
                    wallets.add((posting.member_id, money_id))
                    books.add((posting.book, money_id))
        for _, _, member_id, money_id, shop_id, _ in originals:
            wallets.add((member_id, money_id))
            if shop_id:
                takings.add((shop_id, money_id))
        return {
            "issuer": self.issuer_id,
            "controls": list(controls),
            "wallets": _document({"member_id": str(m), "money_id": i} for m, i in wallets),
            "takings": _document({"shop_id": str(s), "money_id": i} for s, i in takings),
            "books": _document({"book": b, "money_id": i} for b, i in books),
            "shops": [shop_id for shop_id, _ in takings],
            "requests": _document(
                {"requester": r, "request_id": i} for r, i in {(p.requester, p.request_id) for p in postings}
            ),
        }

    def _accounts(self, books: Books, rows: list[Any]) -> dict[int, AccountState]:
        by_id = {}
        for account_id, money_id, posted_yen, version, shop_id, book in rows:
            account = AccountState(id=account_id, money_id=money_id, posted_yen=posted_yen, version=version)
            by_id[account_id] = account
            money = self.code_of[money_id]
            if shop_id:
                books.takings[shop_id, money] = account
            else:
                books.books[book, money] = account
        return by_id

    def _wallets(self, books: Books, wallets: list[Any], lots: list[Any], by_id: dict[int, AccountState]) -> None:
        lots_of: dict[UUID, list[AccountState]] = {}
        for wallet_id, account_id, money_id, posted_yen, version in lots:
            lot = AccountState(id=account_id, money_id=money_id, posted_yen=posted_yen, version=version)
            by_id[account_id] = lot
            lots_of.setdefault(wallet_id, []).append(lot)
        for wallet_id, member_id, money_id, status, total_yen in wallets:
            books.wallets[member_id, self.code_of[money_id]] = WalletState(
                id=wallet_id, status=status, total_yen=total_yen, lots=tuple(lots_of.get(wallet_id, ()))
            )

    def _past_request(self, row: Any) -> PastRequest:
        _, _, params_hash, refusal, answer, transaction_id, position, kind, amount_yen, money_id, *rest = row
        if refusal is not None:
            return PastRequest(
                params_hash=bytes(params_hash), outcome=Refused(code=refusal, detail=answer["detail"], hit=True)
            )
        member_id, shop_id, created_at = rest
        return PastRequest(
            params_hash=bytes(params_hash),
            outcome=Accepted(
                transaction_id=transaction_id,
                position=position,
                kind=kind,
                amount_yen=amount_yen,
                money=self.code_of[money_id],
                member_id=member_id,
                shop_id=shop_id,
                created_at=created_at,
                balance_yen=answer["balance_yen"],
                hit=True,
            ),
        )

    def _original(
        self, row: Any, past_transfers: list[Any], refunded: dict[UUID, int], by_id: dict[int, AccountState]
    ) -> Original:
        transaction_id, kind, member_id, money_id, shop_id, amount_yen = row
        return Original(
            kind=kind,
            member_id=member_id,
            money=self.code_of[money_id],
            shop_id=shop_id,
            amount_yen=amount_yen,
            refunded_yen=refunded.get(transaction_id, 0),
            transfers=tuple(
                PastTransfer(debit=by_id[debit], credit=by_id[credit], amount_yen=part_yen)
                for of, debit, credit, part_yen in past_transfers
                if of == transaction_id and kind == "payment"
            ),
        )


def _control(row: Any) -> Control:
    control_id, kind, status, max_per_payment_yen, monies, shops = row
    return Control(
        id=control_id,
        kind=kind,
        status=status,
        max_per_payment_yen=max_per_payment_yen,
        monies=None if monies is None else frozenset(monies),
        shops=None if shops is None else frozenset(shops),
    )


def _document(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as one JSON document for json_to_recordset. Text that PostgreSQL cannot hold (NUL) is refused before."""
    return _ENCODER.encode(list(rows))


def _write(
    connection: Connection, *, issuer_id: UUID, batch: Batch, decision: Decision
) -> psycopg.Cursor[tuple[Any, ...]] | None:
    """Send what was decided. Returns the cursor of the positions taken; None where nothing moved."""
    moved = [ruling for ruling in decision.rulings if isinstance(ruling, NewTransaction)]
    requests = _request_rows(batch, decision)
    if not moved:
        if requests:
            refused = {"issuer": issuer_id, "requests": _document(requests)}
            connection.execute(sql.WRITE_REFUSALS, refused, prepare=True)
        return None
    parameters = {
        "issuer": issuer_id,
        "count": len(moved),
        "transactions": _document(_transaction_row(n, new) for n, new in enumerate(moved, 1)),
        "transfers": _document(_transfer_rows(moved)),
        "accounts": _document(
            {"id": i, "posted_yen": yen, "version": version} for i, (yen, version) in decision.accounts.items()
        ),
        "totals": _document({"id": str(i), "total_yen": yen} for i, yen in decision.wallets.items()),
        "requests": _document(requests),
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
        "member_id": str(new.member_id),
        "money_id": new.money_id,
        "amount_yen": new.amount_yen,
    }
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
            row["taken_at"] = posting.taken_at.isoformat()
    if isinstance(posting, Payment | Refund | Charge) and posting.description:
        row["description"] = posting.description
    return row


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


def _request_rows(batch: Batch, decision: Decision) -> list[dict[str, Any]]:
    """One row per request answered for the first time, refusals included; a name in conflict keeps its first row."""
    rows = []
    for (_, posting), ruling in zip(batch, decision.rulings, strict=True):
        row = {
            "requester": posting.requester,
            "request_id": posting.request_id,
            "params_hash": posting.params_hash.hex(),
        }
        if isinstance(ruling, NewTransaction):
            rows.append({**row, "transaction_id": str(ruling.id), "answer": {"balance_yen": ruling.balance_yen}})
        elif isinstance(ruling, Refused) and not ruling.hit and ruling.code != "request_id_conflict":
            rows.append({**row, "refusal": ruling.code, "answer": {"detail": dict(ruling.detail)}})
    return rows


def _outcomes(decision: Decision, head: tuple[Any, ...] | None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    position, created_at = head if head else (0, None)
    for ruling in decision.rulings:
        if isinstance(ruling, SameAs):
            outcomes.append(replace(outcomes[ruling.index], hit=True))
        elif isinstance(ruling, NewTransaction):
            position += 1
            outcomes.append(_accepted(ruling, position=position, created_at=created_at))
        else:
            outcomes.append(ruling)
    return outcomes


def _accepted(new: NewTransaction, *, position: int, created_at: datetime | None) -> Accepted:
    assert created_at is not None
    return Accepted(
        transaction_id=new.id,
        position=position,
        kind=new.kind,
        amount_yen=new.amount_yen,
        money=new.money,
        member_id=new.member_id,
        shop_id=new.shop_id,
        created_at=created_at,
        balance_yen=new.balance_yen,
    )
