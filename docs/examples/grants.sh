#!/bin/bash
# What the member allows this app now, and its end: curl, jq. GRANT_ID came with the tokens.
set -euo pipefail
client() { printf 'user = "%s:%s"\n' "$CLIENT_ID" "$CLIENT_SECRET"; }
client | curl -sS --fail --config - "$KUMIAI_URL/oauth/grants/$GRANT_ID" |
    jq -r '"\(.status): \([.scopes[].scope] | join(" "))", (.authorization_details[] | tojson)'
client | curl -sS --fail --config - -X DELETE "$KUMIAI_URL/oauth/grants/$GRANT_ID"
client | curl -sS --fail --config - "$KUMIAI_URL/oauth/grants/$GRANT_ID" | jq -r .status
