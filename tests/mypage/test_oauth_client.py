"""What the member page does when the server at the other end is not what it should be, or not there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from joserfc.jwk import ECKey, OctKey
from werkzeug.test import TestResponse

from app.mypage.factory import create_mypage
from app.mypage.settings import MypageSettings
from tests.live import free_port
from tests.mypage.other_server import OtherServer, other_server


@pytest.fixture
def other() -> Iterator[OtherServer]:
    with other_server() as server:
        yield server


def member_page(issuer_url: str) -> FlaskClient:
    settings = MypageSettings(key=b"k" * 32, client_secret="secret", issuer_url=issuer_url)
    return create_mypage(settings).test_client()


def sign_in(page: FlaskClient, other: OtherServer) -> TestResponse:
    """The whole way; the page the visitor sees at last."""
    asked = parse_qs(urlsplit(page.get("/login").location).query)
    other.nonce = other.nonce or asked["nonce"][0]
    answer = {"code": "kac_1", "state": asked["state"][0], "iss": other.url}
    return page.get("/callback", query_string=answer, follow_redirects=True)


def test_a_good_id_token_is_taken(other: OtherServer) -> None:
    """The measure for the refusals below: unchanged, all is well."""
    assert "組合 花子 さん" in sign_in(member_page(other.url), other).text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "https://other.example"),
        ("iss", None),
        ("aud", "another_client"),
        ("aud", None),
        ("exp", lambda: int(time.time()) - 3600),
        ("exp", None),
        ("iat", lambda: int(time.time()) + 3600),  # worked out when the test runs, which may be later
        ("iat", None),
        ("nonce", "of-another-sign-in"),
        ("nonce", None),
        ("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
        ("at_hash", None),
        ("sub", None),
    ],
)
def test_an_id_token_with_a_wrong_claim_is_refused(other: OtherServer, name: str, value: Any) -> None:
    other.claims = {name: value() if callable(value) else value}
    page = member_page(other.url)
    assert "ログインできませんでした" in sign_in(page, other).text
    assert 'href="/login"' in page.get("/").text


def test_an_id_token_signed_with_another_key_is_refused(other: OtherServer) -> None:
    other.signed_with = ECKey.generate_key("P-256", parameters={"kid": "one"})
    assert "ログインできませんでした" in sign_in(member_page(other.url), other).text


def test_an_id_token_signed_with_the_client_secret_is_refused(other: OtherServer) -> None:
    """HS256 with a shared secret: whoever knows the secret could speak for the server."""
    other.header = {"alg": "HS256", "kid": "one"}
    other.signed_with = OctKey.import_key("secret" * 8)  # type: ignore[assignment]
    assert "ログインできませんでした" in sign_in(member_page(other.url), other).text


@pytest.mark.parametrize("id_token", [None, "", "not.a.token"])
def test_an_answer_without_a_usable_id_token_is_refused(other: OtherServer, id_token: str | None) -> None:
    answer = {"access_token": "kat_x", "token_type": "Bearer", **({} if id_token is None else {"id_token": id_token})}
    other.replies["/token"] = (answer, 200)
    assert "ログインできませんでした" in sign_in(member_page(other.url), other).text


def test_a_server_that_says_to_be_another_is_not_used(other: OtherServer) -> None:
    """OpenID Connect Discovery 4.3."""
    other.replies["/.well-known/openid-configuration"] = ({"issuer": "https://other.example"}, 200)
    assert member_page(other.url).get("/login").status_code == 503


def test_what_a_visitor_sends_stays_on_one_line_of_the_log(
    other: OtherServer, caplog: pytest.LogCaptureFixture
) -> None:
    page = member_page(other.url)
    state = parse_qs(urlsplit(page.get("/login").location).query)["state"][0]
    forged = "x\n2026-11-23 WARNING sign-in failed: somebody else" + "y" * 5000

    page.get("/callback", query_string={"error": forged, "state": state, "iss": other.url})

    (said,) = (record.getMessage() for record in caplog.records if "sign-in failed" in record.getMessage())
    assert "\n" not in said
    assert len(said) < 300


def test_nobody_there(caplog: pytest.LogCaptureFixture) -> None:
    page = member_page(f"http://localhost:{free_port()}")
    answer = page.get("/login")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert "ただいまサーバーにつながりません" in answer.text
    assert page.get("/").status_code == 200


@pytest.mark.parametrize("reply", [("", 500), ("", 503), ({"error": "slow_down"}, 429), ("<html>", 200)], ids=str)
@pytest.mark.parametrize("path", ["/v1/me", "/v1/wallets", "/v1/transactions"])
def test_a_server_in_trouble_costs_nobody_their_session(other: OtherServer, path: str, reply: tuple[Any, int]) -> None:
    page = member_page(other.url)
    sign_in(page, other)
    other.replies[path] = reply

    away = page.get("/")
    assert away.status_code == 503
    assert "もう一度試す" in away.text

    del other.replies[path]
    assert "組合 花子 さん" in page.get("/").text


@pytest.mark.parametrize("reply", [("", 502), ({"error": "slow_down"}, 429)], ids=str)
def test_a_renewal_that_the_server_is_too_busy_for_is_tried_again(
    other: OtherServer, reply: tuple[Any, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = member_page(other.url)
    sign_in(page, other)
    now = time.time()
    monkeypatch.setattr("authlib.oauth2.rfc6749.wrappers.time.time", lambda: now + 600)

    other.replies["/token"] = reply
    assert page.get("/").status_code == 503
    other.replies["/token"] = ({"error": "invalid_grant"}, 400)
    assert "期限が切れています" in page.get("/", follow_redirects=True).text


def test_an_access_token_that_cannot_be_renewed_ends_the_session(
    other: OtherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, _ = other.reply("/token")
    page = member_page(other.url)
    asked = parse_qs(urlsplit(page.get("/login").location).query)
    other.nonce = asked["nonce"][0]
    answer = {**answer, "id_token": other.id_token()}
    del answer["refresh_token"]
    other.replies["/token"] = (answer, 200)
    page.get("/callback", query_string={"code": "kac_1", "state": asked["state"][0], "iss": other.url})
    assert "組合 花子 さん" in page.get("/").text

    now = time.time()
    monkeypatch.setattr("authlib.oauth2.rfc6749.wrappers.time.time", lambda: now + 600)
    assert "期限が切れています" in page.get("/", follow_redirects=True).text


def test_signing_out_while_the_server_is_away(other: OtherServer) -> None:
    page = member_page(other.url)
    home = sign_in(page, other).text
    other.replies["/revocation"] = ("", 503)

    token = home.split('name="csrf_token" value="')[1].split('"')[0]
    signed_out = page.post("/logout", data={"csrf_token": token}, follow_redirects=True)

    assert "このページからログアウトしました" in signed_out.text
    assert 'href="/login"' in signed_out.text


def test_a_kind_of_transaction_from_the_future(other: OtherServer) -> None:
    one = {"kind": "raffle", "signed_amount_yen": 5, "money": {"name": "ポイント"}, "shop": None, "description": ""}
    one |= {"id": "01936a7c-5b1e-7a10-8000-0000000000aa", "parts": []}
    seen = {**one, "created_at": "2026-11-23T03:34:56+00:00", "balance_yen": None}
    other.replies["/v1/transactions"] = ({"transactions": [seen], "next_cursor": None}, 200)
    home = sign_in(member_page(other.url), other).text
    assert "取引</strong>" in home
    assert "11月23日 12:34" in home
    assert "+¥5" in home
