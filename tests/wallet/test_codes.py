"""One-time codes, both ways, through HTTP: used once, for a minute, within the mandate, and a refusal is told."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app import clock
from app.db import transaction
from app.reader import terminals
from app.wallet import directory
from app.wallet.codes.digits import LENGTH, new_digits, normal
from tests import factories
from tests.reader.stand import Stand
from tests.reader.stand import stand as make_stand


@pytest.fixture
def stand(app: Flask) -> Iterator[Stand]:
    with app.app_context():
        yield make_stand(balance_yen=2_000, token_scopes=("till", "till:charge"))


class Phone:
    """The app of the stand's member."""

    def __init__(
        self,
        client: FlaskClient,
        stand: Stand,
        *,
        scopes: tuple[str, ...] = ("payment", "balance"),
        max_per_payment_yen: int = 3_000,
        signed_in_ago: timedelta = timedelta(),
    ) -> None:
        self.client = client
        shops = factories.oauth_client(allowed_shops=[stand.holder.shop_id], scopes=("balance", "payment", "charge"))
        self.token = factories.access_token(
            member_id=stand.holder.member_id,
            client_id=shops.id,
            scopes=list(scopes),
            max_per_payment_yen=max_per_payment_yen,
            auth_time=clock.now() - signed_in_ago,
        )

    def call(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": secrets.token_hex(8)}
        headers |= options.pop("headers", {})
        return self.client.open(f"/v1{path}", method=method, headers=headers, **options)

    def code(self, **body: Any) -> dict[str, Any]:
        answer = self.call("POST", "/codes", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.get_json()
        return made


@pytest.fixture
def phone(client: FlaskClient, stand: Stand) -> Phone:
    return Phone(client, stand)


def till(client: FlaskClient, stand: Stand, method: str, path: str, **options: Any) -> Any:
    headers = {"Authorization": f"Bearer {stand.token}", "Idempotency-Key": options.pop("key", secrets.token_hex(8))}
    return client.open(f"/v1{path}", method=method, headers=headers, **options)


def expire(code_id: str) -> None:
    with transaction() as session:
        session.execute(text("UPDATE one_time_code SET expires_at = now() WHERE id = :id"), {"id": code_id})


def test_a_members_code_pays_once(client: FlaskClient, stand: Stand, phone: Phone) -> None:
    shown = phone.code()
    assert len(shown["code"]) == LENGTH
    body = {"code": shown["code"], "amount_yen": 380, "description": "昼食"}
    paid = till(client, stand, "POST", "/code-payments", json=body, key="scan-1")
    assert paid.status_code == 201, paid.text
    assert (paid.get_json()["amount_yen"], stand.balance_yen()) == (380, 1_620)
    again = till(client, stand, "POST", "/code-payments", json=body, key="scan-1")
    assert (again.status_code, again.headers["Idempotency-Hit"]) == (201, "true")
    second = till(client, stand, "POST", "/code-payments", json=body)
    assert (second.status_code, second.get_json()["code"]) == (409, "code_used")
    seen = phone.call("GET", f"/codes/{shown['id']}").get_json()
    assert (seen["status"], seen["transaction_id"]) == ("used", paid.get_json()["id"])


def test_a_members_code_stays_within_the_mandate(client: FlaskClient, stand: Stand) -> None:
    shown = Phone(client, stand, max_per_payment_yen=500).code()
    answer = till(client, stand, "POST", "/code-payments", json={"code": shown["code"], "amount_yen": 501})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "mandate_exceeded")
    answer = till(client, stand, "POST", "/code-payments", json={"code": shown["code"], "amount_yen": 500})
    assert answer.status_code == 201


def test_a_code_of_another_purpose_is_unknown(client: FlaskClient, stand: Stand, phone: Phone) -> None:
    shown = phone.code()
    answer = till(client, stand, "POST", "/code-charges", json={"code": shown["code"], "amount_yen": 1_000})
    assert (answer.status_code, answer.get_json()["code"]) == (404, "code_unknown")


def test_cash_is_charged_by_a_code_for_it(client: FlaskClient, stand: Stand) -> None:
    phone = Phone(client, stand, scopes=("charge",))
    shown = phone.code(purpose="charge")
    answer = till(client, stand, "POST", "/code-charges", json={"code": shown["code"], "amount_yen": 1_000})
    assert (answer.status_code, stand.balance_yen()) == (201, 3_000)
    second = till(client, stand, "POST", "/code-charges", json={"code": shown["code"], "amount_yen": 1_000})
    assert (second.status_code, stand.balance_yen()) == (409, 3_000)
    refused = till(client, stand, "POST", "/code-payments", json={"code": shown["code"], "amount_yen": 1})
    assert refused.get_json()["code"] == "code_unknown"


@pytest.mark.parametrize(
    ("scopes", "purpose"), [(("balance",), "payment"), (("charge",), "payment"), (("payment",), "charge")]
)
def test_a_code_needs_the_scope_of_its_purpose(
    client: FlaskClient, stand: Stand, scopes: tuple[str, ...], purpose: str
) -> None:
    answer = Phone(client, stand, scopes=scopes).call("POST", "/codes", json={"purpose": purpose})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "insufficient_scope")


