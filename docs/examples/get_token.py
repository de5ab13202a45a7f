"""An access token for the other examples: asks the member in a browser, prints the token. Needs requests.

With the demo co-op of `make run`: . instance/demo.env; CLIENT_ID=demo_app CLIENT_SECRET=$KUMIAI_DEMO_APP_CLIENT_SECRET
"""

import base64
import hashlib
import os
import secrets
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

KUMIAI = os.environ["KUMIAI_URL"]
CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
PORT = int(os.environ.get("PORT", "8010"))
REDIRECT_URI = f"http://localhost:{PORT}/callback"
SCOPE = os.environ.get("SCOPE", "profile balance history payment")

verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
asked = {
    "response_type": "code",
    "client_id": CLIENT[0],
    "redirect_uri": REDIRECT_URI,
    "scope": SCOPE,
    "state": state,
    "code_challenge": challenge,
    "code_challenge_method": "S256",
}
answer = {}


class Callback(BaseHTTPRequestHandler):
    def do_GET(self):
        if urlsplit(self.path).path == "/callback":
            answer.update(parse_qsl(urlsplit(self.path).query))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"Back to the terminal.")

    def log_message(self, *arguments):
        pass


with HTTPServer(("localhost", PORT), Callback) as server:
    print(f"Open this: {KUMIAI}/oauth/authorize?{urlencode(asked)}", file=sys.stderr, flush=True)
    while not answer:
        server.handle_request()
if answer.get("state") != state or answer.get("iss") != KUMIAI or "code" not in answer:
    sys.exit(f"Not allowed, or not an answer to our question: {answer.get('error')}")
form = {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": REDIRECT_URI}
token = requests.post(f"{KUMIAI}/oauth/token", {**form, "code_verifier": verifier}, auth=CLIENT, timeout=10)
token.raise_for_status()
print(token.json()["access_token"])
