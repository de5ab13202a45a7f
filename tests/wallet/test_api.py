"""The resource API over HTTP: what each token may see and do, and how refusals look."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.db import transaction
from app.wallet import directory, ledger
from app.wallet.postings import Accepted
from tests import factories
from tests.wallet.postings import refund


@dataclass
class App:
    """A third-party app with a member's consent, and its way of calling."""

    http: FlaskClient
    holder: factories.Holder
    shop: str
    client_id: str
    token: str

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.http.get(path, headers={"Authorization": f"Bearer {self.token}", **headers})

    def pay(self, *, key: str | None = None, **changes: Any) -> TestResponse:
        body = {"amount_yen": 450, "money": self.holder.money, "shop": self.shop, **changes}
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key or secrets.token_hex(8)}
        # json.dumps as most clients write it: all ASCII, so that a lone surrogate can be sent at all
        return self.http.post("/v1/payments", data=json.dumps(body), content_type="application/json", headers=headers)


@pytest.fixture
def make(app: Flask, client: FlaskClient) -> Any:
    """An app with the given scopes, for a member with the given balance."""

    def make(*scopes: str, balance_yen: int = 2_000, max_per_payment_yen: int = 1_000) -> App:
        with app.app_context():
            holder = factories.holder(balance_yen=balance_yen)
            shop = directory.shop_by_id(holder.shop_id).code
            registered = factories.oauth_client(allowed_shops=[holder.shop_id])
            token = factories.access_token(
                member_id=holder.member_id,
                client_id=registered.id,
                scopes=scopes,
                max_per_payment_yen=max_per_payment_yen if "payment" in scopes else None,
            )
        return App(client, holder, shop, registered.id, token)

    return make


def test_a_payment_is_taken_and_shows_what_it_did(make: Any) -> None:
    app = make("payment", "balance")
    answer = app.pay(description="昼食 A定食", metadata={"order": "A-17"}, key="order-1")
    assert answer.status_code == 201
    body = answer.get_json()
    assert body["amount_yen"] == 450
    assert body["signed_amount_yen"] == -450
    assert body["balance_yen"] == 1_550
    assert body["shop"]["code"] == app.shop
    assert body["description"] == "昼食 A定食"
    assert body["metadata"] == {"order": "A-17"}
    assert body["request_id"] == "order-1"
    assert "Idempotency-Hit" not in answer.headers


def test_the_same_request_again_moves_nothing_and_says_so(make: Any) -> None:
    app = make("payment", "balance", "history")
    first = app.pay(key="once")
    again = app.pay(key="once")
    assert again.status_code == 201
    assert again.headers["Idempotency-Hit"] == "true"
    assert again.get_json() == first.get_json()
    assert len(_payments(app)) == 1


def test_a_repeated_refusal_is_the_same_refusal(make: Any) -> None:
    app = make("payment", "balance", balance_yen=100)
    first, again = app.pay(key="poor"), app.pay(key="poor")
    assert (first.status_code, first.get_json()["code"]) == (422, "insufficient_balance")
    assert (again.status_code, again.get_json()["code"]) == (422, "insufficient_balance")
    assert "Idempotency-Hit" not in first.headers
    assert again.headers["Idempotency-Hit"] == "true"


def test_the_same_key_with_another_body_is_a_conflict(make: Any) -> None:
    app = make("payment")
    app.pay(key="k")
    assert _refusal(app.pay(key="k", amount_yen=451)) == (409, "request_id_conflict")
    assert _refusal(app.pay(key="k", description="other")) == (409, "request_id_conflict")


def test_the_mandate_is_enforced(make: Any) -> None:
    app = make("payment", max_per_payment_yen=1_000)
    assert app.pay(amount_yen=1_000).status_code == 201
    answer = app.pay(amount_yen=1_001)
    assert _refusal(answer) == (403, "mandate_exceeded")
    assert answer.get_json()["max_yen"] == 1_000


def test_a_shop_outside_the_mandate_is_refused(make: Any, app: Flask) -> None:
    one = make("payment")
    with app.app_context():
        other = directory.shop_by_id(factories.shop(accepts=[one.holder.money])).code
    assert _refusal(one.pay(shop=other)) == (403, "mandate_exceeded")


def test_a_shop_that_the_office_took_from_the_client_is_not_paid_by_an_earlier_mandate(make: Any, app: Flask) -> None:
    one = make("payment")
    assert one.pay().status_code == 201
    with app.app_context(), transaction() as session:
        session.execute(text("UPDATE oauth_client SET allowed_shops = '{}' WHERE id = :id"), {"id": one.client_id})
    assert _refusal(one.pay()) == (403, "mandate_exceeded")