def test_an_old_code_does_not_pay(client: FlaskClient, stand: Stand, phone: Phone) -> None:
    shown = phone.code()
    expire(shown["id"])
    answer = till(client, stand, "POST", "/code-payments", json={"code": shown["code"], "amount_yen": 1})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "code_expired")


def test_codes_rotate_and_the_last_but_one_stays_good(client: FlaskClient, stand: Stand, phone: Phone) -> None:
    first, second, third = phone.code(), phone.code(), phone.code()
    answer = till(client, stand, "POST", "/code-payments", json={"code": first["code"], "amount_yen": 1})
    assert answer.get_json()["code"] == "code_cancelled"
    for shown in (second, third):
        answer = till(client, stand, "POST", "/code-payments", json={"code": shown["code"], "amount_yen": 1})
        assert answer.status_code == 201


def test_twenty_scans_at_once_of_a_members_code_pay_once(app: Flask, stand: Stand, phone: Phone) -> None:
    shown = phone.code()

    def scan(_: int) -> int:
        body = {"code": shown["code"], "amount_yen": 10}
        status: int = till(app.test_client(), stand, "POST", "/code-payments", json=body).status_code
        return status

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(scan, range(20)))
    assert statuses == [201, *[409] * 19]
    assert stand.balance_yen() == 1_990


def shop_code(client: FlaskClient, stand: Stand, **body: Any) -> dict[str, Any]:
    answer = till(client, stand, "POST", "/shop-codes", json={"amount_yen": 450, **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.get_json()
    return made


def test_a_shops_code_is_seen_and_paid_once(client: FlaskClient, stand: Stand, phone: Phone) -> None:
    made = shop_code(client, stand, description="A定食")
    assert made["code"] in made["url"]
    seen = phone.call("GET", f"/shop-codes/scanned?code={made['code']}").get_json()
    with_shop = directory.shop_by_id(stand.holder.shop_id).code
    assert (seen["amount_yen"], seen["shop"]["code"], seen["description"]) == (450, with_shop, "A定食")
    body = {"code": made["code"], "money": stand.holder.money}
    paid = phone.call("POST", "/payments/by-code", json=body)
    assert paid.status_code == 201, paid.text
    assert paid.get_json()["shop"]["code"] == with_shop
    assert phone.call("POST", "/payments/by-code", json=body).get_json()["code"] == "code_used"
    told = till(client, stand, "GET", f"/shop-codes/{made['id']}").get_json()
    assert (told["status"], told["transaction_id"]) == ("used", paid.get_json()["id"])
    assert stand.takings_yen() == 450


def test_a_refusal_leaves_the_code_open_and_tells_the_till_why(client: FlaskClient, stand: Stand, phone: Phone) -> None:
    made = shop_code(client, stand, amount_yen=2_001)
    answer = phone.call("POST", "/payments/by-code", json={"code": made["code"], "money": stand.holder.money})
    assert answer.status_code == 422
    told = till(client, stand, "GET", f"/shop-codes/{made['id']}").get_json()
    assert (told["status"], told["last_refusal"]["code"]) == ("open", "insufficient_balance")
    assert told["last_refusal"]["title"]
    assert told["last_refused_at"]
    factories.charge(member_id=stand.holder.member_id, money=stand.holder.money, amount_yen=1)
    assert (
        phone.call("POST", "/payments/by-code", json={"code": made["code"], "money": stand.holder.money}).status_code
        == 201
    )


def test_a_cancelled_code_is_not_paid_and_a_paid_one_not_cancelled(
    client: FlaskClient, stand: Stand, phone: Phone
) -> None:
    made, paid = shop_code(client, stand), shop_code(client, stand)
    for _ in range(2):
        assert till(client, stand, "DELETE", f"/shop-codes/{made['id']}").get_json()["status"] == "cancelled"
    answer = phone.call("POST", "/payments/by-code", json={"code": made["code"], "money": stand.holder.money})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "code_cancelled")
    phone.call("POST", "/payments/by-code", json={"code": paid["code"], "money": stand.holder.money})
    answer = till(client, stand, "DELETE", f"/shop-codes/{paid['id']}")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "code_used")


