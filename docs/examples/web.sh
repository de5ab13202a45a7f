#!/bin/bash
# Profile web, by hand: curl, openssl, jq. Secrets go to curl by --config, where no other program can read them.
set -euo pipefail
random() { openssl rand -base64 48 | tr '+/' '-_' | tr -d '=\n'; }
field() { sed -n "s/.*[?&]$1=\([^&]*\).*/\1/p" <<<"$2"; }
client() { printf 'user = "%s:%s"\n' "$CLIENT_ID" "$CLIENT_SECRET"; }

known=$(curl -sS --fail "$KUMIAI_URL/.well-known/openid-configuration")
verifier=$(random) state=$(random)
challenge=$(printf %s "$verifier" | openssl dgst -sha256 -binary | base64 | tr '+/' '-_' | tr -d '=')
echo "Open this: $(jq -r .authorization_endpoint <<<"$known")?response_type=code&client_id=$CLIENT_ID&state=$state\
&redirect_uri=$(jq -rn --arg uri "$REDIRECT_URI" '$uri|@uri')&scope=openid+balance+history+offline_access\
&code_challenge=$challenge&code_challenge_method=S256"
read -r -p "The address it came back to: " back

issuer=$(jq -r '.issuer|@uri' <<<"$known")
[ "$(field state "$back")" = "$state" ] && [ "$(field iss "$back")" = "$issuer" ] || { echo "Not our question."; exit 1; }
code=$(field code "$back")
[ -n "$code" ] || { echo "Not allowed: $(field error "$back")"; exit 1; }

endpoint=$(jq -r .token_endpoint <<<"$known")
token=$(client | curl -sS --config - "$endpoint" -d grant_type=authorization_code -d "code=$code" \
    --data-urlencode "redirect_uri=$REDIRECT_URI" -d "code_verifier=$verifier")
jq -e .access_token <<<"$token" >/dev/null || { jq -r '.error + ": " + .error_description' <<<"$token"; exit 1; }
echo "Allowed: $(jq -r .scope <<<"$token")"

# ten minutes later: a new access token, and the refresh token for the next time
token=$(client | curl -sS --fail --config - "$endpoint" -d grant_type=refresh_token \
    -d "refresh_token=$(jq -r .refresh_token <<<"$token")")
jq -r '"header = \"Authorization: Bearer " + .access_token + "\""' <<<"$token" |
    curl -sS --fail --config - "$KUMIAI_URL/v1/wallets" | jq -r '"Total: \(.total_yen) yen"'

client | curl -sS --fail --config - "$(jq -r .revocation_endpoint <<<"$known")" \
    -d "token=$(jq -r .refresh_token <<<"$token")" >/dev/null # all that came of this code has ended
echo "Revoked"
