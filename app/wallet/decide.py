"""The law of the ledger: `decide(books, batch) -> Decision`. Pure: no clock, no database, no chance.

Postings are judged in order of arrival, each against what the earlier ones of its batch left; a refused one
changes nothing and the next goes on. Each kind's rules are in `app/wallet/law`. The database holds them a second time
(CHECK, UNIQUE, triggers).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from app.wallet.books import Books, Decision, NewTransaction, Ruling, SameAs
from app.wallet.law.crediting import adjustment, charge, close, expiry, move
from app.wallet.law.draft import Draft, Refusal
from app.wallet.law.paying import capture, hold, payment, release
from app.wallet.law.refunding import refund
from app.wallet.law.settling import settle
from app.wallet.postings import (
    Adjustment,
    Capture,
    Charge,
    Close,
    Declined,
    Expiry,
    Hold,
    Move,
    Payment,
    Posting,
    Refund,
    Refused,
    Release,
    Settle,
)


def decide(books: Books, batch: Sequence[tuple[UUID, Posting]]) -> Decision:
    """Judge each posting of `batch`, given with the id its transaction would get.

    Returns one ruling per posting, in the batch's order: a transaction to write, a refusal, or the answer that
    an earlier request of the same name already got.
    """
    draft = Draft(books)
    rulings: list[Ruling] = []
    first: dict[tuple[str, str], int] = {}
    for index, (transaction_id, posting) in enumerate(batch):
        if is_dry_run(posting):
            rulings.append(_try(draft.fork(), transaction_id, posting))
            continue
        key = (posting.requester, posting.request_id)
        repeated = _repeated(books, batch, first.get(key), posting)
        if repeated is not None:
            rulings.append(repeated)
            continue
        first[key] = index
        entries = draft.entries
        try:
            rulings.append(_judge(draft, transaction_id, posting))
        except Refusal as refusal:
            assert draft.entries == entries, "a posting was refused after it had changed the books"
            rulings.append(refusal.refused)
    return Decision(
        rulings=tuple(rulings),
        accounts=draft.accounts,
        wallets=draft.wallets,
        controls=draft.controls,
        codes=draft.codes,
        paid_out=draft.paid_out,
    )


def is_dry_run(posting: Posting) -> bool:
    """Whether a posting asks what would happen, and nothing else."""
    return isinstance(posting, Payment | Refund | Move) and posting.dry_run


def _try(draft: Draft, transaction_id: UUID, posting: Posting) -> Ruling:
    """What would become of a posting now."""
    try:
        new = _judge(draft, transaction_id, posting)
    except Refusal as refusal:
        return refusal.refused
    new.dry_run = True
    return new


def _repeated(
    books: Books, batch: Sequence[tuple[UUID, Posting]], earlier: int | None, posting: Posting
) -> Ruling | None:
    """The answer for a request whose name was seen before, in the books or earlier in this batch."""
    past = books.requests.get((posting.requester, posting.request_id))
    if past is not None:
        known_hash = past.params_hash
    elif earlier is not None:
        known_hash = batch[earlier][1].params_hash
    else:
        return None
    if known_hash != posting.params_hash:
        return Refused(code="request_id_conflict", detail={"idempotency_key": posting.request_id})
    if past is not None:
        return past.outcome
    assert earlier is not None
    return SameAs(index=earlier)


def _judge(draft: Draft, transaction_id: UUID, posting: Posting) -> NewTransaction:
    match posting:
        case Payment():
            return payment(draft, transaction_id, posting)
        case Refund():
            return refund(draft, transaction_id, posting)
        case Charge():
            return charge(draft, transaction_id, posting)
        case Move():
            return move(draft, transaction_id, posting)
        case Hold():
            return hold(draft, transaction_id, posting)
        case Capture():
            return capture(draft, transaction_id, posting)
        case Release():
            return release(draft, transaction_id, posting)
        case Adjustment():
            return adjustment(draft, transaction_id, posting)
        case Expiry():
            return expiry(draft, transaction_id, posting)
        case Close():
            return close(draft, transaction_id, posting)
        case Settle():
            return settle(draft, transaction_id, posting)
        case Declined():
            raise Refusal(posting.refused.code, **posting.refused.detail)
    raise AssertionError(f"no law for {type(posting).__name__}")
