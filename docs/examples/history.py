"""A member's balances, what expires, history page by page, a month's statement. Needs requests."""

import os
from datetime import date

import requests

KUMIAI = os.environ["KUMIAI_URL"]
http = requests.Session()
http.headers["Authorization"] = f"Bearer {os.environ['ACCESS_TOKEN']}"


def get(path, **query):
    answer = http.get(f"{KUMIAI}{path}", params=query, timeout=10)
    answer.raise_for_status()
    return answer


for wallet in get("/v1/wallets").json()["wallets"]:
    lots = [f"{lot['amount_yen']} until {lot['expires_on']}" for lot in wallet["lots"] if lot["expires_on"]]
    print(wallet["money"]["name"], wallet["balance_yen"], *lots)


def transactions(**query):
    """All of them, newest first. A page of a search may be short, even empty: go on until there is no cursor."""
    cursor = None
    while True:
        page = get("/v1/transactions", limit=50, **query, **({"cursor": cursor} if cursor else {})).json()
        yield from page["transactions"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


for one in transactions(kind=["payment", "refund"], min_yen=100, q="昼食"):
    print(one["created_at"], one["kind"], one["signed_amount_yen"], one["description"])

month = f"{date.today():%Y-%m}"
print(get(f"/v1/statements/{month}.csv").content.decode("utf-8-sig"))
then = get("/v1/wallets", at="2026-01-01").json()
print("At the end of New Year's Day:", then["total_yen"])
