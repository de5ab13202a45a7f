"""The document's examples are true: each request is answered as its example says, and what they tell adds up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from werkzeug.test import TestResponse

from tests.contract.operations import OPERATIONS, Operation
from tests.contract.stage import Stage

JSON = "application/json"
ALWAYS = frozenset(
    {"kind", "amount_yen", "signed_amount_yen", "money", "description", "metadata", "purpose", "status", "dry_run"}
    | {"bad_lines", "good_lines", "sum_yen", "file_sha256", "problems", "events", "contact_email"}
)
"""Fields whose values in the examples are those of the real answers."""


@dataclass(frozen=True)
class Example:
    """What the document shows of one operation: the request, and the answer where it succeeds."""

    path: str
    in_path: dict[str, str]
    query: dict[str, Any]
    headers: dict[str, str]
    body: Any
    kind: str | None
    status: int
    answer: Any

    def send(self, stage: Stage, operation: Operation) -> TestResponse:
        headers = {**self.headers, "Authorization": f"Bearer {stage.tokens[operation.caller]}"}
        if self.kind is None:
            sent = {}
        else:
            data = json.dumps(self.body) if self.kind == JSON else self.body
            sent = {"data": data.encode(), "content_type": self.kind}
        http = stage.app.test_client()
        return http.open(self.path, method=operation.method, query_string=self.query, headers=headers, **sent)


def example_of(document: dict[str, Any], operation: Operation, names: Mapping[str, str]) -> Example:
    """The example of an operation, with the names that are others here."""
    item = document["paths"][operation.path]
    described = item[operation.method.lower()]
    known: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for parameter in (*item.get("parameters", ()), *described.get("parameters", ())):
        value = parameter.get("example", parameter["schema"].get("example"))
        if value is not None and parameter["name"] not in operation.without:
            known[parameter["in"]][parameter["name"]] = _named(value, names)
    kind, media = next(iter(described.get("requestBody", {}).get("content", {}).items()), (None, {}))
    status = min(int(code) for code in described["responses"] if code.startswith("2") and not _is_dry(described, code))
    answer = next(iter(described["responses"][str(status)].get("content", {}).values()), {}).get("example")
    return Example(
        path=operation.path.format(**known["path"]),
        in_path=known["path"],
        query=known["query"],
        headers=known["header"],
        body=_named(media.get("example"), names),
        kind=kind,
        status=status,
        answer=answer,
    )


def _is_dry(described: dict[str, Any], code: str) -> bool:
    content = described["responses"][code].get("content", {}).get(JSON, {})
    return str(content.get("schema", {}).get("$ref", "")).endswith("/DryRunView")


def _named(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _named(each, names) for name, each in value.items()}
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_the_example_is_answered_as_documented(api: Any, stage: Stage, operation: Operation) -> None:
    document = stage.app.extensions["kumiai.openapi"]
    key = f"example-{OPERATIONS.index(operation)}"
    names = {**operation.names(stage), **dict.fromkeys(("order-2026-11-23-0001", "tap-2026-11-23-0001"), key)}
    if operation.path.endswith("{request_id}"):
        names = dict(operation.names(stage))
    example = example_of(document, operation, names)
    answer = example.send(stage, operation)
    assert answer.status_code == example.status, answer.text
    api[operation.path][operation.method].validate_response(answer)
    if isinstance(example.answer, dict):
        assert _told(answer.get_json()) == _told(example.answer)
    else:
        assert isinstance(example.answer, str) or answer.mimetype == "application/pdf" or example.status == 204


def _told(shown: dict[str, Any]) -> dict[str, Any]:
    """The fields of an answer, with what does not depend on when it is asked."""
    return {name: value if name in ALWAYS else ... for name, value in shown.items()}


def _examples(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            for where, part in (("request", operation.get("requestBody", {})), *operation["responses"].items()):
                for kind, media in part.get("content", {}).items():
                    if kind.endswith(("/json", "+json")):
                        yield f"{method} {path} {where}", media["schema"], media["example"]


def test_every_example_keeps_to_its_schema(stage: Stage) -> None:
    document = stage.app.extensions["kumiai.openapi"]
    for where, schema, example in _examples(document):
        found = Draft202012Validator({**schema, "components": document["components"]}).iter_errors(example)
        assert [str(error) for error in found] == [], where


def test_the_examples_add_up(stage: Stage) -> None:
    for where, _, example in _examples(stage.app.extensions["kumiai.openapi"]):
        for shown in _objects(example):
            for fields, adds_up in SUMS.items():
                if fields <= shown.keys():
                    assert adds_up(shown), (where, shown)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from _objects(each)


def _part_of_its_money(shown: dict[str, Any]) -> bool:
    """A transaction says of its own money what its part says; points it earned or lost are a part as well."""
    if not shown["parts"]:
        return bool(shown["signed_amount_yen"] == 0)
    own = [part for part in shown["parts"] if part["money"] == shown["money"]]
    points = sum(part["signed_amount_yen"] for part in shown["parts"] if part["money"]["code"] == "points")
    return (
        [part["signed_amount_yen"] for part in own] == [shown["signed_amount_yen"]]
        and [part["balance_yen"] for part in own] == [shown["balance_yen"]]
        and points == shown["points_granted_yen"]
    )


def _sum(rows: list[dict[str, Any]], field: str) -> int:
    return sum(row[field] for row in rows)


SUMS = {
    frozenset({"parts", "points_granted_yen"}): _part_of_its_money,
    frozenset({"lots", "room_yen"}): lambda wallet: (
        _sum(wallet["lots"], "amount_yen") == wallet["balance_yen"] == wallet["available_yen"] + wallet["held_yen"]
        and wallet["room_yen"] == wallet["ceiling_yen"] - wallet["balance_yen"] - wallet["reserved_yen"]
    ),
    frozenset({"wallets", "total_yen"}): lambda shown: _sum(shown["wallets"], "balance_yen") == shown["total_yen"],
    frozenset({"takings", "total_yen"}): lambda shown: _sum(shown["takings"], "balance_yen") == shown["total_yen"],
    frozenset({"refunds", "refundable_yen"}): lambda paid: (
        _sum(paid["refunds"], "amount_yen") == paid["refunded_yen"] == paid["amount_yen"] - paid["refundable_yen"]
    ),
    frozenset({"items", "amount_yen"}): lambda body: _sum(body["items"], "amount_yen") == body["amount_yen"],
    frozenset({"lines", "payable_yen"}): lambda settled: (
        _sum(settled["lines"], "payable_yen") == settled["payable_yen"]
        and _sum(settled["lines"], "settled_yen") == settled["settled_yen"]
    ),
    frozenset({"fee_yen", "payments_yen"}): lambda line: (
        line["payments_yen"] - line["refunds_yen"] + line["others_yen"] == line["settled_yen"]
        and line["settled_yen"] - line["fee_yen"] == line["payable_yen"]
        and line["settled_yen"] * line["fee_rate_bp"] // 10_000 == line["fee_yen"]
    ),
    frozenset({"bad_lines", "sums"}): lambda job: (
        job["examined_at"] is None
        or (
            job["bad_lines"] + job["good_lines"] == job["lines"]
            and _sum(job["sums"], "sum_yen") == job["sum_yen"] == job["left_sum_yen"] + job["moved_yen"]
        )
    ),
    frozenset({"totals", "monies"}): lambda month: (
        _sum(month["totals"], "signed_amount_yen")
        == _sum(month["monies"], "closing_yen") - _sum(month["monies"], "opening_yen")
    ),
}
"""What fields that stand together must say of one another."""
