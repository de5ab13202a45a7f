"""Back-channel logout: where Kumiai says that a member signed out. Needs flask, requests and joserfc.

Register its public address as backchannel_logout_uri; run `flask --app backchannel.py run`.
"""

import os
import time

import requests
from flask import Flask, request
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

KUMIAI, CLIENT_ID = os.environ["KUMIAI_URL"], os.environ["CLIENT_ID"]
EVENT = "http://schemas.openid.net/event/backchannel-logout"
app = Flask(__name__)


class Keys:
    """The server's keys, kept for five minutes, and fetched once more where a token names one that is not there."""

    kept, until, asked_at = None, 0.0, 0.0

    def decode(self, token):
        if self.kept is None or time.monotonic() > self.until:
            self.fetch()
        try:
            return jwt.decode(token, self.kept, algorithms=["ES256"])
        except (InvalidKeyIdError, ValueError):
            if time.monotonic() < self.asked_at + 10:  # nobody makes us ask again and again
                raise
            self.fetch()
            return jwt.decode(token, self.kept, algorithms=["ES256"])

    def fetch(self):
        answer = requests.get(f"{KUMIAI}/oauth/jwks.json", timeout=10)
        answer.raise_for_status()
        self.kept, self.asked_at = KeySet.import_key_set(answer.json()), time.monotonic()
        self.until = self.asked_at + 300


KEYS = Keys()
REGISTRY = jwt.JWTClaimsRegistry(
    leeway=60,
    iss={"essential": True, "value": KUMIAI},
    aud={"essential": True, "value": CLIENT_ID},
    iat={"essential": True},
    exp={"essential": True},
    jti={"essential": True},
)


@app.post("/backchannel-logout")
def signed_out():
    try:
        token = KEYS.decode(request.form.get("logout_token", ""))
        REGISTRY.validate(token.claims)
    except (JoseError, ValueError) as error:
        return {"error": "invalid_request", "error_description": str(error)}, 400
    claims = token.claims
    if token.header.get("typ") != "logout+jwt" or EVENT not in claims.get("events", {}) or "nonce" in claims:
        return {"error": "invalid_request"}, 400  # an ID token, say
    end_sessions(sid=claims["sid"], member=claims["sub"])  # it may come twice, which does no harm
    return "", 204, {"Cache-Control": "no-store"}


def end_sessions(*, sid, member):
    """Yours: delete the sessions that began with an ID token of this `sid`. Access tokens are not touched by it."""
    app.logger.warning("signed out: sid %s of member %s", sid, member)
