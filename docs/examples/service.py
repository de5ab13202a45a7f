"""Profile service: a program that acts for itself, with a secret. Needs requests."""

import os
import time

import requests

KUMIAI = os.environ["KUMIAI_URL"]


class ByClientCredentials(requests.auth.AuthBase):
    """Puts an access token on each request; fetches one a minute before the last ends, there being no refresh token."""

    def __init__(self, client_id, client_secret):
        self.client = (client_id, client_secret)
        self.token, self.ends_at = None, 0.0

    def __call__(self, request):
        if time.monotonic() > self.ends_at - 60:
            form = {"grant_type": "client_credentials"}  # without a scope: all that the office gave
            answer = requests.post(f"{KUMIAI}/oauth/token", form, auth=self.client, timeout=10)
            if answer.status_code >= 400:
                raise SystemExit(f"{answer.json()['error']}: {answer.json()['error_description']}")
            self.token = answer.json()["access_token"]
            self.ends_at = time.monotonic() + answer.json()["expires_in"]
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


with requests.Session() as http:
    http.auth = ByClientCredentials(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
    me = http.get(f"{KUMIAI}/v1/me", timeout=10)
    me.raise_for_status()
    print("Client:", me.json()["client_id"], "may:", " ".join(me.json()["scopes"]))
