"""Step one of a batch: what it touches, locked in one order and read, as the `Books` that `decide` looks at.

The order: originals of refunds, holds, one-time codes, spend controls, quotas, wallets, accounts. Takings and books are
locked here only where a posting is judged by them, such as a refund; else when the batch is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from app.wallet import statements as sql
from app.wallet.books import (
    AccountState,
    Books,
    CodeState,
    Control,
    HoldState,
    Original,
    PastRequest,
    PastTransfer,
    WalletState,
)
from app.wallet.documents import array, document
from app.wallet.keys import Keys, keys_of, monies_of, shops_of
from app.wallet.law.lots import missing_lots
from app.wallet.postings import Accepted, Capture, Part, Posting, Refund, Refused, Release
from app.wallet.rulebook import Connection, Rulebook


class Reader:
    """What one batch touches, locked and read."""

    def __init__(
        self, connection: Connection, *, issuer_id: UUID, time_zone: str, rulebook: Rulebook, repeats: bool
    ) -> None:
        self.connection = connection
        self.issuer_id = issuer_id
        self.time_zone = time_zone
        self.rulebook = rulebook
        self.repeats = repeats
        """Whether to look for requests that were answered before."""

    def read(self, postings: Sequence[Posting]) -> Books:
        """Raises RulesChanged where the rules have changed since they were read: begin again."""
        originals = self._originals([p.transaction_id for p in postings if isinstance(p, Refund)])
        holds, lot_monies = self._holds([p.hold_id for p in postings if isinstance(p, Capture | Release)])
        self.rulebook.need(
            monies=monies_of(postings)
            | {original.money for original in originals.values()}
            | {past.money for original in originals.values() for past in original.transfers},
            shops=shops_of(postings, originals.values(), holds.values()),
        )
        rules = self.rulebook.rules
        keys = keys_of(postings, rules=rules, originals=originals, holds=holds, lot_monies=lot_monies)
        books = self._books(keys, postings)
        books.originals, books.holds = originals, holds
        if lots := missing_lots(books, postings):
            self._make_lots(books, lots)
        return books

    def _books(self, keys: Keys, postings: Sequence[Posting]) -> Books:
        names = {(p.requester, p.request_id) for p in postings} if self.repeats else ()
        statements = (
            *([sql.LOCK_CODES] if keys.codes else []),
            sql.LOCK_CONTROLS,
            sql.LOCK_WALLETS,
            *([sql.LOCK_QUOTAS] if keys.periods else []),
            *([sql.LOCK_ACCOUNTS] if keys.judged else []),
            sql.LOTS,
            *([sql.REQUESTS] if names else []),
            sql.TODAY,
        )
        parameters = {
            "issuer": self.issuer_id,
            "zone": self.time_zone,
            "controls": array(list(keys.controls)),
            "members": array([member_id for member_id, _ in keys.wallets]),
            "monies": array([self.rulebook.id_of(money) for _, money in keys.wallets]),
            "accounts": list(keys.accounts),
            "codes": list(keys.codes),
            "periods": list(keys.periods),
            "requests": document({"requester": r, "request_id": i} for r, i in names),
        }
        rows = dict(zip(statements, self._rows(parameters, *statements), strict=True))
        [(today, version)] = rows[sql.TODAY]
        self.rulebook.check(version)
        books = Books(today=today, rules=self.rulebook.rules)
        books.controls = {row[0]: _control(row) for row in rows[sql.LOCK_CONTROLS]}
        books.codes = {row[0]: CodeState(id=row[0], status=row[1]) for row in rows.get(sql.LOCK_CODES, ())}
        books.quotas = dict(rows.get(sql.LOCK_QUOTAS, ()))
        for account_id, money_id, posted_yen, floor_yen in rows.get(sql.LOCK_ACCOUNTS, ()):
            books.accounts[account_id] = AccountState(account_id, money_id, posted_yen, floor_yen=floor_yen)
        self._wallets(books, rows[sql.LOCK_WALLETS], rows[sql.LOTS])
        books.requests = {(row[0], row[1]): self._past_request(row) for row in rows.get(sql.REQUESTS, ())}
        return books

    def _rows(self, parameters: Mapping[str, Any], *statements: str) -> list[list[Any]]:
        """Send all statements, then wait once for all their rows."""
        cursors = [self.connection.execute(statement, parameters, prepare=True) for statement in statements]
        return [cursor.fetchall() for cursor in cursors]

    def _originals(self, ids: list[UUID]) -> dict[UUID, Original]:
        if not ids:
            return {}
        rows, transfers, refunded = self._rows(
            {"originals": ids}, sql.LOCK_ORIGINALS, sql.ORIGINAL_TRANSFERS, sql.REFUNDED
        )
        refunded_yen = dict(refunded)
        past: dict[UUID, list[PastTransfer]] = {}
        for of, debit_id, credit_id, money_id, amount_yen, debit_outside, credit_outside in transfers:
            outside = tuple(i for i, is_out in ((debit_id, debit_outside), (credit_id, credit_outside)) if is_out)
            money = self.rulebook.code_of(money_id)
            past.setdefault(of, []).append(PastTransfer(debit_id, credit_id, money, amount_yen, outside))
        return {
            row[0]: Original(
                kind=row[1],
                member_id=row[2],
                money=self.rulebook.code_of(row[3]),
                shop_id=row[4],
                amount_yen=row[5],
                refunded_yen=refunded_yen.get(row[0], 0),
                transfers=tuple(past.get(row[0], ())) if row[1] in ("payment", "capture") else (),
            )
            for row in rows
        }

    def _holds(self, ids: list[UUID]) -> tuple[dict[UUID, HoldState], dict[int, str]]:
        """The holds, and the money of each lot they set aside."""
        if not ids:
            return {}, {}
        parameters = {"holds": ids, "zone": self.time_zone}
        rows, part_rows = self._rows(parameters, sql.LOCK_HOLDS, sql.HOLD_PARTS)
        parts: dict[UUID, list[tuple[int, int]]] = {}
        monies: dict[int, str] = {}
        for hold_id, account_id, amount_yen, money_id in part_rows:
            parts.setdefault(hold_id, []).append((account_id, amount_yen))
            monies[account_id] = self.rulebook.code_of(money_id)
        holds = {
            hold_id: HoldState(
                id=hold_id,
                member_id=member_id,
                money=self.rulebook.code_of(money_id),
                shop_id=shop_id,
                requester=requester,
                controls=tuple(controls),
                amount_yen=amount_yen,
                state=state,
                is_over=is_over,
                held_on=held_on,
                parts=tuple(parts[hold_id]),
            )
            for hold_id, member_id, money_id, shop_id, requester, controls, amount_yen, state, is_over, held_on in rows
        }
        return holds, monies

    def _wallets(self, books: Books, wallets: list[Any], lots: list[Any]) -> None:
        by_id: dict[UUID, WalletState] = {}
        for wallet_id, member_id, money_id, *rest in wallets:
            money = self.rulebook.code_of(money_id)
            by_id[wallet_id] = books.wallets[member_id, money] = WalletState(wallet_id, member_id, money, *rest)
        for wallet_id, account_id, money_id, posted_yen, pending_yen, expires_on in lots:
            wallet = by_id[wallet_id]
            lot = AccountState(account_id, money_id, posted_yen, pending_yen, expires_on)
            wallet.lots.append(lot)
            books.lots[account_id] = wallet, lot

    def _make_lots(self, books: Books, wanted: set[tuple[UUID, str, Any]]) -> None:
        """Make lots that are not there, under their wallets' locks, and put each in its place by date."""
        wallets = {wallet.id: wallet for wallet in books.wallets.values()}
        rows = document({"wallet_id": w, "expires_on": d.isoformat()} for w, _, d in sorted(wanted, key=str))
        parameters = {"issuer": self.issuer_id, "lots": rows}
        for wallet_id, account_id, money_id, expires_on in self._rows(parameters, sql.NEW_LOTS)[0]:
            wallet = wallets[wallet_id]
            lot = AccountState(account_id, money_id, 0, 0, expires_on)
            wallet.lots.append(lot)
            wallet.lots.sort(key=lambda one: (one.expires_on is None, one.expires_on))
            books.lots[account_id] = wallet, lot

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
                money=self.rulebook.code_of(money_id),
                member_id=member_id,
                shop_id=shop_id,
                created_at=created_at,
                balance_yen=answer["balance_yen"],
                parts=tuple(Part(*part) for part in answer.get("parts", ())),
                points_yen=answer.get("points_yen", 0),
                points_missing_yen=answer.get("points_missing_yen", 0),
                hit=True,
            ),
        )


@lru_cache(maxsize=1024)
def _shops(literal: str) -> frozenset[UUID]:
    """Out of an array literal of ids: members allow an app the same few shops, so each list is read once."""
    return frozenset(UUID(shop_id) for shop_id in literal[1:-1].split(",") if shop_id)


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
        shops=None if shops is None else _shops(shops),
        spent_on=spent_on,
        spent_day_yen=spent_day_yen,
        spent_month_yen=spent_month_yen,
    )
