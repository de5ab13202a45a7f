"""The OpenAPI document keeps its word: schemathesis tries every operation, examples work, nothing is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.issuer import issuer_today
from app.wallet import directory
from app.wallet.errors import STATUS_OF
from app.web.locale import LOCALES, translate
from tests import factories
from tests.reader.stand import stand as make_stand
from tests.wallet.history.conftest import back_office

EXAMPLES = os.environ.get("KUMIAI_EXAMPLES")
"""How many requests to try of each operation, others every time. Left unset: 60, always the same."""

GENERATED = settings(
    max_examples=int(EXAMPLES or 60),
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

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
    ("POST", "/v1/payments"),
    ("POST", "/v1/taps"),
]


@pytest.fixture(scope="module")
def api(app: Flask) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


@dataclass(frozen=True)
class Callers:
    """A token that may do everything a member can allow, a till's, and what a good request names."""

    member: str
    till: str
    office: str
    named: Mapping[str, Mapping[str, Any]]
    paths: Mapping[str, str]
    """What exists here, by the name it has in a path."""

    def token(self, path: str) -> str:
        if path.startswith("/v1/shops/"):
            return self.office
        return self.till if path == "/v1/taps" else self.member


@pytest.fixture(scope="module")
def callers(app: Flask) -> Callers:
    with app.app_context():
        stand = make_stand(balance_yen=1_000_000)
        shop = factories.oauth_client(allowed_shops=[stand.holder.shop_id])
        return Callers(
            member=factories.access_token(
                member_id=stand.holder.member_id,
                client_id=shop.id,
                scopes=["profile", "balance", "history", "payment"],
            ),
            till=stand.token,
            office=back_office(stand.holder.shop_id),
            named={
                "/v1/payments": {
                    "money": stand.holder.money,
                    "shop": directory.shop_by_id(stand.holder.shop_id).code,
                },
                "/v1/taps": {"money": stand.holder.money, "card": stand.body()["card"]},
            },
            paths={"shop": directory.shop_by_id(stand.holder.shop_id).code, "month": f"{issuer_today():%Y-%m}"},
        )


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_keeps_to_the_document(api: Any, callers: Callers, method: str, path: str) -> None:
    """Whatever is sent: no 500, an answer of a documented status, type and shape; nonsense is not accepted."""
    statuses = set()

    @given(case=api[path][method].as_strategy())
    @GENERATED
    def run(case: Any) -> None:
        if case.path_parameters and case.meta.generation.mode.is_positive:
            case.path_parameters |= {name: callers.paths[name] for name in case.path_parameters.keys() & callers.paths}
        if path in callers.named and case.meta.generation.mode.is_positive:
            # what exists here, so that not every good request ends at an unknown shop or card
            case.body = {**case.body, **callers.named[path]}
            if path == "/v1/taps":
                case.headers["Idempotency-Key"] = case.body["tap_id"]
        answer = case.call_and_validate(
            headers={"Authorization": f"Bearer {callers.token(path)}"},
            excluded_checks=[positive_data_acceptance],  # a request of the right form may break a rule of money
        )
        statuses.add(answer.status_code)

    run()
    if method == "POST":
        assert 201 in statuses, "the ledger was reached"


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_without_a_token_every_operation_is_refused(api: Any, method: str, path: str) -> None:
    @given(case=api[path][method].as_strategy())
    @settings(GENERATED, max_examples=5)
    def run(case: Any) -> None:
        assert case.call(headers={"Authorization": ""}).status_code == 401

    run()


def test_a_document_example_is_paid(client: FlaskClient, app: Flask, callers: Callers) -> None:
    """The payment's example, with a money and a shop that exist here, is accepted as written."""
    document = app.extensions["kumiai.openapi"]
    properties = document["components"]["schemas"]["PaymentBody"]["properties"]
    body = {name: field["example"] for name, field in properties.items()}
    body |= callers.named["/v1/payments"]
    headers = {"Authorization": f"Bearer {callers.member}", "Idempotency-Key": "example-1"}
    answer = client.post("/v1/payments", json=body, headers=headers)
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
