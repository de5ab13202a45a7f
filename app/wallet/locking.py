"""Step one of a batch: what it touches, locked in one order and read, as the `Books` that `decide` looks at.

Takings and books are locked here only for a refund, which is judged by them; else when the batch is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg

from app.wallet import statements as sql
from app.wallet.books import AccountState, Books, Control, Original, PastRequest, PastTransfer, WalletState
from app.wallet.documents import document
from app.wallet.postings import SETTLED_WITH_SHOPS, Accepted, Charge, Payment, Posting, Refund, Refused, Settle

Connection = psycopg.Connection[tuple[Any, ...]]


class Monies:
    """The issuer's monies by id and by code.

    They are never renamed or removed, so a process may remember them; what it does not know may be new, and is
    looked for once more.
    """

    def __init__(self, connection: Connection, issuer_id: UUID) -> None:
        self._connection = connection
        self._issuer_id = issuer_id
        self._codes: dict[int, str] = {}
        self._ids: dict[str, int] = {}

    def code_of(self, money_id: int) -> str:
        """The code of the money of a row that refers to it."""
        if money_id not in self._codes:
            self._read()
        return self._codes[money_id]

    def id_of(self, code: str) -> int:
        """The id of a money. One that nobody opened has the id 0, by which no row is found."""
        if code not in self._ids:
            self._read()
        return self._ids.get(code, 0)

    def _read(self) -> None:
        rows = self._connection.execute(sql.MONIES, {"issuer": self._issuer_id}).fetchall()
        self._codes = dict(rows)
        self._ids = {code: money_id for money_id, code in rows}


class Reader:
    """What one batch touches, locked and read."""

    def __init__(self, connection: Connection, *, issuer_id: UUID, time_zone: str, monies: Monies) -> None:
        self.connection = connection
        self.issuer_id = issuer_id
        self.time_zone = time_zone
        self.monies = monies

    def read(self, postings: Sequence[Posting]) -> Books:
        refunds = [p.transaction_id for p in postings if isinstance(p, Refund)]
        originals, past_transfers, refunded = self._originals(refunds) if refunds else ([], [], [])
        parameters = self._keys(postings, originals)
        controls, wallets, accounts, lots, shops, requests, [[today]] = self._rows(
            parameters,
            sql.LOCK_CONTROLS,
            sql.LOCK_WALLETS,
            sql.LOCK_ACCOUNTS if refunds else sql.ACCOUNTS,  # a refund may not take more than the shop still has
            sql.LOTS,
            sql.SHOPS,
            sql.REQUESTS,
            sql.TODAY,
        )
        books = Books(today=today, shops=dict(shops))
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
        """The keys of what is to be locked, each once."""
        controls: set[UUID] = set()
        wallets: set[tuple[UUID, int]] = set()
        takings: set[tuple[UUID, int]] = set()
        books: set[tuple[str, int]] = set()
        for posting in postings:
            match posting:
                case Payment():
                    money_id = self.monies.id_of(posting.money)
                    controls.update(posting.controls)
                    wallets.add((posting.member_id, money_id))
                    takings.add((posting.shop_id, money_id))
                case Charge():
                    money_id = self.monies.id_of(posting.money)
                    wallets.add((posting.member_id, money_id))
                    books.add((posting.book, money_id))
                case Settle():
                    for money in posting.amounts:
                        takings.add((posting.shop_id, self.monies.id_of(money)))
                        books.add((SETTLED_WITH_SHOPS, self.monies.id_of(money)))
        for _, _, member_id, money_id, shop_id, _ in originals:
            wallets.add((member_id, money_id))
            if shop_id:
                takings.add((shop_id, money_id))
        return {
            "issuer": self.issuer_id,
            "zone": self.time_zone,
            "controls": list(controls),
            "wallets": document({"member_id": str(m), "money_id": i} for m, i in wallets),
            "takings": document({"shop_id": str(s), "money_id": i} for s, i in takings),
            "books": document({"book": b, "money_id": i} for b, i in books),
            "shops": [shop_id for shop_id, _ in takings],
            "requests": document(
                {"requester": r, "request_id": i} for r, i in {(p.requester, p.request_id) for p in postings}
            ),
        }

    def _accounts(self, books: Books, rows: list[Any]) -> dict[int, AccountState]:
        by_id = {}
        for account_id, money_id, posted_yen, shop_id, book in rows:
            account = AccountState(id=account_id, money_id=money_id, posted_yen=posted_yen)
            by_id[account_id] = account
            money = self.monies.code_of(money_id)
            if shop_id:
                books.takings[shop_id, money] = account
            else:
                books.books[book, money] = account
        return by_id

    def _wallets(self, books: Books, wallets: list[Any], lots: list[Any], by_id: dict[int, AccountState]) -> None:
        lots_of: dict[UUID, list[AccountState]] = {}
        for wallet_id, account_id, money_id, posted_yen in lots:
            lot = AccountState(id=account_id, money_id=money_id, posted_yen=posted_yen)
            by_id[account_id] = lot
            lots_of.setdefault(wallet_id, []).append(lot)
        for wallet_id, member_id, money_id, status, total_yen in wallets:
            books.wallets[member_id, self.monies.code_of(money_id)] = WalletState(
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
                money=self.monies.code_of(money_id),
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
            money=self.monies.code_of(money_id),
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
    control_id, kind, status, payment_yen, day_yen, month_yen, valid_until, monies, shops, *spent = row
    spent_on, spent_day_yen, spent_month_yen = spent
    return Control(
        id=control_id,
        kind=kind,
        status=status,
        max_per_payment_yen=payment_yen,
        max_per_day_yen=day_yen,
        max_per_month_yen=month_yen,
        valid_until=valid_until,
        monies=None if monies is None else frozenset(monies),
        shops=None if shops is None else frozenset(shops),
        spent_on=spent_on,
        spent_day_yen=spent_day_yen,
        spent_month_yen=spent_month_yen,
    )
