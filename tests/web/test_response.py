"""What the web server is handed: a list where the answer is complete, an iterable to be closed where it is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import create_environ

from app.web.json import json_response
from app.web.response import Answer


def handed_over(app: Flask, path: str, method: str = "GET") -> tuple[Iterable[bytes], dict[str, str]]:
    """The body as the WSGI callable returns it, and the headers."""
    headers: dict[str, str] = {}

    def start_response(_status: str, sent: list[tuple[str, str]], _exc_info: Any = None) -> Any:
        headers.update(sent)
        assert len({name.lower() for name, _ in sent}) == len(sent), "no header is sent twice"

    return app(create_environ(path, method=method), start_response), headers


@pytest.mark.parametrize("path", ["/v1/me", "/openapi.json", "/docs", "/nowhere"])
def test_a_complete_answer_is_a_list_of_the_length_it_says(app: Flask, path: str) -> None:
    body, headers = handed_over(app, path)
    assert isinstance(body, list)
    assert headers["Content-Length"] == str(len(b"".join(body)))


def test_head_is_answered_without_a_body(app: Flask) -> None:
    body, headers = handed_over(app, "/openapi.json", method="HEAD")
    assert list(body) == []
    assert int(headers["Content-Length"]) > 1000


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(status: int) -> None:
    assert list(Answer(b"never sent", status=status).get_app_iter(create_environ())) == []


def test_what_wants_to_be_closed_is_closed_by_the_web_server() -> None:
    closed = []
    answer = Answer(b"whole")
    answer.call_on_close(lambda: closed.append(True))
    body = answer.get_app_iter(create_environ())
    assert list(body) == [b"whole"]
    body.close()  # type: ignore[attr-defined]
    assert closed == [True]


def test_json_is_written_as_it_is(app: Flask) -> None:
    with app.test_request_context():
        answer = json_response({"name": "学食"}, status=201, headers={"Idempotency-Hit": "true"})
        body, status, headers = answer.get_wsgi_response(create_environ())
    assert (list(body), status) == (['{"name":"学食"}'.encode()], "201 CREATED")
    assert ("Idempotency-Hit", "true") in headers
    assert ("Content-Length", "17") in headers
