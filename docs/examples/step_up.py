"""A payment that may need a fresh sign-in (RFC 9470): asked for with its limits (RFC 9396), sent again under one key.

Needs requests. The client has the profile web and may take payments for SHOP.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import uuid
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

KUMIAI, REDIRECT_URI = os.environ["KUMIAI_URL"], os.environ["REDIRECT_URI"]
CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
SHOP, MONEY, YEN = os.environ["SHOP"], os.environ["MONEY"], int(os.environ["YEN"])
known = requests.get(f"{KUMIAI}/.well-known/openid-configuration", timeout=10).json()


def token_for(**more):
    """One round through the member's browser. `more` is added to the authorization request."""
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe()
    detail = {"type": "payment", "shops": [SHOP], "money": [MONEY], "max_per_payment_yen": YEN}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": CLIENT[0],
        "redirect_uri": REDIRECT_URI,
        "scope": "openid payment",
        "authorization_details": json.dumps([detail]),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **more,
    }
    print("Open this:", f"{known['authorization_endpoint']}?{urlencode(asked)}", flush=True)
    back = parse_qs(urlsplit(input("The address it came back to: ")).query)
    if back.get("state") != [state] or back.get("iss") != [known["issuer"]] or "code" not in back:
        raise SystemExit(f"Not allowed: {back.get('error')}")
    form = {"grant_type": "authorization_code", "code": back["code"][0], "redirect_uri": REDIRECT_URI}
    answer = requests.post(known["token_endpoint"], {**form, "code_verifier": verifier}, auth=CLIENT, timeout=10).json()
    print("Given:", json.dumps(answer.get("authorization_details")))  # perhaps lower than asked
    return answer["access_token"]


def pay(token, key):
    body = {"amount_yen": YEN, "shop": SHOP, "money": MONEY}
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    return requests.post(f"{KUMIAI}/v1/payments", json=body, headers=headers, timeout=10)


key = str(uuid.uuid4())  # keep it before you send: the same payment always goes out under the same key
paid = pay(token_for(), key)
challenge = paid.headers.get("WWW-Authenticate", "")
if paid.status_code == 401 and 'error="insufficient_user_authentication"' in challenge:
    print("The member must sign in again.")
    paid = pay(token_for(max_age=re.search(r'max_age="(\d+)"', challenge)[1]), key)
print(paid.status_code, paid.json().get("code", "paid"), paid.json().get("amount_yen", ""))
