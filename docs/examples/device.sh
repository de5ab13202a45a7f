#!/bin/bash
# The device grant, by hand: curl, jq.
set -euo pipefail
asked=$(curl -sS "$KUMIAI_URL/oauth/device_authorization" -d "client_id=$CLIENT_ID" -d "scope=openid balance")
jq -e .device_code <<<"$asked" >/dev/null || { jq -r '.error + ": " + .error_description' <<<"$asked"; exit 1; }
jq -r '"Open \(.verification_uri) and type \(.user_code)\nOr scan this: \(.verification_uri_complete)"' <<<"$asked"
interval=$(jq -r .interval <<<"$asked")
while :; do
    sleep "$interval"
    token=$(curl -sS "$KUMIAI_URL/oauth/token" -d "client_id=$CLIENT_ID" \
        -d grant_type=urn:ietf:params:oauth:grant-type:device_code -d "device_code=$(jq -r .device_code <<<"$asked")")
    case $(jq -r .error <<<"$token") in
        authorization_pending) ;;
        slow_down) interval=$((interval + 5)) ;;
        null) break ;;
        *) jq -r '"Not connected: " + .error' <<<"$token"; exit 1 ;;
    esac
done
echo "Allowed: $(jq -r .scope <<<"$token")"
jq -r '"header = \"Authorization: Bearer " + .access_token + "\""' <<<"$token" |
    curl -sS --fail --config - "$KUMIAI_URL/v1/wallets" | jq -r '"Total: \(.total_yen) yen"'
