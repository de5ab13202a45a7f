"""The OpenAPI document keeps its word: schemathesis tries every operation, examples work, nothing is missing."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from sqlalchemy import select, text

from app.db import transaction
from app.issuer import issuer_today
from app.oauth.clients import register_client
from app.wallet import directory, setup
from app.wallet.bulk.runner import BulkRunner
from app.wallet.errors import STATUS_OF
from app.wallet.models import Money
from app.web.locale import LOCALES, translate
from tests import factories
from tests.reader.stand import stand as make_stand
from tests.wallet.bulk.conftest import Office, csv_of, service_token
from tests.wallet.settlement.test_api import token as shop_token
from tests.wallet.webhooks.conftest import new_service

EXAMPLES = os.environ.get("KUMIAI_EXAMPLES")
"""How many requests to try of each operation, others every time. Left unset: 60, always the same."""

GENERATED = settings(
    max_examples=int(EXAMPLES or 60),
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

PURPOSES = ("payment", "charge")

OPERATIONS = [
    ("GET", "/v1/me"),
    ("GET", "/v1/wallets"),
    ("GET", "/v1/wallets/{money}"),
    ("GET", "/v1/transactions"),
    ("GET", "/v1/transactions/{transaction_id}"),
    ("GET", "/v1/transactions/{transaction_id}/proof"),
    ("GET", "/v1/transactions/{transaction_id}/receipt.pdf"),
    ("GET", "/v1/transactions/by-request/{request_id}"),
    ("GET", "/v1/statements/{month}"),
    ("GET", "/v1/statements/{month}.csv"),
    ("GET", "/v1/statements/{month}.pdf"),
    ("GET", "/v1/shops/{shop}/transactions"),
    ("GET", "/v1/shops/{shop}/balance"),
    ("POST", "/v1/bulk"),
    ("GET", "/v1/bulk/{job_id}"),
    ("GET", "/v1/bulk/{job_id}/problems"),
    ("POST", "/v1/bulk/{job_id}/start"),
    ("POST", "/v1/bulk/{job_id}/stop"),
    ("GET", "/v1/bulk/{job_id}/results"),
    ("POST", "/v1/payments"),
    ("POST", "/v1/suspend"),
    ("POST", "/v1/taps"),
    ("GET", "/v1/settlements"),
    ("GET", "/v1/settlements/{settlement_id}"),
    ("GET", "/v1/settlements/{settlement_id}/statement.pdf"),
    ("GET", "/v1/settlements/{settlement_id}/statement.csv"),
    ("POST", "/v1/code-payments"),
    ("POST", "/v1/code-charges"),
    ("POST", "/v1/codes"),  # after them: it cancels the codes shown before
    ("GET", "/v1/codes/{code_id}"),
    ("DELETE", "/v1/codes/{code_id}"),
    ("GET", "/v1/shop-codes/scanned"),
    ("POST", "/v1/payments/by-code"),
    ("POST", "/v1/shop-codes"),
    ("GET", "/v1/shop-codes/{code_id}"),
    ("DELETE", "/v1/shop-codes/{code_id}"),
    ("POST", "/v1/webhook-endpoints"),
    ("GET", "/v1/webhook-endpoints"),
    ("GET", "/v1/webhook-endpoints/{endpoint_id}"),
    ("PATCH", "/v1/webhook-endpoints/{endpoint_id}"),
    ("DELETE", "/v1/webhook-endpoints/{endpoint_id}"),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/rotate-secret"),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/test"),
    ("GET", "/v1/webhook-endpoints/{endpoint_id}/deliveries"),
    ("GET", "/v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}"),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/resend"),
    ("GET", "/v1/monies"),
    ("GET", "/v1/shops"),
    ("POST", "/v1/payments/batch"),
    ("GET", "/v1/payments/{payment_id}"),
    ("POST", "/v1/payments/{payment_id}/refunds"),
    ("POST", "/v1/holds"),
    ("GET", "/v1/holds/{hold_id}"),
    ("POST", "/v1/holds/{hold_id}/capture"),
    ("POST", "/v1/holds/{hold_id}/release"),
    ("POST", "/v1/moves"),
]


@pytest.fixture(scope="module")
def api(app: Flask) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


@dataclass(frozen=True)
class Callers:
    """Tokens: of a member who allowed nearly all, a till, a member to be stopped; and what a good request names."""

    member: str
    till: str
    suspender: str
    """Of a member whose account it stops: good once."""
    shop: str
    service: str
    biller: str
    bulk: str
    named: Mapping[str, Mapping[str, Any]]
    in_path: Mapping[tuple[str, str], str]
    """What exists by its name in a path, for each method or path. What is changed is not what is tested."""

    def token(self, path: str) -> str:
        if path == "/v1/payments/batch":
            return self.biller
        if path.startswith(("/v1/settlements", "/v1/shops/")):
            return self.shop
        if path.startswith("/v1/webhook-endpoints"):
            return self.service
        if path.startswith("/v1/bulk"):
            return self.bulk
        if path.startswith(("/v1/taps", "/v1/code-", "/v1/shop-codes")) and path != "/v1/shop-codes/scanned":
            return self.till
        return self.suspender if path == "/v1/suspend" else self.member


@pytest.fixture(scope="module")
def callers(app: Flask) -> Callers:
    with app.app_context():
        stand = make_stand(balance_yen=1_000_000, token_scopes=("till", "till:charge"))
        shop = factories.oauth_client(
            allowed_shops=[stand.holder.shop_id], scopes=("profile", "balance", "history", "payment", "charge", "move")
        )
        service = new_service(app)
        changed, endpoint = (service.create("https://hooks.example.ac.jp/")["id"] for _ in range(2))
        delivery = service.call("POST", f"/{endpoint}/test").get_json()["delivery_id"]
        member = factories.access_token(
            member_id=stand.holder.member_id,
            client_id=shop.id,
            scopes=["profile", "balance", "history", "payment", "charge", "move"],
        )
        bulk = Office(app.test_client(), service_token(), BulkRunner(app, rest=0))
        bad_and_good = [(stand.holder.member_id, money, 500, "grant") for money in ("none", stand.holder.money)]
        job = bulk.examined(csv_of(bad_and_good))
        assert bulk.start(job, skip_bad_lines=True).status_code == 200
        http, key = app.test_client(), {"Authorization": f"Bearer {member}"}
        shown = [http.post("/v1/codes", json={"purpose": p}, headers=key).get_json()["code"] for p in PURPOSES]
        asked = http.post(
            "/v1/shop-codes", json={"amount_yen": 1}, headers={"Authorization": f"Bearer {stand.token}"}
        ).get_json()["code"]
        spending = {
            "money": stand.holder.money,
            "shop": directory.shop_by_id(stand.holder.shop_id).code,
            "items": [],
            "amount_yen": 1,
        }
        paid, *held = (
            http.post(address, json=spending, headers={**key, "Idempotency-Key": f"contract-{n}"}).get_json()["id"]
            for n, address in enumerate(["/v1/payments", "/v1/holds", "/v1/holds"])
        )
        biller = _biller(stand.holder)
        with transaction() as session:  # they are tried when their minute is over
            session.execute(text("UPDATE one_time_code SET expires_at = now() + interval '1 hour'"))
        return Callers(
            member=member,
            biller=biller,
            till=stand.token,
            suspender=factories.access_token(
                member_id=factories.holder().member_id,
                client_id=factories.oauth_client(scopes=["suspend"]).id,
                scopes=["suspend"],
            ),
            shop=shop_token([stand.holder.shop_id]),
            service=service.token,
            bulk=bulk.token,
            in_path={
                ("GET", "shop"): spending["shop"],
                ("GET", "month"): f"{issuer_today():%Y-%m}",
                **{(method, "payment_id"): paid for method in ("GET", "POST")},
                **{(method, "hold_id"): held[0] for method in ("GET", "POST")},
                ("/v1/holds/{hold_id}/release", "hold_id"): held[1],
                ("PATCH", "endpoint_id"): changed,
                **{(method, "endpoint_id"): endpoint for method in ("GET", "POST")},
                **{(method, "delivery_id"): delivery for method in ("GET", "POST")},
                **{(method, "job_id"): job["id"] for method in ("GET", "POST")},
            },
            named={
                "/v1/payments": {name: spending[name] for name in ("money", "shop", "items")},
                "/v1/payments/batch": {**spending, "member": str(stand.holder.member_id)},
                "/v1/payments/{payment_id}/refunds": {"amount_yen": 1},
                "/v1/holds": {**spending, "expires_in_s": 60},
                "/v1/holds/{hold_id}/capture": {"amount_yen": 1},
                "/v1/moves": {"from": stand.holder.money, "to": _moved_into(stand.holder), "amount_yen": 1},
                "/v1/taps": {"money": stand.holder.money, "card": stand.body()["card"]},
                "/v1/codes": {"money": None},
                "/v1/payments/by-code": {"code": asked, "money": stand.holder.money},
                "/v1/shop-codes": {"money": None},
                "/v1/code-payments": {"code": shown[0], "money": None, "amount_yen": 1},
                "/v1/code-charges": {"code": shown[1], "money": None, "amount_yen": 1},
                "/v1/bulk/{job_id}/start": {"expected_sum_yen": job["sum_yen"], "skip_bad_lines": True},
                "/v1/webhook-endpoints": {"url": "https://hooks.example.ac.jp/"},
            },
        )


def _biller(holder: factories.Holder) -> str:
    """An app that the member allowed to charge them while they are away."""
    client_id = f"c_{secrets.token_hex(6)}"
    with transaction():
        register_client(
            client_id=client_id,
            name_ja="月額プラン",
            name_en="Monthly plan",
            profile="web",
            scopes=["payment", "offline_access"],
            redirect_uris=["https://plan.example/callback"],
            allowed_shops=[holder.shop_id],
        )
    factories.access_token(member_id=holder.member_id, client_id=client_id, scopes=["payment", "offline_access"])
    return factories.access_token(member_id=None, client_id=client_id, scopes=["payment"])


def _moved_into(holder: factories.Holder) -> str:
    """Another money of the member, into which value may be moved."""
    code = factories.money()
    factories.wallet(member_id=holder.member_id, money=code)
    with transaction() as session:
        one, other = (session.scalars(select(Money).where(Money.code == name)).one() for name in (holder.money, code))
        setup.allow_move(from_money=one, to_money=other)
    return code


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_keeps_to_the_document(api: Any, callers: Callers, method: str, path: str) -> None:
    """Whatever is sent: no 500, an answer of a documented status, type and shape; nonsense is not accepted."""
    statuses = set()

    @given(case=api[path][method].as_strategy())
    @GENERATED
    def run(case: Any) -> None:
        positive = case.meta.generation.mode.is_positive
        if positive and method == "POST" and path in callers.named:
            # what exists here, so that not every good request ends at an unknown shop or card
            if path == "/v1/payments/batch":
                case.body = {"payments": [{**row, **callers.named[path]} for row in case.body["payments"]]}
            else:
                case.body = {**case.body, **callers.named[path]}
            if path == "/v1/taps":
                case.headers["Idempotency-Key"] = case.body["tap_id"]
        if (
            positive
            and method != "DELETE"
            and path.startswith(
                ("/v1/webhook-endpoints/", "/v1/payments/{", "/v1/holds/", "/v1/bulk/", "/v1/shops/", "/v1/statements/")
            )
        ):
            in_path = callers.in_path
            case.path_parameters = {
                name: in_path.get((path, name)) or in_path[method, name] for name in case.path_parameters
            }
        answer = case.call_and_validate(
            headers={"Authorization": f"Bearer {callers.token(path)}"},
            excluded_checks=[positive_data_acceptance],  # a request of the right form may break a rule of money
        )
        statuses.add(answer.status_code)

    run()
    if method == "POST":
        assert statuses & {200, 201, 202}, "what it does was reached"


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_without_a_token_every_operation_is_refused(api: Any, method: str, path: str) -> None:
    @given(case=api[path][method].as_strategy())
    @settings(GENERATED, max_examples=5)
    def run(case: Any) -> None:
        assert case.call(headers={"Authorization": ""}).status_code == 401

    run()


@pytest.mark.parametrize(
    ("path", "schema"), [("/v1/payments", "PaymentBody"), ("/v1/holds", "HoldBody"), ("/v1/moves", "MoveBody")]
)
def test_a_document_example_is_paid(client: FlaskClient, app: Flask, callers: Callers, path: str, schema: str) -> None:
    """The example, with monies and a shop that exist here, is accepted as written."""
    document = app.extensions["kumiai.openapi"]
    properties = document["components"]["schemas"][schema]["properties"]
    body = {name: field["example"] for name, field in properties.items()}
    body |= {name: value for name, value in callers.named[path].items() if name in ("money", "shop", "from", "to")}
    headers = {"Authorization": f"Bearer {callers.member}", "Idempotency-Key": f"example-{schema}"}
    answer = client.post(path, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.get_json().keys() == document["components"]["schemas"]["TransactionView"]["properties"].keys()


def test_the_document_lists_every_operation_with_its_scope(app: Flask) -> None:
    document = app.extensions["kumiai.openapi"]
    routes = {
        (re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/v1/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    assert described == routes
    assert described == {(path, method.lower()) for method, path in OPERATIONS}
    assert all("security" in document["paths"][path][method] for path, method in described)
    assert document["openapi"].startswith("3.1")


@pytest.mark.parametrize("code", STATUS_OF)
def test_every_error_code_has_a_page_in_both_languages(client: FlaskClient, app: Flask, code: str) -> None:
    for locale in LOCALES:
        page = client.get(f"/docs/errors/{code}", headers={"Accept-Language": locale})
        assert page.status_code == 200
        with app.test_request_context():
            assert translate(f"error.{code}", locale=locale) in page.text


def test_the_reference_reads_without_a_script_or_another_host(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "/v1/payments" in page.text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
