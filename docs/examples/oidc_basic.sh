#!/bin/bash
# Profile oidc_basic, by hand: curl, openssl, jq. Only to see what goes over the line: who writes it anew takes web.
set -euo pipefail
random() { openssl rand -base64 48 | tr '+/' '-_' | tr -d '=\n'; }
field() { sed -n "s/.*[?&]$1=\([^&]*\).*/\1/p" <<<"$2"; }

state=$(random) nonce=$(random)
redirect_uri=$(jq -rn --arg uri "$REDIRECT_URI" '$uri|@uri')
echo "Open this: $KUMIAI_URL/oauth/authorize?response_type=code&client_id=$CLIENT_ID&state=$state&nonce=$nonce\
&redirect_uri=$redirect_uri&scope=openid+profile"
read -r -p "The address it came back to: " back
issuer=$(jq -rn --arg uri "$KUMIAI_URL" '$uri|@uri')
[ "$(field state "$back")" = "$state" ] && [ "$(field iss "$back")" = "$issuer" ] || { echo "Not our question."; exit 1; }
code=$(field code "$back")
[ -n "$code" ] || { echo "Not allowed: $(field error "$back")"; exit 1; }

token=$(printf 'user = "%s:%s"\n' "$CLIENT_ID" "$CLIENT_SECRET" | curl -sS --config - "$KUMIAI_URL/oauth/token" \
    -d grant_type=authorization_code -d "code=$code" -d "redirect_uri=$redirect_uri")
jq -e .access_token <<<"$token" >/dev/null || { jq -r '.error + ": " + .error_description' <<<"$token"; exit 1; }
# the ID token came over TLS from the server itself; its signature is checked in the other two languages
claims=$(jq -r '.id_token | split(".")[1] | gsub("-"; "+") | gsub("_"; "/") | @base64d' <<<"$token")
jq -e --arg nonce "$nonce" --arg iss "$KUMIAI_URL" --arg aud "$CLIENT_ID" \
    '.nonce == $nonce and .iss == $iss and .aud == $aud and .exp > now' <<<"$claims" >/dev/null ||
    { echo "Not an ID token for us."; exit 1; }
echo "Member: $(jq -r .sub <<<"$claims"), allowed: $(jq -r .scope <<<"$token")"
