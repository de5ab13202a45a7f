#!/bin/bash
# Profile spa: does the server let a page of this origin in? ORIGIN is that of the registered redirect URI. Needs curl.
set -euo pipefail
allowed() { grep -i '^access-control-allow-origin:' | tr -d '\r' | cut -d' ' -f2; }
echo "discovery: $(curl -sS -D - -o /dev/null -H "Origin: $ORIGIN" "$KUMIAI_URL/.well-known/openid-configuration" | allowed)"
echo "token: $(curl -sS -D - -o /dev/null -H "Origin: $ORIGIN" "$KUMIAI_URL/oauth/token" -d "client_id=$CLIENT_ID" | allowed)"
echo "userinfo: $(curl -sS -D - -o /dev/null -X OPTIONS -H "Origin: $ORIGIN" -H "Access-Control-Request-Method: GET" \
    -H "Access-Control-Request-Headers: authorization" "$KUMIAI_URL/oauth/userinfo" | allowed)"
