#!/bin/bash
# Registering by program (RFC 7591, RFC 7592): curl, jq. INITIAL_TOKEN is from the office (kumiai client invite).
set -euo pipefail
as() { printf 'header = "Authorization: Bearer %s"\n' "$1"; }
json=(-H "Content-Type: application/json")

client=$(as "$INITIAL_TOKEN" | curl -sS --config - "${json[@]}" "$KUMIAI_URL/oauth/register" -d '{
    "kumiai_profile": "web", "client_name#ja": "学食オーダー", "client_name#en": "Canteen Order",
    "redirect_uris": ["https://app.example/callback"], "scope": "openid balance offline_access"}')
jq -e .client_id <<<"$client" >/dev/null || { jq -r '.error + ": " + .error_description' <<<"$client"; exit 1; }
echo "Registered: $(jq -r .client_id <<<"$client")" # keep client_secret and registration_access_token: shown this once

token=$(jq -r .registration_access_token <<<"$client") address=$(jq -r .registration_client_uri <<<"$client")
as "$token" | curl -sS --fail --config - "$address" | jq -r '"Profile: " + .kumiai_profile + ", scope: " + .scope'

# a change sends everything that is to be, not only what changes
changed=$(jq '{client_id, kumiai_profile, "client_name#ja": ."client_name#ja", "client_name#en": ."client_name#en", scope,
    redirect_uris: ["https://app.example/callback", "https://staging.app.example/callback"]}' <<<"$client")
as "$token" | curl -sS --fail --config - "${json[@]}" -X PUT "$address" -d "$changed" | jq -r '.redirect_uris[]'
as "$token" | curl -sS --fail --config - -X DELETE "$address" && echo "Removed"
