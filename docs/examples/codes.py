"""One-time codes both ways: a till shows one with an amount, a member shows one for a minute. Needs requests.

TILL_TOKEN is the till's, ACCESS_TOKEN the member's app's: in life, two programs.
"""

import os
import uuid

import requests

KUMIAI, MONEY = os.environ["KUMIAI_URL"], os.environ["MONEY"]


def call(token, method, path, body=None):
    headers = {"Authorization": f"Bearer {os.environ[token]}", "Idempotency-Key": str(uuid.uuid4())}
    answer = requests.request(method, f"{KUMIAI}{path}", json=body, headers=headers, timeout=10)
    return answer.json()


# The till shows a code with its amount; show `url` as a QR code.
shown = call("TILL_TOKEN", "POST", "/v1/shop-codes", {"amount_yen": 450, "description": "昼食 A定食"})
seen = call("ACCESS_TOKEN", "GET", f"/v1/shop-codes/scanned?code={shown['code']}")
print(f"{seen['shop']['name']} asks for {seen['amount_yen']} yen")
call("ACCESS_TOKEN", "POST", "/v1/payments/by-code", {"code": shown["code"], "money": MONEY})
status = call("TILL_TOKEN", "GET", f"/v1/shop-codes/{shown['id']}")  # ask every second, until it is not open
print("The till's code is", status["status"])

# The member shows a code, for a minute; ask for the next one after rotate_after_s.
mine = call("ACCESS_TOKEN", "POST", "/v1/codes", {"purpose": "payment", "money": MONEY})
paid = call("TILL_TOKEN", "POST", "/v1/code-payments", {"code": mine["code"], "amount_yen": 380})
print(f"Paid {paid['amount_yen']} yen, {paid['balance_yen']} yen left")
again = call("TILL_TOKEN", "POST", "/v1/code-payments", {"code": mine["code"], "amount_yen": 380})
print("Read again:", again["code"])
