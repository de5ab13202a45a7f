"""A move or payment whose answer is lost: the page says so, and the same key goes with the next try."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient

from app.mypage.factory import create_mypage
from app.mypage.oauth_client import SCOPES
from app.mypage.settings import MypageSettings
from tests.mypage.other_server import OtherServer, other_server
from tests.mypage.test_oauth_client import sign_in

KEY = "0123456789abcdef"
FORMS = {
    "/move": ("/v1/moves", {"key": KEY, "way": "base:meal", "amount": "500"}),
    "/pay": ("/v1/payments/by-code", {"key": KEY, "way": "meal:points_first", "code": "21"}),
}
UNSURE = [("", 500), ({"code": "temporarily_unavailable"}, 503), ({"code": "outcome_unknown"}, 503), ("<html>", 201)]
UNSURE += [({"code": "request_in_progress"}, 409), ({"code": "too_many_requests"}, 429)]


@pytest.fixture(scope="module")
def other() -> Iterator[OtherServer]:
    with other_server() as server:
        yield server


@pytest.fixture
def page(other: OtherServer) -> FlaskClient:
    other.replies, other.nonce = {}, ""
    settings = MypageSettings(key=b"k" * 32, client_secret="secret", issuer_url=other.url)
    client = create_mypage(settings).test_client()
    sign_in(client, other)
    return client


def token(page: FlaskClient) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.get("/").text)
    assert found
    return found[1]


@pytest.mark.parametrize("reply", UNSURE, ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_the_same_key_is_offered_again(
    page: FlaskClient, other: OtherServer, form: str, reply: tuple[Any, int]
) -> None:
    path, fields = FORMS[form]
    other.replies[path] = reply
    answer = page.post(form, data={"csrf_token": token(page), **fields})
    assert answer.status_code == 503
    assert "結果を確認できませんでした" in answer.text
    for name, value in fields.items():
        assert f'name="{name}" value="{value}"' in answer.text

    other.replies[path] = ({}, 201)
    assert page.post(form, data={"csrf_token": token(page), **fields}).location.endswith(f"{form}/done/{KEY}")


def test_a_client_that_may_ask_for_less_signs_in_with_less(page: FlaskClient, other: OtherServer) -> None:
    """An office that has not registered the member page for charges, payments, or moves: the rest works."""
    asked = parse_qs(urlsplit(page.get("/login?next=/history").location).query)
    assert asked["scope"] == [SCOPES[0]]
    for scope in SCOPES[1:]:
        answer = {"error": "invalid_scope", "state": asked["state"][0], "iss": other.url}
        asked = parse_qs(urlsplit(page.get("/callback", query_string=answer).location).query)
        assert asked["scope"] == [scope]
    other.nonce = asked["nonce"][0]
    answer = {"code": "kac_1", "state": asked["state"][0], "iss": other.url}
    assert page.get("/callback", query_string=answer).location == "/history"