def test_cancelling_while_paying_is_one_or_the_other(
    app: Flask, client: FlaskClient, stand: Stand, phone: Phone
) -> None:
    for _ in range(10):
        made = shop_code(client, stand, amount_yen=1)
        other = Phone.__new__(Phone)
        other.client, other.token = app.test_client(), phone.token
        body = {"code": made["code"], "money": stand.holder.money}
        with ThreadPoolExecutor(2) as pool:
            paying = pool.submit(other.call, "POST", "/payments/by-code", json=body)
            cancelling = pool.submit(till, app.test_client(), stand, "DELETE", f"/shop-codes/{made['id']}")
        assert {paying.result().status_code, cancelling.result().status_code} in ({201, 409}, {409, 200})


def test_a_large_amount_needs_a_fresh_sign_in(client: FlaskClient, stand: Stand) -> None:
    factories.charge(member_id=stand.holder.member_id, money=stand.holder.money, amount_yen=20_000)
    phone = Phone(client, stand, max_per_payment_yen=20_000, signed_in_ago=timedelta(minutes=6))
    made = shop_code(client, stand, amount_yen=10_001)
    body = {"code": made["code"], "money": stand.holder.money}
    refused = phone.call("POST", "/payments/by-code", json=body)
    assert (refused.status_code, refused.get_json()["code"]) == (401, "insufficient_user_authentication")
    fresh = Phone(client, stand, max_per_payment_yen=20_000)
    assert fresh.call("POST", "/payments/by-code", json=body).status_code == 201


def test_a_code_names_its_money_or_the_member_chooses(client: FlaskClient, stand: Stand, phone: Phone) -> None:
    free, named = shop_code(client, stand), shop_code(client, stand, money=stand.holder.money)
    answer = phone.call("POST", "/payments/by-code", json={"code": free["code"]})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["money"])
    assert phone.call("POST", "/payments/by-code", json={"code": named["code"]}).status_code == 201


def test_strangers_see_nothing_of_a_code(client: FlaskClient, app: Flask, stand: Stand, phone: Phone) -> None:
    made, shown = shop_code(client, stand), phone.code()
    stranger = make_stand()
    assert till(client, stranger, "GET", f"/shop-codes/{made['id']}").status_code == 404
    assert till(client, stranger, "DELETE", f"/shop-codes/{made['id']}").status_code == 404
    assert Phone(client, stranger).call("GET", f"/codes/{shown['id']}").status_code == 404


def test_a_revoked_till_shows_and_takes_nothing(client: FlaskClient, stand: Stand, phone: Phone) -> None:
    shown = phone.code()
    with transaction():
        terminals.revoke(stand.terminal_id)
    for path, body in (
        ("/shop-codes", {"amount_yen": 1}),
        ("/code-payments", {"amount_yen": 1, "code": shown["code"]}),
        ("/code-charges", {"amount_yen": 1, "code": shown["code"]}),
    ):
        answer = till(client, stand, "POST", path, json=body)
        assert (answer.status_code, answer.get_json()["code"]) == (403, "terminal_revoked")


@given(st.sampled_from(["member", "shop"]), st.integers(min_value=0, max_value=LENGTH - 1), st.integers(1, 9))
def test_one_misread_digit_is_noticed(side: str, place: int, off: int) -> None:
    digits = new_digits(side)
    assert normal(digits) == digits
    assert normal(f" {digits[:4]}-{digits[4:]} ") == digits
    assert normal(digits.translate(str.maketrans("0123456789", "０１２３４５６７８９"))) == digits
    wrong = digits[:place] + str((int(digits[place]) + off) % 10) + digits[place + 1 :]
    assert normal(wrong) is None


@given(st.text(max_size=40))
def test_any_text_is_a_code_or_none(text_: str) -> None:
    assert normal(text_) is None or len(normal(text_) or "") == LENGTH
