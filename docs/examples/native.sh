#!/bin/bash
# Profile native, by hand: curl, openssl, jq. Nobody listens at the redirect URI: copy it from the address bar.
set -euo pipefail
random() { openssl rand -base64 48 | tr '+/' '-_' | tr -d '=\n'; }
field() { sed -n "s/.*[?&]$1=\([^&]*\).*/\1/p" <<<"$2"; }

known=$(curl -sS --fail "$KUMIAI_URL/.well-known/openid-configuration")
verifier=$(random) state=$(random)
challenge=$(printf %s "$verifier" | openssl dgst -sha256 -binary | base64 | tr '+/' '-_' | tr -d '=')
redirect_uri=http://127.0.0.1:49152/callback # http://127.0.0.1/callback is registered, the port is free
echo "Open this: $(jq -r .authorization_endpoint <<<"$known")?response_type=code&client_id=$CLIENT_ID&state=$state\
&redirect_uri=$(jq -rn --arg uri "$redirect_uri" '$uri|@uri')&scope=openid+profile+balance\
&code_challenge=$challenge&code_challenge_method=S256"
read -r -p "The address it came back to: " back

issuer=$(jq -r '.issuer|@uri' <<<"$known")
[ "$(field state "$back")" = "$state" ] && [ "$(field iss "$back")" = "$issuer" ] || { echo "Not our question."; exit 1; }
code=$(field code "$back")
[ -n "$code" ] || { echo "Not allowed: $(field error "$back")"; exit 1; }

token=$(curl -sS "$(jq -r .token_endpoint <<<"$known")" -d grant_type=authorization_code -d "client_id=$CLIENT_ID" \
    -d "code=$code" --data-urlencode "redirect_uri=$redirect_uri" -d "code_verifier=$verifier")
jq -e .access_token <<<"$token" >/dev/null || { jq -r '.error + ": " + .error_description' <<<"$token"; exit 1; }
get() { jq -r '"header = \"Authorization: Bearer " + .access_token + "\""' <<<"$token" | curl -sS --fail --config - "$1"; }
echo "Member: $(get "$(jq -r .userinfo_endpoint <<<"$known")" | jq -r .name), allowed: $(jq -r .scope <<<"$token")"
