"""How `kumiai ledger verify` (app/wallet/verify.py) sees that settlements say what the ledger says."""

from __future__ import annotations

SETTLEMENT_CHECKS = {
    "a settlement does not say what the ledger says of its positions": """
        WITH moved AS (
            SELECT s.id AS settlement_id, a.money_id,
                   count(DISTINCT t.id) FILTER (WHERE t.kind IN ('payment', 'capture')) AS payments,
                   count(DISTINCT t.id) FILTER (WHERE t.kind = 'refund') AS refunds,
                   sum(f.yen) AS yen
              FROM settlement s
              JOIN account a ON a.shop_id = s.shop_id
             CROSS JOIN LATERAL (
                   SELECT transaction_id, amount_yen AS yen FROM transfer
                    WHERE credit_account_id = a.id AND position > s.after_position AND position <= s.through_position
                   UNION ALL
                   SELECT transaction_id, -amount_yen FROM transfer
                    WHERE debit_account_id = a.id AND position > s.after_position AND position <= s.through_position
                  ) AS f
              JOIN transaction t ON t.id = f.transaction_id AND t.kind <> 'settlement'
             GROUP BY s.id, a.money_id
        ), said AS (
            SELECT settlement_id, money_id, payments, refunds, payments_yen - refunds_yen + others_yen AS yen
              FROM settlement_line
        )
        SELECT 'settlement ' || settlement_id || ', money ' || money_id || ': ' || coalesce(s.yen, 0)
               || ', transfers ' || coalesce(m.yen, 0)
          FROM moved m FULL JOIN said s USING (settlement_id, money_id)
         WHERE (coalesce(m.payments, 0), coalesce(m.refunds, 0), coalesce(m.yen, 0))
            <> (coalesce(s.payments, 0), coalesce(s.refunds, 0), coalesce(s.yen, 0))
         LIMIT 1""",
    "what was settled is not what left the takings": """
        WITH posted AS (
            SELECT t.id AS transaction_id, t.shop_id, f.money_id, sum(f.amount_yen) AS yen
              FROM transaction t JOIN transfer f ON f.transaction_id = t.id
             WHERE t.kind = 'settlement' GROUP BY t.id, f.money_id
        ), said AS (
            SELECT s.transaction_id, s.shop_id, l.money_id, l.settled_yen AS yen
              FROM settlement s JOIN settlement_line l ON l.settlement_id = s.id
             WHERE s.state = 'closed' AND l.settled_yen > 0
        )
        SELECT 'shop ' || shop_id || ', money ' || money_id || ': ' || s.yen || ', ledger ' || coalesce(p.yen, 0)
          FROM said s LEFT JOIN posted p USING (transaction_id, shop_id, money_id)
         WHERE s.yen <> coalesce(p.yen, 0) LIMIT 1""",
    "what a shop owes is not carried into its next settlement": """
        WITH pair AS (
            SELECT s.id, p.id AS before_id
              FROM settlement s JOIN settlement p ON p.shop_id = s.shop_id AND p.number = s.after_number
        ), owed AS (
            SELECT pair.id, l.money_id, l.carried_out_yen AS yen
              FROM pair JOIN settlement_line l ON l.settlement_id = pair.before_id WHERE l.carried_out_yen < 0
        ), carried AS (
            SELECT settlement_id AS id, money_id, carried_in_yen AS yen FROM settlement_line WHERE carried_in_yen < 0
        )
        SELECT 'settlement ' || id || ', money ' || money_id
          FROM owed FULL JOIN carried USING (id, money_id)
         WHERE owed.yen IS DISTINCT FROM carried.yen LIMIT 1""",
}
