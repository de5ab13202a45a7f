"""Money that arrived and could not be credited by itself: the office credits it, or gives it back outside.

A suspense ends once. Crediting posts first, under a name of its own, and then marks: asked again it posts nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from app import clock
from app.charge.crediting import BOOKS, Key
from app.charge.errors import SuspenseOver, SuspenseUnknown, WhoseSuspense
from app.charge.models import ChargeOrder, ChargeReceived
from app.db import session, transaction
from app.member.models import Member
from app.wallet import directory, ledger
from app.wallet.errors import LedgerRefusal
from app.wallet.postings import SYSTEM, Accepted, Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whose wallet something is to be credited to, where no order says it."""

    member_id: UUID
    money: str


def waiting() -> list[tuple[ChargeReceived, ChargeOrder | None, str | None]]:
    """What the office has to look at, oldest first: the money, its order, its payer's address."""
    query = (
        select(ChargeReceived, ChargeOrder, Member.email)
        .outerjoin(ChargeOrder, ChargeOrder.id == ChargeReceived.order_id)
        .outerjoin(Member, Member.id == ChargeOrder.payer_id)
        .where(ChargeReceived.state == "suspense")
        .order_by(ChargeReceived.created_at)
    )
    return [(row[0], row[1], row[2]) for row in session().execute(query)]


def credit(key: Key, *, by: str, whose: Whose | None = None) -> Accepted:
    """Credit all that arrived, less the order's fee. `by`: who decided it, and why.

    Raises SuspenseUnknown, SuspenseOver, WhoseSuspense, LedgerRefusal, and what `ledger.post` raises.
    """
    with transaction():
        posting = _posting(_open(key), key, whose)
    outcome = ledger.post(posting)
    if not isinstance(outcome, Accepted):
        raise LedgerRefusal(outcome.code, **outcome.detail)
    with transaction():
        row = _open(key)
        row.state, row.transaction_id = "credited", outcome.transaction_id
        row.settled_by, row.settled_at = by, clock.now()
    return outcome


def give_back(key: Key, *, by: str) -> None:
    """Write down that it was given back: at the gateway, by bank transfer. Raises SuspenseUnknown, SuspenseOver."""
    with transaction():
        row = _open(key)
        row.state, row.settled_by, row.settled_at = "returned", by, clock.now()


def _open(key: Key) -> ChargeReceived:
    row = session().get(ChargeReceived, (key.gateway, key.id), with_for_update=True)
    if row is None:
        raise SuspenseUnknown
    if row.state != "suspense":
        raise SuspenseOver(state=row.state)
    return row


def _posting(row: ChargeReceived, key: Key, whose: Whose | None) -> Charge:
    order = session().get(ChargeOrder, row.order_id) if row.order_id is not None else None
    if order is not None:
        whose = Whose(member_id=order.member_id, money=directory.money_by_id(order.money_id).code)
    if whose is None:
        raise WhoseSuspense
    name = f"charge:{key.gateway}:{key.id}:office"
    return Charge(
        requester=SYSTEM,
        request_id=name,
        params_hash=ledger.params_hash({"charge": name, "member": str(whose.member_id), "money": whose.money}),
        member_id=whose.member_id,
        money=whose.money,
        amount_yen=max(1, row.amount_yen - (order.fee_yen if order is not None else 0)),
        book=BOOKS[order.method if order is not None else "konbini"],
        agreed_before=True,
        metadata={"gateway": key.gateway, "received_id": key.id, **({"charge_id": str(order.id)} if order else {})},
    )
