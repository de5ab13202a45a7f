"""What a call may bring, before any of its fields is looked at: a form that can be read, text that can be kept.

JSON can say more than this server can hold: whole numbers of any length, any depth, half of a surrogate pair
(RFC 8259 sections 6, 8.2 and 9), and NUL, which PostgreSQL stores in no text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, NoReturn

import flask_smorest
from flask import Flask, Request, request
from marshmallow import Schema
from marshmallow.fields import String
from webargs.core import missing
from webargs.flaskparser import FlaskParser, abort, is_json_request
from werkzeug.exceptions import NotFound

from app.web.loading import Loader, is_plain

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_MAX_DIGITS = 18
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")


def whole_number(digits: str) -> int | float:
    """A number longer than any field takes is read as a fraction, which no field for whole numbers takes: Python
    refuses to convert thousands of digits, and the refusal would not say which field it was."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=whole_number)


class Parser(FlaskParser):
    """webargs' parser of arguments, which answers 400 or 422 to JSON that it would otherwise break on."""

    def json_body(self, req: Request) -> Any:
        """The body of a view that checks it itself, down to what text can be kept; `{}` where there is none."""
        body = super().load_json(req, Schema())
        return {} if body is missing else body

    def load_json(self, req: Request, schema: Any) -> Any:
        body = super().load_json(req, schema)
        if body is not missing and b"\\u" in req.get_data(cache=True):  # the only way to write what cannot be kept
            _refuse_unstorable_text(body)
        return body

    def _raw_load_json(self, req: Request) -> Any:
        if not is_json_request(req):
            return missing
        try:
            return _DECODER.decode(req.get_data(cache=True).decode())
        except RecursionError as error:
            raise json.JSONDecodeError("nested too deeply", "…", 0) from error


class Blueprint(flask_smorest.Blueprint):
    """flask-smorest's, with that parser, and with arguments in good order loaded without ceremony."""

    ARGUMENTS_PARSER = Parser()

    def arguments(self, schema: Schema | type[Schema], *, location: str = "json", **documentation: Any) -> Decorator:
        """Load `schema` from `location` at each call, as one more argument of the view."""
        made = schema() if isinstance(schema, type) else schema
        document = super().arguments(made, location=location, **documentation)
        quickly = _quick(made, location)
        parse = self.ARGUMENTS_PARSER.parse

        def declare(view: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(document(view))
            def call(*arguments: Any, **in_path: Any) -> Any:
                loaded = quickly()
                return view(*arguments, parse(made, location=location) if loaded is None else loaded, **in_path)

            return call

        return declare

    def alt_response(self, *what: Any, **documentation: Any) -> Decorator:
        """Document another answer. The view itself stays as it is."""
        document = super().alt_response(*what, **documentation)

        def declare(view: Callable[..., Any]) -> Callable[..., Any]:
            view._apidoc = document(view)._apidoc  # type: ignore[attr-defined]
            return view

        return declare


def _quick(schema: Schema, location: str) -> Callable[[], dict[str, Any] | None]:
    """How to load what is in good order; what this answers None to is for the parser."""
    if not is_plain(schema):
        return lambda: None
    loader = Loader(schema)

    def body() -> dict[str, Any] | None:
        found = _plain_body()
        return None if found is None or found.keys() - loader.known else loader.load(found)

    def headers() -> dict[str, Any] | None:
        return loader.load(request.headers)  # type: ignore[arg-type]  # a mapping in all but its type

    if location == "json":
        return body
    if location == "headers" and all(type(field) is String for field in schema.fields.values()):
        return headers
    return lambda: None


def _plain_body() -> dict[str, Any] | None:
    """The request's JSON object; None where it is none, or has text in it that might not be kept."""
    raw = request.get_data(cache=True) if is_json_request(request) else b""
    if b"\\u" in raw:  # the only way to write what cannot be kept
        return None
    try:
        body = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def init_app(app: Flask) -> None:
    app.before_request(_refuse_unstorable_path)


def refuse_query(**messages: str) -> NoReturn:
    """Answer 422: each named field of the query says what is wrong with it."""
    abort(422, messages={"query": {name: [message] for name, message in messages.items()}})
    raise AssertionError("abort raises")


def unstorable(body: Any) -> list[str]:
    """The fields of a JSON body that hold text which cannot be kept."""
    fields = body.items() if isinstance(body, dict) else [("_schema", body)]
    return [name for name, value in fields if any(map(_UNSTORABLE.search, _texts([name, value])))]


def _refuse_unstorable_text(body: Any) -> None:
    if wrong := unstorable(body):
        abort(422, messages={"json": {name: ["Must be Unicode text without NUL."] for name in wrong}})


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names included."""
    waiting = [value]
    while waiting:  # not by recursion: the parser may have gone as deep as Python can
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as fields:
                waiting += [*fields, *fields.values()]
            case list() as values:
                waiting += values


def _refuse_unstorable_path() -> None:
    """Nothing here has such a name (and PostgreSQL would not even look)."""
    if any(isinstance(value, str) and _UNSTORABLE.search(value) for value in (request.view_args or {}).values()):
        raise NotFound
