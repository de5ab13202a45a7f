"""Whole examples of requests and answers, composed of the examples of their fields.

A field says its example where it is declared. Where several stand together and another value fits better (a refund is a
transaction, but not a payment), the view says what differs (`example=`), and the rest is filled in here.
"""

from __future__ import annotations

from typing import Any

IN_PATH = {
    "money": "meal",
    "shop": "canteen",
    "month": "2026-11",
    "transaction_id": "01936a7c-5b1e-7a10-8000-0000000000aa",
    "payment_id": "01936a7c-5b1e-7a10-8000-0000000000aa",
    "request_id": "order-2026-11-23-0001",
    "hold_id": "01936a7c-5b1e-7a10-8000-0000000000ab",
    "job_id": "01936a7c-5b1e-7a10-8000-0000000000bb",
    "code_id": "01936a7c-5b1e-7a10-8000-0000000000c0",
    "charge_id": "01936a7c-5b1e-7a10-8000-0000000000c1",
    "card_id": "01936a7c-5b1e-7a10-8000-0000000000d1",
    "tap_id": "tap-2026-11-23-0009",
    "link_id": "01936a7c-5b1e-7a10-8000-0000000000c7",
    "settlement_id": "01936a7c-5b1e-7a10-8000-0000000000cc",
    "endpoint_id": "01936a7c-5b1e-7a10-8000-0000000000e1",
    "delivery_id": "01936a7c-5b1e-7a10-8000-0000000000e2",
}
"""What stands in an address, by the name of its parameter."""

_NOT_SAID: Any = object()


def add(document: dict[str, Any]) -> None:
    """Write an example to each parameter in a path, each JSON body and each JSON answer of the document."""
    compose = _Composer(document["components"]["schemas"])
    for item in document["paths"].values():
        for parameter in item.get("parameters", ()):
            if parameter["name"] in IN_PATH:
                parameter["example"] = IN_PATH[parameter["name"]]
        for operation in (item[method] for method in item if method != "parameters"):
            for part in (operation.get("requestBody", {}), *operation["responses"].values()):
                for kind, media in part.get("content", {}).items():
                    if kind in ("application/json", "application/problem+json"):
                        media["example"] = compose(media["schema"], media.get("example", _NOT_SAID))


class _Composer:
    """Makes an example of a schema, given what is said of it."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas

    def __call__(self, schema: dict[str, Any], said: Any = _NOT_SAID) -> Any:
        if said is _NOT_SAID:
            said = schema.get("example", _NOT_SAID)
        schema = self._resolved(schema)
        if "properties" in schema and (said is _NOT_SAID or isinstance(said, dict)):
            return self._object(schema, {} if said is _NOT_SAID else said)
        if "items" in schema and (said is _NOT_SAID or isinstance(said, list)):
            return [self(schema["items"], each) for each in ([_NOT_SAID] if said is _NOT_SAID else said)]
        if said is not _NOT_SAID:
            return said
        return schema["enum"][0] if "enum" in schema else schema.get("example")

    def _object(self, schema: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
        """Every field that must be there, that has an example of its own, or of which something is said."""
        required = schema.get("required", ())
        return {
            name: self(field, said.get(name, _NOT_SAID))
            for name, field in schema["properties"].items()
            if name in required or name in said or "example" in field
        } | {name: value for name, value in said.items() if name not in schema["properties"]}

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema itself, behind references and `or null`."""
        while found := schema.get("$ref") or (schema.get("anyOf") or [None])[0]:
            schema = self._schemas[found.rpartition("/")[2]] if isinstance(found, str) else found
        return schema