def test_a_request_that_names_nothing_known_has_its_answer_too(make: Any, app: Flask) -> None:
    """The shop opens between two sendings: this request stays refused, the next one is judged anew."""
    one = make("payment", "balance")
    assert _refusal(one.pay(shop="kiosk-tba", key="early")) == (404, "shop_unknown")
    with app.app_context(), transaction() as session:
        session.execute(text("UPDATE shop SET code = 'kiosk-tba' WHERE id = :id"), {"id": one.holder.shop_id})
    again = one.pay(shop="kiosk-tba", key="early")
    assert _refusal(again) == (404, "shop_unknown")
    assert again.headers["Idempotency-Hit"] == "true"
    told = one.get("/v1/transactions/by-request/early").get_json()
    assert (told["outcome"], told["refusal"]["code"]) == ("refused", "shop_unknown")
    assert one.pay(shop="kiosk-tba").status_code == 201


def test_without_the_permission_nothing_is_paid_or_shown(make: Any) -> None:
    app = make("history")
    answer = app.pay()
    assert _refusal(answer) == (403, "insufficient_scope")
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert _refusal(app.get("/v1/wallets")) == (403, "insufficient_scope")
    assert _refusal(make("balance").get("/v1/transactions")) == (403, "insufficient_scope")


def test_a_client_that_may_not_see_the_balance_is_not_told_it_by_the_way(make: Any) -> None:
    app = make("payment", "history", balance_yen=500)
    assert app.pay().get_json()["balance_yen"] is None
    refused = app.pay().get_json()
    assert refused["code"] == "insufficient_balance"
    assert not {"balance_yen", "short_by_yen"} & refused.keys()
    assert {one["balance_yen"] for one in app.get("/v1/transactions").get_json()["transactions"]} == {None}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount_yen": 0}, "amount_yen"),
        ({"amount_yen": -5}, "amount_yen"),
        ({"amount_yen": 10_000_000}, "amount_yen"),
        ({"amount_yen": "450"}, "amount_yen"),
        ({"amount_yen": 4.5}, "amount_yen"),
        ({"amount_yen": True}, "amount_yen"),
        ({"amount_yen": None}, "amount_yen"),
        ({"money": ""}, "money"),
        ({"shop": 7}, "shop"),
        ({"description": "x" * 201}, "description"),
        ({"description": "nul \0"}, "description"),
        ({"description": "lone \ud800"}, "description"),
        ({"metadata": {"k": 1}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(21)}}, "metadata"),
        ({"metadata": {"k": "\0"}}, "metadata"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_input_names_the_field_and_moves_nothing(make: Any, changes: dict[str, Any], field: str) -> None:
    app = make("payment", "history")
    answer = app.pay(**changes)
    assert _refusal(answer) == (422, "invalid_fields")
    assert list(answer.get_json()["errors"]) == [field]
    assert _payments(app) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"{" * 5_000])
def test_a_body_that_is_no_object_is_refused(make: Any, body: bytes) -> None:
    app = make("payment")
    headers = {
        "Authorization": f"Bearer {app.token}",
        "Idempotency-Key": secrets.token_hex(8),
        "Content-Type": "application/json",
    }
    answer = app.http.post("/v1/payments", data=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "ä", "k\n"])
def test_an_idempotency_key_is_required_and_has_a_form(make: Any, key: str) -> None:
    app = make("payment")
    body = {"amount_yen": 1, "money": app.holder.money, "shop": app.shop}
    environ = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    answer = app.http.post(
        "/v1/payments", json=body, headers={"Authorization": f"Bearer {app.token}"}, environ_overrides=environ
    )
    assert _refusal(answer) == (422, "invalid_fields")
    assert list(answer.get_json()["errors"]) == ["Idempotency-Key"]


def test_unknown_shop_and_money_are_named(make: Any) -> None:
    app = make("payment")
    assert _refusal(app.pay(shop="nowhere")) == (404, "shop_unknown")
    assert _refusal(app.pay(money="nothing")) == (422, "money_not_accepted")


def test_wallets_and_one_wallet(make: Any) -> None:
    app = make("balance")
    body = app.get("/v1/wallets").get_json()
    assert body["total_yen"] == 2_000
    [shown] = body["wallets"]
    assert shown["money"] == {"code": app.holder.money, "name": "学食マネー"}
    assert (shown["status"], shown["balance_yen"]) == ("active", 2_000)
    assert app.get(f"/v1/wallets/{app.holder.money}").get_json() == body["wallets"][0]
    assert _refusal(app.get("/v1/wallets/gold")) == (404, "wallet_unknown")


def test_names_come_in_the_language_asked_for(make: Any) -> None:
    app = make("balance")
    english = {"Accept-Language": "en"}
    assert app.get("/v1/wallets", **english).get_json()["wallets"][0]["money"]["name"] == "Meal money"
    refused = app.get("/v1/wallets/gold", **english).get_json()
    assert refused["title"] == "There is no wallet of this money"


def test_history_pages_are_complete_and_in_order(make: Any) -> None:
    app = make("payment", "history", "balance", balance_yen=1_000)
    for _ in range(7):
        app.pay(amount_yen=10)
    seen: list[dict[str, Any]] = []
    path = "/v1/transactions?limit=3"
    while True:
        page = app.get(path).get_json()
        seen += page["transactions"]
        if page["next_cursor"] is None:
            break
        path = f"/v1/transactions?limit=3&cursor={page['next_cursor']}"
    assert [one["kind"] for one in seen] == ["payment"] * 7 + ["charge"]
    assert [one["balance_yen"] for one in seen] == [930, 940, 950, 960, 970, 980, 990, 1_000]
    assert [one["signed_amount_yen"] for one in seen] == [-10] * 7 + [1_000]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=abc", "cursor=cDA", "cursor=%00"])
