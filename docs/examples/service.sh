#!/bin/bash
# Profile service, by hand: curl, jq.
set -euo pipefail
token=$(printf 'user = "%s:%s"\n' "$CLIENT_ID" "$CLIENT_SECRET" |
    curl -sS --config - "$KUMIAI_URL/oauth/token" -d grant_type=client_credentials)
jq -e .access_token <<<"$token" >/dev/null || { jq -r '.error + ": " + .error_description' <<<"$token"; exit 1; }
jq -r '"header = \"Authorization: Bearer " + .access_token + "\""' <<<"$token" |
    curl -sS --fail --config - "$KUMIAI_URL/v1/me" | jq -r '"Client: \(.client_id), may: \(.scopes | join(" "))"'
