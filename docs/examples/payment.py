"""A payment that is taken once, whatever happens to the line; and a part of it given back. Needs requests."""

import os
import sys
import time
import uuid

import requests

KUMIAI = os.environ["KUMIAI_URL"]
http = requests.Session()
http.headers["Authorization"] = f"Bearer {os.environ['ACCESS_TOKEN']}"
http.headers["Accept-Language"] = "en"


def send(path, body, key):
    """The answer to a request that moves value. The very same request goes out again until there is one."""
    for wait_s in (0, 1, 2, 4, 8, 16):
        time.sleep(wait_s)
        try:
            answer = http.post(f"{KUMIAI}{path}", json=body, headers={"Idempotency-Key": key}, timeout=10)
        except requests.RequestException:
            continue  # it may have been decided: ask again, with the same key
        if answer.status_code >= 500 or answer.status_code == 429 or is_in_progress(answer):
            continue
        return answer
    raise SystemExit(f"No answer. Keep the key and ask later: {key}")


def is_in_progress(answer):
    return answer.status_code == 409 and answer.json()["code"] == "request_in_progress"


order = {
    "amount_yen": 450,
    "money": os.environ["MONEY"],
    "shop": os.environ["SHOP"],
    "items": [{"group": "meal", "amount_yen": 450, "name": "A定食"}],
    "description": "昼食 A定食",
    "metadata": {"order": "A-17"},
}
tried = http.post(f"{KUMIAI}/v1/payments", json={**order, "dry_run": True}, timeout=10).json()
if "code" in tried:
    sys.exit(f"It would be refused: {tried['title']} ({tried['code']})")
print("Would pay:", ", ".join(f"{-p['signed_amount_yen']} of {p['money']['name']}" for p in tried["parts"]))

key = f"order-{uuid.uuid4()}"  # stored with the order, before the first sending
paid = send("/v1/payments", order, key)
if paid.status_code != 201:
    sys.exit(f"Refused: {paid.json()['title']}. {paid.json()['detail']}")
payment = paid.json()
print(f"Paid {payment['amount_yen']} yen, receipt {payment['receipt_no']}")

again = send("/v1/payments", order, key)
print("Sent twice, paid once:", again.json()["id"] == payment["id"], again.headers["Idempotency-Hit"])
asked = http.get(f"{KUMIAI}/v1/transactions/by-request/{key}", timeout=10).json()
print("Asked by its key:", asked["outcome"])

refund = send(f"/v1/payments/{payment['id']}/refunds", {"amount_yen": 200}, f"refund-{uuid.uuid4()}").json()
left = http.get(f"{KUMIAI}/v1/payments/{payment['id']}", timeout=10).json()["refundable_yen"]
print(f"Refunded {refund['amount_yen']} yen, {left} yen could still be")