def test_a_bad_page_request_names_the_field(make: Any, query: str) -> None:
    answer = make("history").get(f"/v1/transactions?{query}")
    assert _refusal(answer) == (422, "invalid_fields")
    assert list(answer.get_json()["errors"]) == [query.partition("=")[0]]


def test_one_transaction_is_the_members_own_only(make: Any) -> None:
    mine, theirs = make("payment", "history"), make("history")
    paid = mine.pay().get_json()
    found = mine.get(f"/v1/transactions/{paid['id']}").get_json()
    assert mine.http.get(found.pop("receipt_url")).status_code == 200, "the page of its proof"
    assert found == paid
    assert _refusal(theirs.get(f"/v1/transactions/{paid['id']}")) == (404, "not_found")
    assert _refusal(mine.get("/v1/transactions/not-a-uuid")) == (404, "not_found")


def test_a_lost_reply_can_be_asked_for(make: Any) -> None:
    app, other = make("payment"), make("payment")
    paid = app.pay(key="lost").get_json()
    app.pay(key="too-much", amount_yen=999_999)
    assert app.get("/v1/transactions/by-request/lost").get_json() == {
        "request_id": "lost",
        "outcome": "accepted",
        "transaction": paid,
        "refusal": None,
    }
    refused = app.get("/v1/transactions/by-request/too-much").get_json()
    assert refused["outcome"] == "refused"
    assert (refused["refusal"]["code"], refused["refusal"]["status"]) == ("mandate_exceeded", 403)
    assert _refusal(app.get("/v1/transactions/by-request/never-sent")) == (404, "not_found")
    assert _refusal(other.get("/v1/transactions/by-request/lost")) == (404, "not_found")


def test_another_member_of_the_same_client_does_not_find_it(make: Any, app: Flask) -> None:
    first = make("payment", balance_yen=500)
    assert first.pay(key="paid").status_code == 201
    assert _refusal(first.pay(key="refused")) == (422, "insufficient_balance")
    with app.app_context():
        second = factories.holder()
        token = factories.access_token(member_id=second.member_id, client_id=first.client_id, scopes=["balance"])
    for key in ("paid", "refused"):
        assert first.get(f"/v1/transactions/by-request/{key}").status_code == 200
        answer = first.http.get(f"/v1/transactions/by-request/{key}", headers={"Authorization": f"Bearer {token}"})
        assert _refusal(answer) == (404, "not_found")


def test_me_says_whom_the_token_acts_for(make: Any) -> None:
    named, nameless = make("profile", "balance"), make("balance")
    body = named.get("/v1/me").get_json()
    assert body == {
        "client_id": named.client_id,
        "scopes": ["balance", "profile"],
        "id": str(named.holder.member_id),
        "name": "組合 花子",
    }
    assert nameless.get("/v1/me").get_json()["name"] is None


def test_a_refund_appears_in_the_history_with_what_it_reverses(make: Any, app: Flask) -> None:
    one = make("payment", "history", "balance")
    paid = one.pay().get_json()
    with app.app_context():
        back = ledger.post(refund(UUID(paid["id"])))
    assert isinstance(back, Accepted)
    newest = one.get("/v1/transactions").get_json()["transactions"][0]
    assert (newest["kind"], newest["signed_amount_yen"], newest["reverses"]) == ("refund", 450, paid["id"])


def test_a_suspended_wallet_pays_nothing(make: Any, app: Flask) -> None:
    one = make("payment")
    with app.app_context(), transaction() as session:
        session.execute(
            text("UPDATE wallet SET status = 'suspended' WHERE member_id = :id"), {"id": one.holder.member_id}
        )
    assert _refusal(one.pay()) == (403, "wallet_suspended")


def test_a_wrong_method_keeps_its_allow_header(client: FlaskClient) -> None:
    answer = client.delete("/v1/payments")
    assert _refusal(answer) == (405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


def test_a_large_body_is_refused(make: Any) -> None:
    answer = make("payment").pay(description="x" * 300_000)
    assert _refusal(answer) == (413, "too_large")


def test_every_answer_carries_a_request_id_and_is_not_kept(make: Any) -> None:
    answer = make("balance").get("/v1/wallets")
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


def _payments(app: App) -> list[dict[str, Any]]:
    shown = app.get("/v1/transactions").get_json()["transactions"]
    return [one for one in shown if one["kind"] == "payment"]


def _refusal(answer: TestResponse) -> tuple[int, str]:
    assert answer.mimetype == "application/problem+json"
    body = answer.get_json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert body["title"] != f"error.{body['code']}", "no sentence for this code"
    return answer.status_code, body["code"]
