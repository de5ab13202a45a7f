"""Closing a member's wallets for ever (解約): paid value is paid out for a legal reason, free value is forfeited.

Each wallet is closed by a posting of its own, named after it, and what follows for the account is done after the last
one. To die between any two steps does no harm: asked again, it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count
from uuid import UUID

from sqlalchemy import select, text

from app.db import session, transaction
from app.issuer import current_issuer, issuer_today
from app.member import service as members
from app.money import format_yen
from app.oauth import grants_service
from app.wallet import ledger, notices
from app.wallet.hold_models import StopEvent
from app.wallet.models import Account, Money, Wallet
from app.wallet.postings import SYSTEM, Close, Outcome, Refused
from app.wallet.spend_control import GrantControls
from app.wallet.suspension import locked_status

REASONS = ("small_amount", "unavoidable", "abolition")
"""資金決済法20条1項 (`abolition`) and 5項, with 前払式支払手段に関する内閣府令42条 (see `app.wallet.payout`)."""

_PAID_OUT = """
SELECT coalesce(sum(t.amount_yen), 0)::bigint
  FROM transaction c
  JOIN transfer t ON t.transaction_id = c.id
  JOIN account a ON a.id = t.credit_account_id AND a.book = 'refunded_in_cash'
 WHERE c.kind = 'close' AND """
_OF_MEMBER = text(f"{_PAID_OUT} c.member_id = :member")
_BY_CLOSING = text(f"{_PAID_OUT} c.id = :closing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What closing a wallet would do now. `held_yen` of it must be captured or released first."""

    wallet_id: UUID
    money: str
    paid_out_yen: int
    forfeited_yen: int
    expired_yen: int
    held_yen: int


def plans(member_id: UUID, *, money: str | None = None) -> list[Plan]:
    """The member's wallets that are not closed, all or the one of a money. Called inside `transaction()`."""
    columns = (Wallet.id, Wallet.expires_on, Wallet.pending_yen, Money.code, Money.backing)
    query = select(*columns).join_from(Wallet, Money).where(Wallet.member_id == member_id, Wallet.status != "closed")
    if money is not None:
        query = query.where(Money.code == money)
    found = session().execute(query.order_by(Money.position, Money.code)).all()
    return [_plan(*row, today=issuer_today()) for row in found]


def close_wallet(member_id: UUID, plan: Plan, *, reason: str, period_begins_on: date) -> Outcome:
    """Close one wallet, once, however often it is asked. Outside of a transaction; raises as `ledger.post`.

    A refusal is kept under its name like any answer; asked again later (the hold was released, a new period began), it
    is a new request under the wallet's next name.
    """
    for attempt in count(1):
        name = f"close:{plan.wallet_id}" + (f":{attempt}" if attempt > 1 else "")
        outcome = ledger.post(
            Close(
                requester=SYSTEM,
                request_id=name,
                params_hash=ledger.params_hash({"close": name, "reason": reason}),
                member_id=member_id,
                money=plan.money,
                reason=reason,
                period_begins_on=period_begins_on,
            )
        )
        if isinstance(outcome, Refused) and (outcome.hit or outcome.code == "request_id_conflict"):
            continue
        return outcome
    raise AssertionError("there is always another name")


def finish(member_id: UUID, *, reason: str, actor: str) -> bool:
    """Write down which wallets were closed, and close the account where all are; returns whether it is closed.

    A closed account has no sign-in, no session, no permission and no token. Called inside `transaction()`.
    """
    status = locked_status(member_id)
    _write_down(member_id, reason=reason, actor=actor)
    statuses = set(session().scalars(select(Wallet.status).where(Wallet.member_id == member_id)))
    if statuses != {"closed"}:
        return False
    if status != "closed":
        members.close(member_id)
        grants_service.revoke_tokens_of_member(member_id)
        grants_service.revoke_all(member_id, controls=GrantControls())
        paid_out_yen = paid_out(member_id)
        session().add(_event(member_id, actor=actor, reason=reason))
        notices.send(member_id, "account_closed", paid_out=format_yen(paid_out_yen) if paid_out_yen else "")
    return True


def close(
    member_id: UUID, chosen: Sequence[Plan], *, reason: str, period_begins_on: date, actor: str
) -> tuple[list[Outcome], bool]:
    """Close the chosen wallets one after the other, then `finish`.

    Returns what became of each, in their order, and whether the account is closed. Outside of a transaction. Raises as
    `ledger.post`: ask again.
    """
    outcomes = [close_wallet(member_id, plan, reason=reason, period_begins_on=period_begins_on) for plan in chosen]
    with transaction():
        return outcomes, finish(member_id, reason=reason, actor=actor)


def paid_out(member_id: UUID) -> int:
    """What the closing of a member's wallets has paid out in all, in yen. Called inside `transaction()`."""
    return int(session().execute(_OF_MEMBER, {"member": member_id}).scalar_one())


def paid_out_by(transaction_id: UUID) -> int:
    """What one closing paid out, in yen: not what expired with it, or was forfeited. Called inside `transaction()`."""
    return int(session().execute(_BY_CLOSING, {"closing": transaction_id}).scalar_one())


def _plan(wallet_id: UUID, expires_on: date | None, held_yen: int, money: str, backing: str, *, today: date) -> Plan:
    lots = select(Account.posted_yen, Account.expires_on).where(Account.wallet_id == wallet_id)
    left_yen = expired_yen = 0
    for posted_yen, lot_expires_on in session().execute(lots):
        last_day = expires_on if lot_expires_on is None else lot_expires_on
        if last_day is not None and last_day < today:
            expired_yen += posted_yen
        else:
            left_yen += posted_yen
    return Plan(
        wallet_id=wallet_id,
        money=money,
        paid_out_yen=left_yen if backing == "paid" else 0,
        forfeited_yen=left_yen if backing == "free" else 0,
        expired_yen=expired_yen,
        held_yen=held_yen,
    )


def _write_down(member_id: UUID, *, reason: str, actor: str) -> None:
    """One event for each closed wallet, also for those closed by a run that died before it came to this."""
    closed = select(Money.code).join_from(Wallet, Money).where(Wallet.member_id == member_id, Wallet.status == "closed")
    known = set(
        session().scalars(
            select(StopEvent.reason).where(StopEvent.member_id == member_id, StopEvent.action == "closed")
        )
    )
    for money in session().scalars(closed.order_by(Money.position, Money.code)):
        if not known.intersection(f"{one}: {money}" for one in REASONS):
            session().add(_event(member_id, actor=actor, reason=f"{reason}: {money}"))


def _event(member_id: UUID, *, actor: str, reason: str) -> StopEvent:
    return StopEvent(issuer_id=current_issuer().id, member_id=member_id, action="closed", actor=actor, reason=reason)
