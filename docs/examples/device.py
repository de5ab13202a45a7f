"""The device grant: a screen without a keyboard. Needs requests. The client has the profile native (or web)."""

import os
import time

import requests

KUMIAI, CLIENT_ID = os.environ["KUMIAI_URL"], os.environ["CLIENT_ID"]
known = requests.get(f"{KUMIAI}/.well-known/openid-configuration", timeout=10).json()

form = {"client_id": CLIENT_ID, "scope": "openid balance"}
asked = requests.post(known["device_authorization_endpoint"], form, timeout=10).json()
if "error" in asked:
    raise SystemExit(f"{asked['error']}: {asked['error_description']}")
print("Open", asked["verification_uri"], "and type", asked["user_code"])
print("Or scan this:", asked["verification_uri_complete"], flush=True)

form = {
    "client_id": CLIENT_ID,
    "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
    "device_code": asked["device_code"],
}
interval_s = asked["interval"]
while True:
    time.sleep(interval_s)
    token = requests.post(known["token_endpoint"], form, timeout=10).json()
    if token.get("error") == "slow_down":
        interval_s += 5
    elif token.get("error") != "authorization_pending":
        break
if "error" in token:  # access_denied: the member said no; expired_token: begin again
    raise SystemExit(f"Not connected: {token['error']}")

print("Allowed:", token["scope"])
if "balance" in token["scope"].split():
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    print("Total:", requests.get(f"{KUMIAI}/v1/wallets", headers=bearer, timeout=10).json()["total_yen"], "yen")
