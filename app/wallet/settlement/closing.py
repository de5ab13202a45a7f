"""Closing a shop's period: first the settlement's row, then the ledger, then the mark that it is done.

Each step commits by itself, and each can be done again: the posting carries the settlement's own name, so the ledger
moves nothing twice. Where a process dies in between, the next close of the shop, or `finish_all`, goes on from there.
"""

from __future__ import annotations

import logging
from datetime import date
from uuid import UUID

from sqlalchemy import select

from app.db import session, transaction
from app.errors import DomainError
from app.issuer import current_issuer
from app.wallet import ledger
from app.wallet.models import Money
from app.wallet.postings import SYSTEM, Accepted, Settle
from app.wallet.settlement import positions, service
from app.wallet.settlement.errors import SettlementNotPosted
from app.wallet.settlement.models import Settlement, SettlementLine

log = logging.getLogger(__name__)


def close(*, shop_id: UUID, day: date | None = None) -> UUID:
    """Close a shop through the end of `day` (None or today: through now). Returns the id of the settlement.

    The same again gives the same settlement, as long as nothing came to the shop in between. Called outside of a
    transaction. Raises NotFound, SettlementDayInFuture, NothingToSettle, SettlementNotPosted, TemporarilyUnavailable,
    OutcomeUnknown.
    """
    cut = positions.cut(issuer_id=current_issuer().id, day=day)
    while True:
        with transaction():
            row = service.next_settlement(shop_id=shop_id, cut=cut)
            settlement_id, was_open = row.id, row.state == "closing" and row.through_position < cut.position
        finish(settlement_id)
        if not was_open:  # else it was an earlier one that somebody left unfinished
            return settlement_id


def finish(settlement_id: UUID) -> None:
    """Post a settlement and mark it closed, unless that is done. Raises SettlementNotPosted and what `post` raises."""
    with transaction():
        posting = _posting(settlement_id)
    if posting is None:
        return
    posted = None
    if posting.amounts:
        outcome = ledger.post(posting)
        if not isinstance(outcome, Accepted):
            raise SettlementNotPosted(settlement=str(settlement_id), problem=outcome.code)
        posted = outcome.transaction_id
    with transaction():
        service.mark_closed(settlement_id, transaction_id=posted)


def finish_all() -> dict[UUID, DomainError | None]:
    """Finish every settlement that died on its way; by its id, None or why it could not be."""
    with transaction():
        ids = list(session().scalars(select(Settlement.id).filter_by(state="closing").order_by(Settlement.id)))
    done: dict[UUID, DomainError | None] = dict.fromkeys(ids)
    for settlement_id in ids:
        try:
            finish(settlement_id)
        except DomainError as error:
            log.warning("settlement %s is not closed: %s", settlement_id, error.code)
            done[settlement_id] = error
    return done


def _posting(settlement_id: UUID) -> Settle | None:
    """The posting of a settlement that is not closed yet: what leaves the takings, by the money's code."""
    row = session().get_one(Settlement, settlement_id)
    if row.state != "closing":
        return None
    lines = (
        select(Money.code, SettlementLine.settled_yen)
        .join(Money, Money.id == SettlementLine.money_id)
        .where(SettlementLine.settlement_id == settlement_id, SettlementLine.settled_yen > 0)
        .order_by(Money.code)
    )
    amounts = {row.code: row.settled_yen for row in session().execute(lines)}
    return Settle(
        requester=SYSTEM,
        request_id=f"settlement:{settlement_id}",
        params_hash=ledger.params_hash({"settlement": str(settlement_id), "amounts": amounts}),
        shop_id=row.shop_id,
        amounts=amounts,
    )
