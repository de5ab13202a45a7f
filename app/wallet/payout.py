"""How much may be paid out for small amounts: the quota of a base period (基準期間).

Prepaid value is not paid back, except as 資金決済法 20条5項 and 前払式支払手段に関する内閣府令 42条 allow. For small
amounts that is, within one base period, either up to 20 % of what was issued in the base period before it (1号), or up
to 5 % of the unused balance at the last base date (2号). Either will do, so the larger of the two is the quota. Base
dates are 31 March and 30 September (法 3条2項), a base period begins on the day after one. Only paid monies count, all
of the issuer's together: points are not prepaid value. What is paid out because of circumstances a member cannot help
(3号), or because the business ends (法 20条1項), counts against no quota.

Both sums are read off the ledger as it was, so that whoever reckons again gets the same. This is no legal advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from app.db import session
from app.issuer import current_issuer, issuer_today
from app.wallet.hold_models import PayoutPeriod
from app.wallet.settlement.positions import cut

OF_ISSUED_PERCENT = 20
OF_UNUSED_PERCENT = 5

# What is not in a lot was never issued or has been recovered: so the lots of a money hold what its other accounts lack.
# Those are found by the indexes of books and takings, among very many lots.
_AS_OF = text("""
  WITH other AS (
       SELECT id, money_id, book FROM account WHERE issuer_id = :issuer AND book IS NOT NULL
        UNION ALL
       SELECT a.id, a.money_id, NULL FROM shop JOIN account a ON a.shop_id = shop.id WHERE shop.issuer_id = :issuer
)
SELECT coalesce(-sum(balance.yen) FILTER (WHERE a.book LIKE 'issued_by_%'), 0)::bigint AS issued_yen,
       coalesce(-sum(balance.yen), 0)::bigint AS unused_yen
  FROM other a
  JOIN money m ON m.id = a.money_id AND m.backing = 'paid'
 CROSS JOIN LATERAL (
        SELECT yen FROM (
            (SELECT position, line, debit_after_yen AS yen FROM transfer
              WHERE debit_account_id = a.id AND position <= :position ORDER BY position DESC, line DESC LIMIT 1)
             UNION ALL
            (SELECT position, line, credit_after_yen FROM transfer
              WHERE credit_account_id = a.id AND position <= :position ORDER BY position DESC, line DESC LIMIT 1)
        ) AS last ORDER BY position DESC, line DESC LIMIT 1) AS balance
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What may be paid out for small amounts in the period that begins on a day, and what it is reckoned from."""

    begins_on: date
    issued_before_yen: int
    unused_yen: int
    paid_out_yen: int = 0

    @property
    def quota_yen(self) -> int:
        """The larger of the two, in whole yen, rounded down."""
        by_issued = self.issued_before_yen * OF_ISSUED_PERCENT // 100
        return max(0, by_issued, self.unused_yen * OF_UNUSED_PERCENT // 100)

    @property
    def left_yen(self) -> int:
        return max(0, self.quota_yen - self.paid_out_yen)


def period_of(day: date) -> date:
    """The first day of the base period that a day is in: 1 April or 1 October."""
    if day.month < 4:
        return date(day.year - 1, 10, 1)
    return date(day.year, 4 if day.month < 10 else 10, 1)


def open_period() -> Quota:
    """The quota of today's period; its row, under which the ledger counts, is made unless it is there.

    Called inside `transaction()`.
    """
    issuer_id, begins_on = current_issuer().id, period_of(issuer_today())
    last_base_date = begins_on - timedelta(days=1)
    issued_yen, unused_yen = _as_of(last_base_date)
    issued_earlier_yen, _ = _as_of(period_of(last_base_date) - timedelta(days=1))
    quota = Quota(begins_on=begins_on, issued_before_yen=issued_yen - issued_earlier_yen, unused_yen=unused_yen)
    row = {"issuer_id": issuer_id, "begins_on": begins_on, "quota_yen": quota.quota_yen}
    session().execute(insert(PayoutPeriod).values(row).on_conflict_do_nothing())
    paid_out = select(PayoutPeriod.paid_out_yen).filter_by(issuer_id=issuer_id, begins_on=begins_on)
    return Quota(
        begins_on=begins_on,
        issued_before_yen=quota.issued_before_yen,
        unused_yen=unused_yen,
        paid_out_yen=session().scalars(paid_out).one(),
    )


def _as_of(day: date) -> tuple[int, int]:
    """What was ever issued of paid monies, and what of it was unused, at the end of a day."""
    issuer_id = current_issuer().id
    position = cut(issuer_id=issuer_id, day=day).position
    row = session().execute(_AS_OF, {"issuer": issuer_id, "position": position}).one()
    return row.issued_yen, row.unused_yen
