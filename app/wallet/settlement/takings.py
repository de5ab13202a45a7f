"""What moved to and from a shop's takings between two positions, as the ledger's transfers say it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text

from app.db import session
from app.issuer import issuer_zone
from app.wallet.settlement.rules import Movements

# Two index seeks for each of the shop's accounts (ix_transfer_credit, ix_transfer_debit), then the transactions by key.
# What settlements took out is no movement; everything else is one, so that the sums are the ledger's whatever kinds
# of transactions there are.
MOVEMENTS = text("""
SELECT a.money_id, m.backing,
       count(DISTINCT t.id) FILTER (WHERE t.kind IN ('payment', 'capture')) AS payments,
       coalesce(sum(f.yen) FILTER (WHERE t.kind IN ('payment', 'capture')), 0)::bigint AS payments_yen,
       count(DISTINCT t.id) FILTER (WHERE t.kind = 'refund') AS refunds,
       coalesce(sum(-f.yen) FILTER (WHERE t.kind = 'refund'), 0)::bigint AS refunds_yen,
       coalesce(sum(f.yen) FILTER (WHERE t.kind NOT IN ('payment', 'capture', 'refund')), 0)::bigint AS others_yen,
       (min(t.created_at) AT TIME ZONE :zone)::date AS first_day
  FROM account a
  JOIN money m ON m.id = a.money_id
 CROSS JOIN LATERAL (
       SELECT transaction_id, amount_yen AS yen FROM transfer
        WHERE credit_account_id = a.id AND position > :after AND position <= :through
       UNION ALL
       SELECT transaction_id, -amount_yen FROM transfer
        WHERE debit_account_id = a.id AND position > :after AND position <= :through
      ) AS f
  JOIN transaction t ON t.id = f.transaction_id
 WHERE a.shop_id = :shop AND t.kind <> 'settlement'
 GROUP BY a.money_id, m.backing, m.position
 ORDER BY m.position, a.money_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyMovements:
    """What moved of one money, and the issuer's day on which it began."""

    money_id: int
    backing: str
    movements: Movements
    first_day: date


def movements(*, shop_id: UUID, after: int, through: int) -> list[MoneyMovements]:
    """What moved at the positions after `after`, up to `through`; one entry for each money that did."""
    parameters = {"shop": shop_id, "after": after, "through": through, "zone": issuer_zone().key}
    return [
        MoneyMovements(
            money_id=row.money_id,
            backing=row.backing,
            movements=Movements(
                payments=row.payments,
                payments_yen=row.payments_yen,
                refunds=row.refunds,
                refunds_yen=row.refunds_yen,
                others_yen=row.others_yen,
            ),
            first_day=row.first_day,
        )
        for row in session().execute(MOVEMENTS, parameters)
    ]
