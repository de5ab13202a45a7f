"""What `kumiai ledger verify` asks of charging: each query returns the first place that the books disagree with."""

from __future__ import annotations

CHARGE_CHECKS = {
    "room kept in a wallet is not what its open charges wait for": """
        WITH waiting AS (
            SELECT member_id, money_id, sum(reserved_yen) AS yen FROM charge_order
             WHERE reserved_yen > 0 GROUP BY member_id, money_id
        )
        SELECT 'wallet ' || w.id || ': ' || w.reserved_yen || ', charges say ' || coalesce(waiting.yen, 0)
          FROM wallet w LEFT JOIN waiting USING (member_id, money_id)
         WHERE w.reserved_yen <> coalesce(waiting.yen, 0) ORDER BY w.id LIMIT 1""",
    "a charge that is over keeps room": """
        SELECT 'charge ' || id || ': ' || reserved_yen FROM charge_order
         WHERE reserved_yen > 0 AND ended_at IS NOT NULL ORDER BY id LIMIT 1""",
    "money that arrived is not what the ledger credited for it": """
        SELECT 'received ' || r.gateway || ' ' || r.id || ': transaction ' || r.transaction_id
          FROM charge_received r LEFT JOIN transaction t ON t.id = r.transaction_id
         WHERE r.state = 'credited' AND t.id IS NULL ORDER BY r.created_at LIMIT 1""",
    "the ledger credited an arrival that is not recorded as credited": """
        SELECT 'transaction ' || t.id || ': ' || (t.metadata ->> 'received_id') FROM transaction t
         WHERE t.requester = 'kumiai' AND t.metadata ? 'received_id'
           AND t.created_at < clock_timestamp() - interval '1 hour'
           AND NOT EXISTS (SELECT FROM charge_received r
                            WHERE r.gateway = t.metadata ->> 'gateway' AND r.id = t.metadata ->> 'received_id'
                              AND r.transaction_id = t.id)
         ORDER BY t.id LIMIT 1""",
}
