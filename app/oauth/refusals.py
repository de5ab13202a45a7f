"""What endpoints for clients answer when they refuse or fail: the JSON of RFC 6749 section 5.2.

A client library looks for `error` there, whatever the status. That holds for too many requests, a database that is
away and a wrong method too, for which the RFC has no word of its own.
"""

from __future__ import annotations

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, current_app, jsonify, request
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response

from app import problem
from app.db import DATABASE_AWAY
from app.errors import TooManyRequests
from app.oauth.errors import OAuthRefusal
from app.web.locale import translate

ADDRESSES = frozenset(
    {
        "/oauth/par",
        "/oauth/token",
        "/oauth/revoke",
        "/oauth/introspect",
        "/oauth/device_authorization",
        "/oauth/register",
    }
)
_LATER = "temporarily_unavailable"
_SENTENCES = {405: "method_not_allowed", 413: "too_large", 500: "internal_error"}
_DATABASE_BACK_IN_S = 1


def answer_for(blueprint: Blueprint) -> None:
    """Answer so for everything that goes wrong in a view of `blueprint`."""
    blueprint.register_error_handler(OAuthRefusal, refused)
    blueprint.register_error_handler(OAuth2Error, _not_in_order)
    blueprint.register_error_handler(TooManyRequests, _too_many)
    for error in DATABASE_AWAY:
        blueprint.register_error_handler(error, _database_away)
    blueprint.register_error_handler(HTTPException, _http_error)
    blueprint.register_error_handler(InternalServerError, _http_error)  # Flask prefers the app's, which names it


def wrong_method(error: HTTPException) -> Response:
    """A 405. The router found no view, so no blueprint speaks for it."""
    of_ours = request.path in ADDRESSES or request.path.startswith("/oauth/register/")
    return _http_error(error) if of_ours else problem.http_error(error)


def refused(refusal: OAuthRefusal) -> Response:
    """A refusal of ours, in that form."""
    response = _answer(refusal.code, said=refusal.sentence or refusal.code, status=refusal.status, **refusal.detail)
    response.headers.update(refusal.headers)
    return response


def _not_in_order(error: OAuth2Error) -> Response:
    """What the authorization endpoint would send back to the client, whose description is in ASCII already."""
    response = jsonify(
        error=error.error,
        error_description=error.description or translate(f"error.{error.error}", locale="en"),
        error_uri=_documented(error.error),
    )
    response.status_code = 400
    return response


def _too_many(refusal: TooManyRequests) -> Response:
    response = _answer(_LATER, said=refusal.code, status=refusal.status)
    response.headers["Retry-After"] = str(refusal.detail["retry_after_s"])
    return response


def _database_away(error: Exception) -> Response:
    current_app.logger.error("the database did not answer (%s)", type(error).__name__)
    response = _answer(_LATER, said=_LATER, status=503)
    response.headers["Retry-After"] = str(_DATABASE_BACK_IN_S)
    return response


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    response = _answer(
        "server_error" if status >= 500 else "invalid_request",
        said=_SENTENCES.get(status, "bad_request"),
        status=status,
    )
    if allow := error.get_response().headers.get("Allow"):
        response.headers["Allow"] = allow
    return response


def _answer(error: str, *, said: str, status: int, **detail: object) -> Response:
    """`error_description` is for developers, in ASCII."""
    response = jsonify(
        error=error,
        error_description=translate(f"error.{said}", locale="en", **detail),
        error_uri=_documented(said),
    )
    response.status_code = status
    return response


def _documented(code: str) -> str:
    return f"{current_app.config['KUMIAI_ISSUER_URL']}/docs/errors/{code}"
