#!/bin/bash
# Points for many members from a file: `bash bulk.sh grants.csv`. Needs curl and jq.
set -euo pipefail
token=$(printf 'user = "%s:%s"\n' "$CLIENT_ID" "$CLIENT_SECRET" | curl -sS --fail --config - \
    "$KUMIAI_URL/oauth/token" -d grant_type=client_credentials -d scope=bulk | jq -r .access_token)
api() { printf 'header = "Authorization: Bearer %s"\n' "$token" | curl -sS --fail-with-body --config - "$@"; }
when() { # the job, once it is in that state
    until [ "$(api "$KUMIAI_URL/v1/bulk/$id" | jq -r .state)" = "$1" ]; do sleep 0.2; done
    api "$KUMIAI_URL/v1/bulk/$id"
}

id=$(api "$KUMIAI_URL/v1/bulk?file_name=$(basename "$1")" -H "Content-Type: text/csv" \
    -H "Idempotency-Key: $(sha256sum "$1" | cut -c 1-40)" --data-binary "@$1" | jq -r .id)
sum=$(when examined | jq .left_sum_yen)
api "$KUMIAI_URL/v1/bulk/$id/problems" | jq -r '.problems[] | "\(.line): \(.reason)"'
api "$KUMIAI_URL/v1/bulk/$id/start" -H "Content-Type: application/json" \
    -d "{\"expected_sum_yen\": $sum, \"skip_bad_lines\": true}" >/dev/null
when done | jq -r '"Moved \(.moved_yen) yen"'
api "$KUMIAI_URL/v1/bulk/$id/results"
