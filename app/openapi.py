"""The OpenAPI 3.1 document, made of the schemas and of what each view declares, and the pages that show it.

`/openapi.json` is for machines, `/docs` for people: the same document, rendered here, without a script.
"""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Flask, current_app, jsonify, render_template
from flask_smorest import Api
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response

from app import openapi_examples, problem
from app.oauth.protector import AnyOf, Bearer
from app.oauth.scopes import SCOPES, Consent, own
from app.wallet.errors import STATUS_OF
from app.wallet.schemas import ProblemView
from app.web.csrf import csrf
from app.web.locale import translate
from app.web.protection import Public, protected_by, protection_of

DESCRIPTION = """\
The resource API of Kumiai. Every call carries an OAuth 2 access token that a member consented to. Amounts are \
whole yen. Errors are RFC 9457 problem+json with a stable `code`."""

_DETAILS = (
    *("parameter", "field", "scope", "problem", "tries_left", "max_yen"),
    *("day", "today", "character", "max", "digits"),
)
"""What the sentences of errors name in an answer. The page of an error says a word for it."""

pages = Blueprint("docs", __name__)


class KumiaiApi(Api):
    """flask-smorest, with our one renderer of errors (which keeps `Allow` on a 405)."""

    def handle_http_exception(self, error: HTTPException) -> Response:
        return problem.http_error(error)


def init_app(app: Flask, *blueprints: Any) -> None:
    """Register the API's blueprints, and serve the document made of them."""
    app.config.update(
        API_TITLE="Kumiai",
        API_VERSION="1",
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "servers": [{"url": app.config["KUMIAI_ISSUER_URL"]}],
        },
    )
    api = KumiaiApi(app)
    api.spec.components.schema("Problem", schema=ProblemView)
    for blueprint in blueprints:
        csrf.exempt(blueprint)  # bearer tokens, no cookies
        api.register_blueprint(blueprint)
    app.extensions["kumiai.openapi"] = _complete(app, api.spec.to_dict())
    app.register_blueprint(pages)


@pages.get("/openapi.json")
@protected_by(Public("the API's description"))
def document() -> Response:
    """The OpenAPI document."""
    return jsonify(current_app.extensions["kumiai.openapi"])


@pages.get("/docs")
@protected_by(Public("the API's description"))
def reference() -> str:
    """The same document for people."""
    return render_template("docs/reference.html", document=current_app.extensions["kumiai.openapi"], codes=STATUS_OF)


@pages.get("/docs/errors/<code>")
@protected_by(Public("what each error means"))
def error_page(code: str) -> str:
    """What one error code means, and its cure."""
    key = f"error.{code}"
    if not code.replace("_", "").isalnum() or translate(key) == key:  # with a dot, it is the key of something else
        raise NotFound
    anything = {name: translate(f"docs.any.{name}") for name in _DETAILS}
    return render_template(
        "docs/error.html",
        code=code,
        status=STATUS_OF.get(code),
        title=translate(key, **anything),
        cure=translate(f"{key}.cure", **anything),
    )


def _complete(app: Flask, document: dict[str, Any]) -> dict[str, Any]:
    """Write each operation's security and refusals into the document, from what its view declares."""
    used: set[str] = set()
    for rule in app.url_map.iter_rules():
        protection = protection_of(app.view_functions[rule.endpoint])
        operations = document["paths"].get(_openapi_path(rule.rule), {})
        for method in operations.keys() & {method.lower() for method in rule.methods or ()}:
            if isinstance(protection, Bearer | AnyOf):
                ways = [{"oauth2": sorted(way.scopes)} for way in protection.ways]
                operations[method]["security"] = [way for n, way in enumerate(ways) if way not in ways[:n]]
                used.update(*(way.scopes for way in protection.ways))
            operations[method]["responses"]["default"] = _PROBLEM
            operations[method]["responses"].pop("422", None)  # flask-smorest's own error shape; ours is `default`
    for leftover in ("Error", "PaginationMetadata"):
        document["components"]["schemas"].pop(leftover, None)
    document["components"].pop("responses", None)
    document["components"].pop("headers", None)
    document["components"]["securitySchemes"] = {"oauth2": _oauth2(app.config["KUMIAI_ISSUER_URL"], sorted(used))}
    openapi_examples.add(document)
    return document


_PROBLEM = {
    "description": "Refused; `code` says why.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def _oauth2(issuer_url: str, scopes: list[str]) -> dict[str, Any]:
    token_url = f"{issuer_url}/oauth/token"
    for_members = {scope: scope for scope in scopes if SCOPES[scope] is not Consent.NONE}
    for_itself = {scope: scope for scope in own(scopes)}
    return {
        "type": "oauth2",
        "flows": {
            "authorizationCode": {
                "authorizationUrl": f"{issuer_url}/oauth/authorize",
                "tokenUrl": token_url,
                "refreshUrl": token_url,
                "scopes": for_members,
            },
            "clientCredentials": {"tokenUrl": token_url, "scopes": for_itself},
        },
    }


def _openapi_path(rule: str) -> str:
    """`/v1/wallets/<money>` as OpenAPI writes it: `/v1/wallets/{money}`."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)
