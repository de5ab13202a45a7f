"""Profile native: a program on the member's own machine, without a secret. Needs requests and joserfc."""

import base64
import hashlib
import os
import secrets
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from joserfc import jwt
from joserfc.jwk import KeySet

KUMIAI, CLIENT_ID = os.environ["KUMIAI_URL"], os.environ["CLIENT_ID"]


class Callback(BaseHTTPRequestHandler):
    """The one request that brings the code: http://127.0.0.1/callback is registered, the port is free (RFC 8252)."""

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/callback":
            self.server.answer = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.send_response(200 if url.path == "/callback" else 404)
        self.end_headers()
        self.wfile.write(b"Please close this page and look at the terminal.")

    def log_message(self, *_):
        """The line would hold the code."""


server = HTTPServer(("127.0.0.1", 0), Callback)
server.answer = None
redirect_uri = f"http://127.0.0.1:{server.server_port}/callback"
verifier, state, nonce = (secrets.token_urlsafe(48) for _ in range(3))
asked = {
    "response_type": "code",
    "client_id": CLIENT_ID,
    "redirect_uri": redirect_uri,
    "scope": "openid balance",
    "state": state,
    "nonce": nonce,
    "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
    "code_challenge_method": "S256",
}
known = requests.get(f"{KUMIAI}/.well-known/openid-configuration", timeout=10).json()
print("Open this:", f"{known['authorization_endpoint']}?{urlencode(asked)}", flush=True)
while server.answer is None:
    server.handle_request()

answer = server.answer
if answer.get("state") != state or answer.get("iss") != known["issuer"]:
    raise SystemExit("This answer is not to our question.")
if "error" in answer:
    raise SystemExit(f"Not allowed: {answer['error']}")
form = {"grant_type": "authorization_code", "client_id": CLIENT_ID, "code": answer["code"]}
form |= {"redirect_uri": redirect_uri, "code_verifier": verifier}
token = requests.post(known["token_endpoint"], form, timeout=10).json()

keys = KeySet.import_key_set(requests.get(known["jwks_uri"], timeout=10).json())
claims = jwt.decode(token["id_token"], keys, algorithms=["ES256"]).claims
jwt.JWTClaimsRegistry(
    leeway=60,
    iss={"essential": True, "value": known["issuer"]},
    aud={"essential": True, "value": CLIENT_ID},
    exp={"essential": True},
    nonce={"essential": True, "value": nonce},
).validate(claims)
print("Member:", claims["sub"], "allowed:", token["scope"])
if "balance" in token["scope"].split():
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    for wallet in requests.get(f"{KUMIAI}/v1/wallets", headers=bearer, timeout=10).json()["wallets"]:
        print(wallet["money"]["name"], wallet["balance_yen"], "yen")
