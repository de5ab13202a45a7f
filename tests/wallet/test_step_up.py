"""A large payment needs a fresh sign-in (RFC 9470), and whatever it answers, money moves once."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from app import clock
from app.db import autocommit, transaction
from app.issuer import current_issuer
from app.oauth.step_up import FRESH
from app.wallet import directory
from tests import factories
from tests.oauth.conftest import RESOURCE, Member, ThirdParty, sign_in
from tests.oauth.keyholder import ISSUER, Keyholder, Signer
from tests.oauth.test_races import at_once

STEP_UP_YEN = 1_000
STALE = FRESH + timedelta(seconds=1)


@pytest.fixture
def app(fresh_app: Flask) -> Flask:
    """A co-op that wants a fresh sign-in above 1,000 yen."""
    with fresh_app.app_context(), transaction() as session:
        session.execute(text("UPDATE issuer SET step_up_yen = :yen"), {"yen": STEP_UP_YEN})
    return fresh_app


@dataclass(frozen=True)
class Payer:
    """A member with 20,000 yen, the app they allowed to take payments, and its token."""

    app: Flask
    holder: factories.Holder
    shop: str
    client: factories.RegisteredClient
    token: str

    def pay(self, yen: int, *, key: str | None = None, token: str | None = None, **headers: str) -> TestResponse:
        body = {"amount_yen": yen, "money": self.holder.money, "shop": self.shop}
        sent = {
            "Authorization": f"Bearer {token or self.token}",
            "Idempotency-Key": key or secrets.token_hex(8),
            **headers,
        }
        return self.app.test_client().post("/v1/payments", json=body, headers=sent)

    def signed_in(self, auth_time: datetime, *, jkt: str | None = None) -> str:
        """Another token of the same permission, of a sign-in at that time."""
        with self.app.app_context():
            return factories.access_token(
                member_id=self.holder.member_id,
                client_id=self.client.id,
                scopes=["payment"],
                max_per_payment_yen=5_000,
                auth_time=auth_time,
                jkt=jkt,
            )

    @property
    def payments_yen(self) -> list[int]:
        """What was paid, by the ledger."""
        statement = "SELECT amount_yen FROM transaction WHERE member_id = :id AND kind = 'payment' ORDER BY position"
        with self.app.app_context(), autocommit().connect() as connection:
            return list(connection.scalars(text(statement), {"id": self.holder.member_id}))


@pytest.fixture
def payer(app: Flask) -> Payer:
    """Signed in longer ago than a large payment allows."""
    with app.app_context():
        holder = factories.holder(balance_yen=20_000)
        shop = directory.shop_by_id(holder.shop_id).code
        client = factories.oauth_client(allowed_shops=[holder.shop_id])
    payer = Payer(app, holder, shop, client, token="")
    return replace(payer, token=payer.signed_in(clock.now() - STALE))


def sign_in_again(response: TestResponse, *, scheme: str = "Bearer") -> None:
    """The refusal of RFC 9470 section 3, for programs and for their authors."""
    body = response.get_json()
    assert (response.status_code, body["code"]) == (401, "insufficient_user_authentication"), body
    assert response.mimetype == "application/problem+json"
    assert body["max_age_s"] == 300
    algs = 'algs="ES256 PS256 EdDSA", ' if scheme == "DPoP" else ""
    assert response.headers["WWW-Authenticate"] == (
        f'{scheme} realm="kumiai", error="insufficient_user_authentication", '
        f'error_description="The member must sign in again for this", max_age="300", {algs}{RESOURCE}'
    )


def test_the_line_is_drawn_at_ten_thousand_yen_unless_the_office_says_otherwise(fresh_app: Flask) -> None:
    with fresh_app.app_context():
        assert current_issuer().step_up_yen == 10_000


def test_a_payment_above_the_line_needs_a_fresh_sign_in(payer: Payer) -> None:
    assert payer.pay(STEP_UP_YEN).status_code == 201
    sign_in_again(payer.pay(STEP_UP_YEN + 1))
    assert payer.payments_yen == [STEP_UP_YEN]

    fresh = payer.signed_in(clock.now())
    assert payer.pay(STEP_UP_YEN + 1, token=fresh).status_code == 201


def test_a_sign_in_is_fresh_for_five_minutes(payer: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = clock.now()
    token = payer.signed_in(begun)

    monkeypatch.setattr(clock, "now", lambda: begun + FRESH)
    assert payer.pay(2_000, token=token).status_code == 201
    monkeypatch.setattr(clock, "now", lambda: begun + STALE)
    sign_in_again(payer.pay(2_000, token=token))
    assert payer.payments_yen == [2_000]


def test_a_refusal_of_another_kind_is_not_told_to_an_old_sign_in(payer: Payer) -> None:
    """Who is not signed in freshly does not learn whether a large payment would pass; nor is anything stored."""
    key = "beyond"
    sign_in_again(payer.pay(9_000, key=key))

    found = payer.app.test_client().get(
        f"/v1/transactions/by-request/{key}", headers={"Authorization": f"Bearer {payer.token}"}
    )
    assert found.status_code == 404
    answer = payer.pay(9_000, key=key, token=payer.signed_in(clock.now()))
    assert (answer.status_code, answer.get_json()["code"]) == (403, "mandate_exceeded")


@pytest.mark.parametrize("yen", [2_000, 9_000])
def test_a_lost_answer_is_given_to_an_old_sign_in_too(payer: Payer, yen: int) -> None:
    """Accepted or refused: it is decided, and asking again decides nothing."""
    first = payer.pay(yen, key="lost", token=payer.signed_in(clock.now()))

    late = payer.pay(yen, key="lost")

    assert (late.status_code, late.get_json().get("id")) == (first.status_code, first.get_json().get("id"))
    assert late.headers["Idempotency-Hit"] == "true"
    assert payer.payments_yen == ([2_000] if yen == 2_000 else [])


def test_a_decided_name_is_no_way_around(payer: Payer) -> None:
    """Neither with another amount, nor for another member, nor of another client."""
    assert payer.pay(100, key="small").status_code == 201

    conflict = payer.pay(2_000, key="small")
    assert (conflict.status_code, conflict.get_json()["code"]) == (409, "request_id_conflict")

    with payer.app.app_context():
        other = factories.oauth_client(allowed_shops=[payer.holder.shop_id])
    elsewhere = replace(payer, client=other)
    sign_in_again(elsewhere.pay(100 + 2_000, key="small", token=elsewhere.signed_in(clock.now() - STALE)))

    with payer.app.app_context():
        second = factories.holder(balance_yen=5_000)
    theirs = replace(payer, holder=replace(second, money=payer.holder.money))
    answer = theirs.pay(2_000, key="small", token=theirs.signed_in(clock.now() - STALE))
    assert (answer.status_code, answer.get_json()["code"]) == (409, "request_id_conflict")
    assert payer.payments_yen == [100]


def test_twenty_at_once_of_which_half_are_old_pay_once(payer: Payer) -> None:
    fresh = payer.signed_in(clock.now())

    answers = at_once(lambda number: payer.pay(2_000, key="once", token=fresh if number % 2 else None))

    told = Counter(answer.get_json().get("code", "paid") for answer in answers)
    assert told.keys() <= {"paid", "insufficient_user_authentication"}
    assert told["paid"] >= 10
    assert payer.payments_yen == [2_000]


def test_a_bound_token_is_told_in_its_own_scheme(payer: Payer) -> None:
    key = Signer.new()
    token = payer.signed_in(clock.now() - STALE, jkt=key.jkt)

    def pay(yen: int) -> TestResponse:
        proof = key.proof(f"{ISSUER}/v1/payments", token=token)
        return payer.pay(yen, Authorization=f"DPoP {token}", DPoP=proof)

    sign_in_again(pay(2_000), scheme="DPoP")
    assert pay(STEP_UP_YEN).status_code == 201
    assert payer.payments_yen == [STEP_UP_YEN]


def test_the_whole_round(payer: Payer) -> None:
    """401, sign in again as its max_age asks, a new code, a new token, and the very same payment passes."""
    app, client = payer.app, payer.client
    browser = app.test_client()
    shop = ThirdParty(app, client.id, client.secret, client.redirect_uris[0], payer.holder.shop_id)
    member = Member(id=payer.holder.member_id, browser=browser)
    sign_in(app, browser, member.id, auth_time=clock.now() - STALE)
    asks: dict[str, Any] = {"scope": "openid payment offline_access"}
    first = shop.redeem(shop.code(member, ticked=["payment"], prompt="consent", **asks)).get_json()

    refused = payer.pay(2_000, key="order-1", token=first["access_token"])
    sign_in_again(refused)
    refreshed = Keyholder(shop).refresh(first["refresh_token"]).get_json()
    sign_in_again(payer.pay(2_000, key="order-1", token=refreshed["access_token"]))  # nobody signed in by that

    found = re.search(r'max_age="(\d+)"', refused.headers["WWW-Authenticate"])
    assert found
    max_age = found[1]
    to_sign_in = browser.get(shop.address(max_age=max_age, **asks))
    assert (to_sign_in.status_code, to_sign_in.headers["Location"].partition("?")[0]) == (303, "/login")
    sign_in(app, browser, member.id)
    back = browser.get(shop.address(max_age=max_age, **asks))
    assert back.status_code == 303, "nothing new is asked, so no page is shown"
    code = re.search(r"[?&]code=([^&]+)", back.headers["Location"])
    assert code
    second = shop.redeem(code[1]).get_json()
    assert payer.payments_yen == []

    paid = payer.pay(2_000, key="order-1", token=second["access_token"])
    assert paid.status_code == 201
    assert "Idempotency-Hit" not in paid.headers
    assert payer.pay(2_000, key="order-1", token=refreshed["access_token"]).get_json()["id"] == paid.get_json()["id"]
    assert payer.payments_yen == [2_000]


def test_the_document_tells_of_it(app: Flask) -> None:
    document = app.extensions["kumiai.openapi"]
    answer = document["paths"]["/v1/payments"]["post"]["responses"]["401"]

    assert "insufficient_user_authentication" in answer["description"]
    schema = answer["content"]["application/problem+json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Problem"}
    page = app.test_client().get("/docs/errors/insufficient_user_authentication", headers={"Accept-Language": "en"})
    assert "max_age" in page.text
