"""Settlements as rows: making the next one of a shop, and the terms it is made by. Called inside `transaction()`."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db import session
from app.errors import NotFound
from app.wallet.models import Money, Shop
from app.wallet.settlement import rules, takings
from app.wallet.settlement.errors import NothingToSettle, PaidMoneyIsReimbursed
from app.wallet.settlement.models import Settlement, SettlementLine, SettlementTerms
from app.wallet.settlement.positions import Cut
from app.wallet.settlement.rules import Line, Terms


def next_settlement(*, shop_id: UUID, cut: Cut) -> Settlement:
    """The settlement that covers a shop up to `cut`: the last one where nothing came after it, else a new one.

    A last one that is not closed yet comes first, whatever it covers. The shop's row is locked, so two callers get
    one settlement. Raises NothingToSettle where there was never anything.
    """
    shop = session().scalars(select(Shop).filter_by(id=shop_id).with_for_update(key_share=True)).one_or_none()
    if shop is None:
        raise NotFound
    last = _last(shop_id)
    if last is not None and (last.state == "closing" or last.through_position >= cut.position):
        return last
    moved = takings.movements(
        shop_id=shop_id, after=last.through_position if last is not None else 0, through=cut.position
    )
    if not moved:
        if last is None:
            raise NothingToSettle(shop=shop.code)
        return last
    return _write(shop, last, cut, first_day=min(one.first_day for one in moved), lines=_lines(shop_id, last, moved))


def mark_closed(settlement_id: UUID, *, transaction_id: UUID | None) -> None:
    """Note that the ledger has posted it (or had nothing to post). Once more is no harm."""
    session().execute(
        update(Settlement)
        .where(Settlement.id == settlement_id, Settlement.state == "closing")
        .values(state="closed", transaction_id=transaction_id, closed_at=func.clock_timestamp())
    )


def set_terms(*, shop: Shop, money: Money, terms: Terms) -> None:
    """What is agreed with a shop of one money, from the next settlement on. Raises PaidMoneyIsReimbursed."""
    if money.backing == "paid" and not terms.reimbursed:
        raise PaidMoneyIsReimbursed(money=money.code)
    values = {"fee_rate_bp": terms.fee_rate_bp, "fee_rounding": terms.fee_rounding, "reimbursed": terms.reimbursed}
    session().execute(
        insert(SettlementTerms)
        .values(shop_id=shop.id, money_id=money.id, issuer_id=shop.issuer_id, **values)
        .on_conflict_do_update(index_elements=["shop_id", "money_id"], set_=values)
    )


def terms_of(shop_id: UUID) -> dict[int, Terms]:
    """What is agreed with a shop, by money; of the others, nothing is."""
    rows = session().scalars(select(SettlementTerms).filter_by(shop_id=shop_id))
    return {
        row.money_id: Terms(fee_rate_bp=row.fee_rate_bp, fee_rounding=row.fee_rounding, reimbursed=row.reimbursed)
        for row in rows
    }


def _last(shop_id: UUID) -> Settlement | None:
    query = select(Settlement).filter_by(shop_id=shop_id).order_by(Settlement.number.desc()).limit(1)
    return session().scalars(query.execution_options(populate_existing=True)).one_or_none()


def _lines(shop_id: UUID, last: Settlement | None, moved: list[takings.MoneyMovements]) -> list[Line]:
    """One line for each money that moved, or of which the shop owes something from before."""
    owed = _carried(last)
    terms = terms_of(shop_id)
    still = [(money_id, owed[money_id][0], rules.Movements()) for money_id in owed.keys() - {m.money_id for m in moved}]
    return [
        rules.line(
            money_id=money_id,
            backing=backing,
            movements=movements,
            terms=terms.get(money_id, rules.NO_TERMS),
            carried_in_yen=owed[money_id][1] if money_id in owed else 0,
        )
        for money_id, backing, movements in [(m.money_id, m.backing, m.movements) for m in moved] + sorted(still)
    ]


def _carried(last: Settlement | None) -> dict[int, tuple[str, int]]:
    """What a shop owes after its last settlement: the money's backing and the yen, by money."""
    if last is None:
        return {}
    query = select(SettlementLine.money_id, SettlementLine.backing, SettlementLine.carried_out_yen)
    rows = session().execute(query.where(SettlementLine.settlement_id == last.id, SettlementLine.carried_out_yen < 0))
    return {money_id: (backing, yen) for money_id, backing, yen in rows}


def _write(shop: Shop, last: Settlement | None, cut: Cut, *, first_day: date, lines: list[Line]) -> Settlement:
    row = Settlement(
        issuer_id=shop.issuer_id,
        shop_id=shop.id,
        number=last.number + 1 if last is not None else 1,
        after_number=last.number if last is not None else None,
        after_position=last.through_position if last is not None else 0,
        through_position=cut.position,
        first_day=first_day,
        through_day=cut.day,
        settled_yen=sum(line.settled_yen for line in lines),
        payable_yen=sum(line.payable_yen for line in lines),
    )
    session().add(row)
    session().flush()
    session().add_all(_line_row(row, line) for line in lines)
    session().flush()
    return row


def _line_row(settlement: Settlement, line: Line) -> SettlementLine:
    moved, terms = line.movements, line.terms
    return SettlementLine(
        settlement_id=settlement.id,
        money_id=line.money_id,
        issuer_id=settlement.issuer_id,
        backing=line.backing,
        payments=moved.payments,
        payments_yen=moved.payments_yen,
        refunds=moved.refunds,
        refunds_yen=moved.refunds_yen,
        others_yen=moved.others_yen,
        carried_in_yen=line.carried_in_yen,
        carried_out_yen=line.carried_out_yen,
        settled_yen=line.settled_yen,
        reimbursed=terms.reimbursed,
        fee_rate_bp=terms.fee_rate_bp,
        fee_rounding=terms.fee_rounding,
        fee_yen=line.fee_yen,
        payable_yen=line.payable_yen,
    )
