"""Every refusal, as its reader wants it: problem+json for programs (RFC 9457), a page for people.

Paths that speak to programs (`/v1/`, `/oauth/`, …) answer in JSON, the rest with a page. OAuth's own refusals
(RFC 6749 section 5.2) are rendered by `app/oauth`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import Flask, current_app, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response

from app.db import DATABASE_AWAY
from app.errors import DomainError
from app.web.locale import translate
from app.web.request_id import request_id
from app.web.response import Answer

_MACHINE_PATHS = ("/v1/", "/oauth/", "/openapi.json", "/.well-known/", "/proof/", "/charge/webhooks/")
_PAGES_UNDER_MACHINE_PATHS = ("/oauth/authorize/", "/oauth/device/", "/oauth/logout/")

_HTTP_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_fields",
    429: "too_many_requests",
    500: "internal_error",
    503: "temporarily_unavailable",
}

_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")


def wants_json() -> bool:
    """Whether this request's path speaks to programs."""
    path = request.path
    return path.startswith(_MACHINE_PATHS) and not f"{path}/".startswith(_PAGES_UNDER_MACHINE_PATHS)


def problem(
    *, code: str, status: int, detail: dict[str, Any] | None = None, errors: dict[str, Any] | None = None
) -> Response:
    """An RFC 9457 answer for `code`, in the request's language."""
    detail = detail or {}
    body = described(code=code, status=status, detail=detail)
    if errors:
        body["errors"] = errors
    response = Answer(_as_json(body), status=status, mimetype="application/problem+json")
    _set_retry_after(response, detail)
    return response


def described(*, code: str, status: int, detail: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a problem (RFC 9457 section 3), with those of our own, in the request's language."""
    doc_url = f"{current_app.config['KUMIAI_ISSUER_URL']}/docs/errors/{code}"
    return {
        **detail,
        "type": doc_url,
        "title": translate(f"error.{code}", **detail),
        "status": status,
        "detail": translate(f"error.{code}.cure", **detail),
        "code": code,
        "request_id": request_id(),
        "doc_url": doc_url,
    }


def _as_json(body: dict[str, Any]) -> str:
    """Half of a surrogate pair, which a caller may have sent and UTF-8 cannot hold, is shown as it was written."""
    return _HALF_OF_A_PAIR.sub(lambda half: rf"\\u{ord(half[0]):x}", current_app.json.dumps(body))


def page(*, code: str, status: int, detail: dict[str, Any] | None = None) -> Response:
    """The same refusal as a page: what happened, what to do, and the id to tell the office."""
    detail = detail or {}
    html = render_template(
        "web/error.html",
        title=translate(f"error.{code}", **detail),
        cure=_cure_for_people(code, detail),
        status=status,
    )
    response = Answer(html, status=status, mimetype="text/html")
    _set_retry_after(response, detail)
    return response


def _cure_for_people(code: str, detail: dict[str, Any]) -> str:
    """What to do, on a page; where that differs from what a program is to do, it has a sentence of its own."""
    own = f"error.{code}.page"
    return said if (said := translate(own, **detail)) != own else translate(f"error.{code}.cure", **detail)


def render(
    *, code: str, status: int, detail: dict[str, Any] | None = None, errors: dict[str, Any] | None = None
) -> Response:
    """As the path's reader wants it."""
    if wants_json():
        return problem(code=code, status=status, detail=detail, errors=errors)
    return page(code=code, status=status, detail=detail)


def _set_retry_after(response: Response, detail: dict[str, Any]) -> None:
    if "retry_after_s" in detail:
        response.headers["Retry-After"] = str(detail["retry_after_s"])


def _domain_error(error: DomainError) -> Response:
    response = render(code=error.code, status=error.status, detail=error.detail)
    response.headers.update(error.headers)
    return response


def _csrf_error(error: CSRFError) -> Response:
    return page(code="form_expired", status=400)


def http_error(error: HTTPException) -> Response:
    """Werkzeug's own refusals (404, 405 with `Allow`, 413 …) and webargs' field errors."""
    status = error.code or 500
    original = error.get_response()
    if status < 400:
        return original  # a redirect raised as an exception
    data = getattr(error, "data", None) or {}
    messages = data.get("messages")
    code = "invalid_fields" if messages else _HTTP_CODES.get(status, "bad_request")
    answer = render(code=code, status=status, errors=_by_field(messages) if messages else None)
    for name in ("Allow", "WWW-Authenticate", "Retry-After"):
        if name in original.headers:
            answer.headers[name] = original.headers[name]
    return answer


def _by_field(messages: Any) -> dict[str, Any]:
    """webargs nests messages under their location (`json`, `query`, `headers`); callers want the field."""
    if not isinstance(messages, dict):
        return {"_": messages}
    flat: dict[str, Any] = {}
    for location, fields in messages.items():
        if isinstance(fields, dict):
            flat.update({str(name): said for name, said in fields.items()})
        else:
            flat[str(location)] = fields
    return flat


def _database_away(error: Exception) -> Response:
    """PostgreSQL is restarting or out of reach: nothing was written, and trying again is right."""
    current_app.logger.error("the database did not answer (%s)", type(error).__name__)
    return render(code="temporarily_unavailable", status=503, detail={"retry_after_s": 1})


def _unexpected(error: InternalServerError) -> Response:
    return render(code="internal_error", status=500)


def init_app(app: Flask) -> None:
    app.register_error_handler(DomainError, _domain_error)
    app.register_error_handler(CSRFError, _csrf_error)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(InternalServerError, _unexpected)
    for error in DATABASE_AWAY:
        app.register_error_handler(error, _database_away)
