"""Value is set aside while the order is made ready, then taken in part. Needs requests."""

import os
import uuid

import requests

KUMIAI = os.environ["KUMIAI_URL"]
http = requests.Session()
http.headers["Authorization"] = f"Bearer {os.environ['ACCESS_TOKEN']}"


def post(path, body):
    answer = http.post(f"{KUMIAI}{path}", json=body, headers={"Idempotency-Key": str(uuid.uuid4())}, timeout=10)
    if not answer.ok:
        raise SystemExit(answer.json()["code"])
    return answer.json()


place = {"money": os.environ["MONEY"], "shop": os.environ["SHOP"]}
hold = post("/v1/holds", {**place, "amount_yen": 1200, "expires_in_s": 900, "description": "図書の予約"})
print("Held until", http.get(f"{KUMIAI}/v1/holds/{hold['id']}", timeout=10).json()["expires_at"])
taken = post(f"/v1/holds/{hold['id']}/capture", {"amount_yen": 1000})
print(f"Took {taken['amount_yen']} yen; the rest is free again")

other = post("/v1/holds", {**place, "amount_yen": 500})
post(f"/v1/holds/{other['id']}/release", {})
print("The other is", http.get(f"{KUMIAI}/v1/holds/{other['id']}", timeout=10).json()["state"])
