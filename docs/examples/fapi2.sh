#!/bin/bash
# Profile fapi2, by hand: curl, jq, and openssl 3 with Ed25519 keys, whose signatures are in the form JWTs want.
# CLIENT_KEY_FILE holds the private key (openssl genpkey -algorithm ed25519); the office registered its public half.
set -euo pipefail
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
b64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
random() { openssl rand 32 | b64url; }
field() { sed -n "s/.*[?&]$1=\([^&]*\).*/\1/p" <<<"$2"; }
sha256() { printf %s "$1" | openssl dgst -sha256 -binary | b64url; }
signed() { # header, claims, key file
    local words
    words=$(printf %s "$1" | b64url).$(printf %s "$2" | b64url)
    printf %s "$words" >"$work/words"
    printf %s.%s "$words" "$(openssl pkeyutl -sign -rawin -inkey "$3" -in "$work/words" | b64url)"
}
openssl genpkey -algorithm ed25519 -out "$work/dpop" # keep it with the tokens
x=$(openssl pkey -in "$work/dpop" -pubout -outform DER | tail -c 32 | b64url)
proof() { # method, url without query, what else it says
    signed '{"typ":"dpop+jwt","alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"'"$x"'"}}' \
        '{"jti":"'"$(random)"'","htm":"'"$1"'","htu":"'"$2"'","iat":'"$(date +%s)${3:-}"'}' "$work/dpop"
}
ask() { # endpoint, then the form; the audience of the assertion is the issuer, not the endpoint
    local url=$1 now
    now=$(date +%s)
    shift
    curl -sS "$url" -H "DPoP: $(proof POST "$url")" -d "client_id=$CLIENT_ID" "$@" \
        -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
        -d "client_assertion=$(signed '{"alg":"EdDSA"}' '{"iss":"'"$CLIENT_ID"'","sub":"'"$CLIENT_ID"'","aud":"'"$KUMIAI_URL"'",
            "jti":"'"$(random)"'","iat":'"$now"',"exp":'$((now + 60))'}' "$CLIENT_KEY_FILE")"
}

verifier=$(random) state=$(random)
pushed=$(ask "$KUMIAI_URL/oauth/par" -d response_type=code --data-urlencode "redirect_uri=$REDIRECT_URI" \
    -d "scope=openid balance offline_access" -d "state=$state" \
    -d "code_challenge=$(sha256 "$verifier")" -d code_challenge_method=S256)
jq -e .request_uri <<<"$pushed" >/dev/null || { jq -r '.error + ": " + .error_description' <<<"$pushed"; exit 1; }
echo "Open this: $KUMIAI_URL/oauth/authorize?client_id=$CLIENT_ID&request_uri=$(jq -r '.request_uri|@uri' <<<"$pushed")"
read -r -p "The address it came back to: " back
issuer=$(jq -rn --arg uri "$KUMIAI_URL" '$uri|@uri')
[ "$(field state "$back")" = "$state" ] && [ "$(field iss "$back")" = "$issuer" ] || { echo "Not our question."; exit 1; }
code=$(field code "$back")
[ -n "$code" ] || { echo "Not allowed: $(field error "$back")"; exit 1; }

token=$(ask "$KUMIAI_URL/oauth/token" -d grant_type=authorization_code -d "code=$code" \
    --data-urlencode "redirect_uri=$REDIRECT_URI" -d "code_verifier=$verifier")
jq -e .access_token <<<"$token" >/dev/null || { jq -r '.error + ": " + .error_description' <<<"$token"; exit 1; }
echo "Bound: $(jq -r .token_type <<<"$token"), allowed: $(jq -r .scope <<<"$token")"
access=$(jq -r .access_token <<<"$token")
printf 'header = "Authorization: DPoP %s"\n' "$access" | curl -sS --fail --config - "$KUMIAI_URL/v1/wallets" \
    -H "DPoP: $(proof GET "$KUMIAI_URL/v1/wallets" ',"ath":"'"$(sha256 "$access")"'"')" | jq -r '"Total: \(.total_yen) yen"'
