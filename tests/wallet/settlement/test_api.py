"""Settlements over HTTP: a shop's program reads its own shops', as JSON, PDF and CSV."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader

from app.db import session, transaction
from app.oauth import tokens
from app.oauth.clients import find_client, register_client
from app.wallet import directory
from app.wallet.models import Money, Shop
from app.wallet.settlement import service
from app.wallet.settlement.reading import SettlementView
from app.wallet.settlement.rules import Terms
from tests import factories
from tests.wallet.settlement.shopkeeper import Shopkeeper, shopkeeper


def token(shops: Sequence[UUID], *, scopes: Sequence[str] = ("shop:read",)) -> str:
    """A program of these shops, acting for itself."""
    with transaction():
        row, _ = register_client(
            client_id=f"c_{secrets.token_hex(6)}",
            name_ja="店舗の会計",
            name_en="Shop books",
            profile="service",
            scopes=["shop:read", "shop:refund"],
            redirect_uris=[],
            allowed_shops=shops,
        )
        client_id = row.id
    client = find_client(client_id)
    assert client is not None
    with transaction():
        return tokens.issue_to_client(client=client, scopes=scopes).access_token


@pytest.fixture
def keeper(app: Flask) -> Shopkeeper:
    with app.app_context():
        keeper = shopkeeper()
        with transaction():
            shop, money = session().get_one(Shop, keeper.shop_id), session().query(Money)
            service.set_terms(
                shop=shop, money=money.filter_by(code=keeper.monies[0]).one(), terms=Terms(fee_rate_bp=150)
            )
        return keeper


@pytest.fixture
def settled(app: Flask, keeper: Shopkeeper) -> SettlementView:
    with app.app_context():
        keeper.pay(61_440)
        keeper.give_back(keeper.pay(450))
        return keeper.close()


@pytest.fixture
def headers(app: Flask, keeper: Shopkeeper) -> dict[str, str]:
    with app.app_context():
        return {"Authorization": f"Bearer {token([keeper.shop_id])}"}


def test_one_settlement_with_its_lines(
    client: FlaskClient, app: Flask, settled: SettlementView, keeper: Shopkeeper, headers: dict[str, str]
) -> None:
    answer = client.get(f"/v1/settlements/{settled.id}", headers=headers)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.get_json()
    (line,) = body["lines"]
    assert line == {
        "money": {"code": keeper.monies[0], "name": "学食マネー"},
        "backing": "paid",
        "reimbursed": True,
        "payments": 2,
        "payments_yen": 61_890,
        "refunds": 1,
        "refunds_yen": 450,
        "others_yen": 0,
        "carried_in_yen": 0,
        "carried_out_yen": 0,
        "settled_yen": 61_440,
        "fee_rate_bp": 150,
        "fee_yen": 921,
        "payable_yen": 60_519,
    }
    assert body["transaction_id"] == str(settled.transaction_id)
    assert (body["number"], body["state"], body["payable_yen"]) == (1, "closed", 60_519)
    assert body["shop"]["name"] == "中央食堂"
    document = app.extensions["kumiai.openapi"]["components"]["schemas"]
    assert body.keys() == document["SettlementView"]["properties"].keys()
    assert line.keys() == document["SettlementLineView"]["properties"].keys()


def test_pages_of_settlements(client: FlaskClient, app: Flask, keeper: Shopkeeper, headers: dict[str, str]) -> None:
    with app.app_context():
        made = []
        for amount_yen in (1, 2, 3):
            keeper.pay(amount_yen)
            made.append(str(keeper.close().id))
    first = client.get("/v1/settlements?limit=2", headers=headers).get_json()
    assert [one["id"] for one in first["settlements"]] == made[:0:-1]
    rest = client.get(f"/v1/settlements?cursor={first['next_cursor']}", headers=headers).get_json()
    assert [one["id"] for one in rest["settlements"]] == made[:1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("query", ["cursor=x", "limit=0", "limit=101", "cursor=%00"])
def test_a_wrong_query_names_its_field(client: FlaskClient, headers: dict[str, str], query: str) -> None:
    answer = client.get(f"/v1/settlements?{query}", headers=headers)
    assert answer.status_code == 422
    assert query.split("=")[0] in str(answer.get_json()["errors"])


@pytest.mark.parametrize("path", ["", "/statement.pdf", "/statement.csv"])
def test_another_shops_settlement_is_as_none(
    client: FlaskClient, app: Flask, settled: SettlementView, path: str
) -> None:
    with app.app_context():
        others = token([factories.shop(accepts=[])])
        none = token([])
    for bearer in (others, none):
        headers = {"Authorization": f"Bearer {bearer}"}
        assert client.get(f"/v1/settlements/{settled.id}{path}", headers=headers).status_code == 404
        assert client.get(f"/v1/settlements/{uuid4()}{path}", headers=headers).status_code == 404
        assert client.get("/v1/settlements", headers=headers).get_json()["settlements"] == []


@pytest.mark.parametrize("path", ["", "/{}", "/{}/statement.pdf", "/{}/statement.csv"])
def test_it_takes_the_scope(
    client: FlaskClient, app: Flask, settled: SettlementView, keeper: Shopkeeper, path: str
) -> None:
    with app.app_context():
        bearer = token([keeper.shop_id], scopes=["shop:refund"])
    url = "/v1/settlements" + path.format(settled.id)
    assert client.get(url, headers={"Authorization": f"Bearer {bearer}"}).status_code == 403
    assert client.get(url).status_code == 401


def test_the_statement_on_paper(client: FlaskClient, settled: SettlementView, headers: dict[str, str]) -> None:
    answer = client.get(f"/v1/settlements/{settled.id}/statement.pdf", headers=headers)
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    assert f'filename="settlement-{settled.name}.pdf"' in answer.headers["Content-Disposition"]
    (page,) = PdfReader(io.BytesIO(answer.data)).pages
    said = page.extract_text()
    for words in (
        *("精算書", "中央食堂 御中", "試験生協", settled.name, "お支払い額", "¥60,519", "手数料（1.5％）", "-¥921"),
        *("支払い", "¥61,890", "返金", "-¥450", "精算額", "¥61,440", "学食マネー"),
    ):
        assert words in said
    again = client.get(f"/v1/settlements/{settled.id}/statement.pdf", headers=headers)
    assert again.data == answer.data
    english = client.get(f"/v1/settlements/{settled.id}/statement.pdf", headers={**headers, "Accept-Language": "en"})
    said = PdfReader(io.BytesIO(english.data)).pages[0].extract_text()
    assert "Settlement statement" in said
    assert "Central Canteen" in said


def test_the_statement_for_a_spreadsheet(
    client: FlaskClient, settled: SettlementView, keeper: Shopkeeper, headers: dict[str, str]
) -> None:
    answer = client.get(f"/v1/settlements/{settled.id}/statement.csv", headers=headers)
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    assert answer.data.startswith(b"\xef\xbb\xbf")
    (row,) = csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig")))
    assert (row["settlement"], row["money"], row["payments"], row["payable_yen"]) == (
        *(settled.name, keeper.monies[0], "2", "60519"),
    )


def test_a_name_is_no_formula(client: FlaskClient, app: Flask, headers: dict[str, str], keeper: Shopkeeper) -> None:
    """Whoever names a money does not run a program in the shop's spreadsheet."""
    with app.app_context():
        with transaction():
            session().query(Money).filter_by(code=keeper.monies[0]).one().name_ja = "=1+1"
        keeper.pay(1)
        id_ = keeper.close().id
        directory.money(secrets.token_hex(8))  # looks again, and so knows the new name
    answer = client.get(f"/v1/settlements/{id_}/statement.csv", headers=headers)
    (row,) = csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig")))
    assert row["name"] == "'=1+1"
