"""Many members charged at once, by an app they allowed to while they are away. Needs requests.

MEMBERS: their `sub`, with spaces between.
"""

import os
import time

import requests

KUMIAI = os.environ["KUMIAI_URL"]
CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])

form = {"grant_type": "client_credentials", "scope": "payment"}
token = requests.post(f"{KUMIAI}/oauth/token", form, auth=CLIENT, timeout=10).json()["access_token"]

plan = {"amount_yen": 300, "money": os.environ["MONEY"], "shop": os.environ["SHOP"], "description": "ミールプラン"}
rows = [
    {**plan, "member": member, "request_id": f"plan-2026-11-{member}"}  # yours, and stored before it is sent
    for member in os.environ["MEMBERS"].split()
]


def charge(payments):
    """Up to 500 at once. The very same batch goes out again until there is an answer to all of it."""
    for wait_s in (0, 1, 2, 4, 8):
        time.sleep(wait_s)
        try:
            headers = {"Authorization": f"Bearer {token}"}
            body = {"payments": payments}
            answer = requests.post(f"{KUMIAI}/v1/payments/batch", json=body, headers=headers, timeout=60)
        except requests.RequestException:
            continue
        if answer.status_code < 500:
            answer.raise_for_status()
            return answer.json()["results"]
    raise SystemExit("No answer. Keep the request_ids and send the same batch later.")


for result in charge(rows):
    print(result["request_id"], result["status"], result.get("problem", {}).get("code", "paid"))
print("Sent again:", [result["hit"] for result in charge(rows)])
