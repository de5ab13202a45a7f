"""What the issuer lets members charge, and the limits by it. The database holds the amounts a second time (trigger)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select

from app import clock
from app.charge.errors import ChargeLimitExceeded
from app.charge.models import OPEN, PAID, ChargeOrder, ChargeRule
from app.db import session
from app.issuer import current_issuer, issuer_today, issuer_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSums:
    """What a member has charged by card, paid or still open, by the issuer's day and month."""

    today_yen: int
    month_yen: int
    has_old_card: bool
    """Whether one of their cards is past its first days."""


def rules() -> ChargeRule:
    """The issuer's rules, or the defaults. Needs a transaction."""
    issuer_id = current_issuer().id
    found = session().get(ChargeRule, issuer_id)
    return found or ChargeRule(**_DEFAULTS, issuer_id=issuer_id)


_DEFAULTS = {
    column.name: column.default.arg
    for column in ChargeRule.__table__.columns
    if column.default is not None and column.default.is_scalar
}


def max_yen(rule: ChargeRule, method: str) -> int:
    return rule.card_max_yen if method == "card" else rule.konbini_max_yen


def fee_yen(rule: ChargeRule, method: str) -> int:
    return rule.card_fee_yen if method == "card" else rule.konbini_fee_yen


def pay_until(rule: ChargeRule) -> datetime:
    """The end of a slip's last day, in the issuer's time zone."""
    last = issuer_today() + timedelta(days=rule.konbini_days)
    return datetime.combine(last, time(23, 59, 59), issuer_zone())


def check_amount(rule: ChargeRule, *, method: str, amount_yen: int) -> None:
    """Raises ChargeLimitExceeded."""
    most = max_yen(rule, method)
    if amount_yen > most:
        raise ChargeLimitExceeded(limit="max_yen", max_yen=most)
    if amount_yen < rule.min_yen:
        raise ChargeLimitExceeded(limit="min_yen", min_yen=rule.min_yen)
    if amount_yen % rule.step_yen:
        raise ChargeLimitExceeded(limit="step_yen", step_yen=rule.step_yen)


def check_card_sums(rule: ChargeRule, *, payer_id: UUID, amount_yen: int) -> None:
    """What one member may charge by card. Which card it will be is not known before it has paid: whoever has none that
    is past its first days is held to the limit of new cards now, and the others when the card is seen (crediting.py).

    Raises ChargeLimitExceeded.
    """
    sums = card_sums(rule, payer_id=payer_id)
    for limit, most, used in _limits(rule, sums):
        if most is not None and used + amount_yen > most:
            raise ChargeLimitExceeded(limit=limit, max_yen=most, left_yen=max(0, most - used))


def card_left_yen(rule: ChargeRule, *, payer_id: UUID) -> int | None:
    """How much more a member may charge by card now; None: as much as they like."""
    sums = card_sums(rule, payer_id=payer_id)
    left = [max(0, most - used) for _, most, used in _limits(rule, sums) if most is not None]
    return min(left) if left else None


def _limits(rule: ChargeRule, sums: CardSums) -> list[tuple[str, int | None, int]]:
    new_card = None if sums.has_old_card else rule.new_card_max_per_day_yen
    return [
        ("new_card_max_per_day_yen", new_card, sums.today_yen),
        ("card_max_per_day_yen", rule.card_max_per_day_yen, sums.today_yen),
        ("card_max_per_month_yen", rule.card_max_per_month_yen, sums.month_yen),
    ]


def card_sums(rule: ChargeRule, *, payer_id: UUID) -> CardSums:
    today = issuer_today()
    day, month = _begin(today), _begin(today.replace(day=1))
    counted = (*_by_card(payer_id), ChargeOrder.state.in_((*OPEN, *PAID)))
    query = select(
        func.coalesce(func.sum(ChargeOrder.amount_yen).filter(ChargeOrder.created_at >= day), 0),
        func.coalesce(func.sum(ChargeOrder.amount_yen), 0),
    ).where(*counted, ChargeOrder.created_at >= month)
    today_yen, month_yen = session().execute(query).one()
    return CardSums(today_yen=int(today_yen), month_yen=int(month_yen), has_old_card=_has_old_card(rule, payer_id))


def _has_old_card(rule: ChargeRule, payer_id: UUID) -> bool:
    seen = (*_by_card(payer_id), ChargeOrder.state.in_(PAID), ChargeOrder.card_hash.is_not(None))
    query = select(exists().where(*seen, ChargeOrder.created_at <= _first_days_begin(rule)))
    return bool(session().scalar(query))


def passes_new_card_limit(rule: ChargeRule, order: ChargeOrder) -> bool:
    """Whether the card that paid this order is past its first days for its payer, or has room in this day's limit."""
    if order.card_hash is None or rule.new_card_max_per_day_yen is None:
        return True
    same = (*_by_card(order.payer_id), ChargeOrder.card_hash == order.card_hash, ChargeOrder.state.in_(PAID))
    if session().scalar(select(exists().where(*same, ChargeOrder.created_at <= _first_days_begin(rule)))):
        return True
    day = _begin(order.created_at.astimezone(issuer_zone()).date())
    query = select(func.coalesce(func.sum(ChargeOrder.amount_yen), 0))
    others_yen = session().scalars(query.where(*same, ChargeOrder.created_at >= day, ChargeOrder.id != order.id)).one()
    return int(others_yen) + order.amount_yen <= rule.new_card_max_per_day_yen


def _by_card(payer_id: UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return ChargeOrder.payer_id == payer_id, ChargeOrder.method == "card"


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), issuer_zone())


def _first_days_begin(rule: ChargeRule) -> datetime:
    return clock.now() - timedelta(days=rule.new_card_days)
