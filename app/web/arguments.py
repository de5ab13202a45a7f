"""What a call may bring, before any of its fields is looked at: a form that can be read, text that can be kept.

JSON can say more than this server can hold: whole numbers of any length, any depth, half of a surrogate pair
(RFC 8259 sections 6, 8.2 and 9), and NUL, which PostgreSQL stores in no text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import flask_smorest
from flask import Flask, Request, request
from webargs.core import missing
from webargs.flaskparser import FlaskParser, abort, is_json_request
from werkzeug.exceptions import NotFound

_MAX_DIGITS = 18
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")


def whole_number(digits: str) -> int | float:
    """A number longer than any field takes is read as a fraction, which no field for whole numbers takes: Python
    refuses to convert thousands of digits, and the refusal would not say which field it was."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=whole_number)


class Parser(FlaskParser):
    """webargs' parser of arguments, which answers 400 or 422 to JSON that it would otherwise break on."""

    def _raw_load_json(self, req: Request) -> Any:
        if not is_json_request(req):
            return missing
        raw = req.get_data(cache=True)
        try:
            body = _DECODER.decode(raw.decode())
        except RecursionError as error:
            raise json.JSONDecodeError("nested too deeply", "…", 0) from error
        if b"\\u" in raw:  # the only way to write what cannot be kept
            _refuse_unstorable_text(body)
        return body


class Blueprint(flask_smorest.Blueprint):
    """flask-smorest's, with that parser."""

    ARGUMENTS_PARSER = Parser()


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
