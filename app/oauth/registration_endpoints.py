"""`/oauth/register`: where invited developers register clients and look after them (RFC 7591, RFC 7592). JSON only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Blueprint, current_app, jsonify, request
from werkzeug.wrappers import Response

from app.db import transaction
from app.limits import knock, network
from app.oauth import refusals, registration
from app.oauth.errors import InvalidClientMetadata, RegistrationRefused, RegistrationTokenMissing
from app.oauth.server import server
from app.web import arguments
from app.web.csrf import csrf
from app.web.locale import translate
from app.web.protection import Public, protected_by

FAILURES = 50
WINDOW_S = 600
_INVITED = Public("whoever has an initial access token of the office; failures are counted")
_OWNER = Public("whoever has the client's registration access token; failures are counted")

blueprint = Blueprint("oauth_registration", __name__)
refusals.answer_for(blueprint)
csrf.exempt(blueprint)  # no cookie means anything here


@blueprint.post("/oauth/register")
@protected_by(_INVITED)
def register() -> Response:
    token = _bearer()
    body = _body()
    with _counted():
        answer = registration.register(body, initial_token=token, issuer_url=_issuer_url())
    return _answer(answer, status=201)


@blueprint.get("/oauth/register/<client_id>")
@protected_by(_OWNER)
def read(client_id: str) -> Response:
    token = _bearer()
    with _counted():
        answer = registration.read(client_id, token=token, issuer_url=_issuer_url())
    return _answer(answer, status=200)


@blueprint.put("/oauth/register/<client_id>")
@protected_by(_OWNER)
def replace(client_id: str) -> Response:
    token = _bearer()
    body = _body()
    with _counted():
        answer = registration.replace(client_id, body, token=token, issuer_url=_issuer_url())
    return _answer(answer, status=200)


@blueprint.delete("/oauth/register/<client_id>")
@protected_by(_OWNER)
def remove(client_id: str) -> Response:
    token = _bearer()
    with _counted():
        registration.remove(client_id, token=token, controls=server().controls)
    return Response(status=204)


@blueprint.errorhandler(InvalidClientMetadata)
def _invalid(refusal: InvalidClientMetadata) -> Response:
    """RFC 7591 section 3.2.2, with the rule that was broken."""
    response = refusals.refused(refusal)
    key = f"client.rule.{refusal.detail['field']}"
    if (rule := translate(key, locale="en")) != key:
        body = response.get_json()
        response = jsonify({**body, "error_description": f"{body['error_description']}. {rule}"})
        response.status_code = refusal.status
    return response


@contextmanager
def _counted() -> Iterator[None]:
    """The transaction of a request. A wrong token is counted, as a wrong client secret is at the token endpoint."""
    try:
        with transaction():
            yield
    except RegistrationRefused:
        knock(door="client_registration", caller=network(request.remote_addr), limit=FAILURES, window_s=WINDOW_S)
        raise


def _issuer_url() -> str:
    url: str = current_app.config["KUMIAI_ISSUER_URL"]
    return url


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise RegistrationTokenMissing
    return token


def _body() -> dict[str, Any]:
    """The JSON object of the request. Raises InvalidClientMetadata naming what cannot be read."""
    if request.mimetype != "application/json":
        raise InvalidClientMetadata(field="Content-Type")
    try:
        body = _DECODER.decode(request.get_data(cache=True).decode())
    except (ValueError, RecursionError):
        raise InvalidClientMetadata(field="body") from None
    if not isinstance(body, dict) or arguments.unstorable(body):
        raise InvalidClientMetadata(field="body")
    return body


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members. The same name twice has no meaning that two readers agree on (RFC 8259 section 4)."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=arguments.whole_number, parse_constant=_refuse_constant, object_pairs_hook=_once)


def _answer(body: dict[str, Any], *, status: int) -> Response:
    response = jsonify(body)
    response.status_code = status
    return response
