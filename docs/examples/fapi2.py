"""Profile fapi2: PAR, a key instead of a secret (private_key_jwt), and tokens bound to a key (DPoP).

Needs requests and joserfc. CLIENT_KEY is the private key as a JWK; the office registered its public half.
"""

import base64
import hashlib
import json
import os
import secrets
import time
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from joserfc import jwt
from joserfc.jwk import ECKey

KUMIAI, CLIENT_ID, REDIRECT_URI = (os.environ[name] for name in ("KUMIAI_URL", "CLIENT_ID", "REDIRECT_URI"))
CLIENT_KEY = ECKey.import_key(json.loads(os.environ["CLIENT_KEY"]))
DPOP_KEY = ECKey.generate_key("P-256")  # keep it with the tokens: a new one may be used from the next refresh on
known = requests.get(f"{KUMIAI}/.well-known/openid-configuration", timeout=10).json()


def sha256(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def proof(method, url, token=None):
    """A DPoP proof (RFC 9449): for this one request, and this token where one is shown. `url` has no query."""
    claims = {"jti": secrets.token_urlsafe(), "htm": method, "htu": url, "iat": int(time.time())}
    if token is not None:
        claims["ath"] = sha256(token)
    return jwt.encode({"typ": "dpop+jwt", "alg": "ES256", "jwk": DPOP_KEY.as_dict(private=False)}, claims, DPOP_KEY)


def ask(url, **form):
    """POST to an endpoint for clients, with a new assertion. Its audience is the issuer, not the endpoint."""
    now = int(time.time())
    claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": known["issuer"], "jti": secrets.token_urlsafe()}
    assertion = jwt.encode({"alg": "ES256", "kid": CLIENT_KEY.kid}, {**claims, "iat": now, "exp": now + 60}, CLIENT_KEY)
    form |= {"client_id": CLIENT_ID, "client_assertion": assertion}
    form |= {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
    answer = requests.post(url, form, headers={"DPoP": proof("POST", url)}, timeout=10)
    if answer.status_code >= 400:
        raise SystemExit(f"{answer.json()['error']}: {answer.json()['error_description']}")
    return answer.json()


verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe()
pushed = ask(
    known["pushed_authorization_request_endpoint"],
    response_type="code",
    redirect_uri=REDIRECT_URI,
    scope="openid balance offline_access",
    state=state,
    code_challenge=sha256(verifier),
    code_challenge_method="S256",
)
query = urlencode({"client_id": CLIENT_ID, "request_uri": pushed["request_uri"]})
print("Open this:", f"{known['authorization_endpoint']}?{query}", flush=True)
back = parse_qs(urlsplit(input("The address it came back to: ")).query)
if back.get("state") != [state] or back.get("iss") != [known["issuer"]]:
    raise SystemExit("This answer is not to our question.")
if "error" in back:
    raise SystemExit(f"Not allowed: {back['error'][0]}")

redeemed = {"code": back["code"][0], "redirect_uri": REDIRECT_URI, "code_verifier": verifier}
token = ask(known["token_endpoint"], grant_type="authorization_code", **redeemed)
token = ask(known["token_endpoint"], grant_type="refresh_token", refresh_token=token["refresh_token"])
print("Bound:", token["token_type"], "allowed:", token["scope"])
url = f"{KUMIAI}/v1/wallets"
headers = {"Authorization": f"DPoP {token['access_token']}", "DPoP": proof("GET", url, token["access_token"])}
print("Total:", requests.get(url, headers=headers, timeout=10).json()["total_yen"], "yen")
