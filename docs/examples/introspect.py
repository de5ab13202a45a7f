"""Introspection: is this token of mine good, and for what? Plain (RFC 7662), then signed (RFC 9701).

Needs requests and joserfc. The client has a secret.
"""

import os
import sys

import requests
from joserfc import jwt
from joserfc.jwk import KeySet

KUMIAI = os.environ["KUMIAI_URL"]
CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
known = requests.get(f"{KUMIAI}/.well-known/openid-configuration", timeout=10).json()
form = {"token": sys.stdin.readline().strip()}  # not as an argument: other programs can read those

plain = requests.post(known["introspection_endpoint"], form, auth=CLIENT, timeout=10).json()
print("Active:", plain["active"], "scope:", plain.get("scope"), "until:", plain.get("exp"))

accept = {"Accept": "application/token-introspection+jwt"}
signed = requests.post(known["introspection_endpoint"], form, auth=CLIENT, headers=accept, timeout=10)
keys = KeySet.import_key_set(requests.get(known["jwks_uri"], timeout=10).json())
answer = jwt.decode(signed.text, keys, algorithms=["ES256"])
if answer.header["typ"] != "token-introspection+jwt":
    raise SystemExit("This is another kind of JWT.")
jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": known["issuer"]}, aud={"essential": True, "value": CLIENT[0]}
).validate(answer.claims)
print("Signed:", answer.claims["token_introspection"] == plain)
