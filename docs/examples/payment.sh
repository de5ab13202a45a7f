#!/bin/bash
# A payment, and a part of it given back, to show what goes over the line. Needs curl and jq.
set -euo pipefail
api() {
    printf 'header = "Authorization: Bearer %s"\n' "$ACCESS_TOKEN" |
        curl -sS --config - --max-time 10 --retry 5 --retry-connrefused -H "Content-Type: application/json" "$@"
}

echo "Balance: $(api "$KUMIAI_URL/v1/wallets" | jq .total_yen) yen"

key=order-$(date +%s)-$RANDOM # stored before the first sending
order=$(jq -n --arg money "$MONEY" --arg shop "$SHOP" \
    '{amount_yen: 450, money: $money, shop: $shop, description: "昼食 A定食", metadata: {order: "A-17"}}')
pay() {
    api "$KUMIAI_URL/v1/payments" -H "Idempotency-Key: $key" -d "$order"
}
payment=$(pay)
jq -r 'if .id then "Paid \(.amount_yen) yen, receipt \(.receipt_no)" else "Refused: \(.code)" end' <<<"$payment"
id=$(jq -er .id <<<"$payment")
[ "$(pay | jq -r .id)" = "$id" ] && echo "Sent twice, paid once"

api "$KUMIAI_URL/v1/payments/$id/refunds" -H "Idempotency-Key: refund-$key" \
    -d '{"amount_yen": 200}' | jq -r '"Refunded \(.amount_yen) yen"'
