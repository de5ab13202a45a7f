"""Profile oidc_basic: software that knows OpenID Connect and no PKCE. Needs requests-oauthlib and joserfc."""

import os
import secrets

import requests
from joserfc import jwt
from joserfc.jwk import KeySet
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

KUMIAI, CLIENT_ID, REDIRECT_URI = (os.environ[name] for name in ("KUMIAI_URL", "CLIENT_ID", "REDIRECT_URI"))
client = HTTPBasicAuth(CLIENT_ID, os.environ["CLIENT_SECRET"])
os.environ["OAUTHLIB_RELAX_TOKEN_SCOPE"] = "1"  # the member may give less than you ask
if KUMIAI.startswith("http://localhost"):
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # for trying it only

known = requests.get(f"{KUMIAI}/.well-known/openid-configuration", timeout=10).json()
nonce = secrets.token_urlsafe()  # stands in for PKCE: it must be sent, and checked
session = OAuth2Session(CLIENT_ID, scope=["openid", "profile", "balance", "offline_access"], redirect_uri=REDIRECT_URI)
address, _ = session.authorization_url(known["authorization_endpoint"], nonce=nonce)
print("Open this:", address, flush=True)
back = input("The address it came back to: ")
token = session.fetch_token(known["token_endpoint"], authorization_response=back, auth=client)  # checks state

keys = KeySet.import_key_set(requests.get(known["jwks_uri"], timeout=10).json())
claims = jwt.decode(token["id_token"], keys, algorithms=["ES256"]).claims
jwt.JWTClaimsRegistry(
    leeway=60,
    iss={"essential": True, "value": known["issuer"]},
    aud={"essential": True, "value": CLIENT_ID},
    exp={"essential": True},
    nonce={"essential": True, "value": nonce},
).validate(claims)
print("Member:", session.get(known["userinfo_endpoint"]).json()["name"], "allowed:", *token["scope"])

session.scope = token["scope"]  # else the library asks for the boxes left empty, and gets invalid_scope
token = session.refresh_token(known["token_endpoint"], auth=client)
print("Refreshed, for", token["expires_in"], "seconds")
