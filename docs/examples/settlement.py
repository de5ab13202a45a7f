"""A shop's own books: takings, transactions, settlements. Needs requests.

CLIENT_ID and CLIENT_SECRET are a service's with the scope `shop:read` and that shop.
"""

import os

import requests

KUMIAI, SHOP = os.environ["KUMIAI_URL"], os.environ["SHOP"]
CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
form = {"grant_type": "client_credentials", "scope": "shop:read"}
token = requests.post(f"{KUMIAI}/oauth/token", form, auth=CLIENT, timeout=10).json()["access_token"]


def get(path, **query):
    answer = requests.get(f"{KUMIAI}{path}", query, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    answer.raise_for_status()
    return answer


print("Not settled yet:", get(f"/v1/shops/{SHOP}/balance").json()["total_yen"], "yen")
for one in get(f"/v1/shops/{SHOP}/transactions", limit=5).json()["transactions"]:
    print(one["receipt_no"], one["kind"], sum(part["signed_amount_yen"] for part in one["parts"]))
for settlement in get("/v1/settlements").json()["settlements"]:
    print(settlement["shop"]["code"], settlement["number"], settlement["payable_yen"], "yen to be paid")
    paper = get(f"/v1/settlements/{settlement['id']}/statement.pdf").content
    print(len(paper) > 1000 and paper[:4].decode())
