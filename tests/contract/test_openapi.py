"""The OpenAPI document keeps its word: schemathesis tries every operation, and nothing is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.wallet.errors import STATUS_OF
from app.web.locale import LOCALES, translate
from tests.contract.operations import OPERATIONS, Operation
from tests.contract.stage import Stage
from tests.contract.test_examples import Example, example_of

EXAMPLES = os.environ.get("KUMIAI_EXAMPLES")
"""How many requests to try of each operation, others every time. Left unset: as many as below, always the same."""


def generated(count: int) -> settings:
    return settings(
        max_examples=int(EXAMPLES or count),
        derandomize=not EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


TRIED = {"GET": 15, "DELETE": 15, "POST": 40, "PUT": 40, "PATCH": 40}
NAMES = frozenset(
    {"money", "shop", "from", "to", "amount_yen", "items", "card", "code", "url", "expires_in_s", "payments"}
    | {"expected_sum_yen", "skip_bad_lines"}
)
"""Fields that a request of the right form keeps from the example, so that not every one ends at an unknown shop."""


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_operation_keeps_to_the_document(api: Any, stage: Stage, operation: Operation) -> None:
    """Whatever is sent: no 500, an answer of a documented status, type and shape; nonsense is not accepted."""
    statuses = set()
    names = operation.names(stage)
    stage.codes_last()
    example = example_of(stage.app.extensions["kumiai.openapi"], operation, names)

    @given(case=api[operation.path][operation.method].as_strategy())
    @generated(TRIED[operation.method])
    def run(case: Any) -> None:
        if case.meta.generation.mode.is_positive:
            _with_what_exists(case, example, names)
        answer = case.call_and_validate(
            headers={"Authorization": f"Bearer {stage.tokens[operation.caller]}"},
            excluded_checks=[positive_data_acceptance],  # a request of the right form may break a rule of money
        )
        statuses.add(answer.status_code)

    run()
    if operation.method == "POST":
        assert statuses & {200, 201, 202}, "what it does was reached"


def _with_what_exists(case: Any, example: Example, names: Mapping[str, str]) -> None:
    in_path = {
        name: example.in_path[name] for name in case.path_parameters or {} if example.in_path[name] in names.values()
    }
    case.path_parameters = {**(case.path_parameters or {}), **in_path}
    if isinstance(example.body, dict) and isinstance(case.body, dict):
        case.body = {**case.body, **{name: value for name, value in example.body.items() if name in NAMES}}
    if case.path == "/v1/taps":
        case.headers["Idempotency-Key"] = case.body["tap_id"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_without_a_token_every_operation_is_refused(api: Any, operation: Operation) -> None:
    @given(case=api[operation.path][operation.method].as_strategy())
    @generated(3)
    def run(case: Any) -> None:
        assert case.call(headers={"Authorization": ""}).status_code == 401

    run()


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
    assert described == {(operation.path, operation.method.lower()) for operation in OPERATIONS}
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
