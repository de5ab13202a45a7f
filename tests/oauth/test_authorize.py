"""The authorization request: what is refused as a page, what goes back to the client, who must sign in (again)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import clock
from app.settings import Settings
from tests.oauth.conftest import Member, ThirdParty, hidden, payment_detail, sent_back, sign_in

CALLBACK = "https://app.example/callback"


def is_error_page(response: TestResponse) -> bool:
    return response.status_code == 400 and response.mimetype == "text/html" and "Location" not in response.headers


def next_of(response: TestResponse) -> str:
    """Where the sign-in page that was redirected to leads afterwards."""
    assert response.status_code == 303
    location = urlsplit(response.headers["Location"])
    assert location.path == "/login"
    return parse_qs(location.query)["next"][0]


@pytest.mark.parametrize(
    "asked",
    [
        "https://app.example/callback/",
        "https://app.example/Callback",
        "https://APP.example/callback",
        "https://app.example/callback?x=1",
        "https://app.example/callback#x",
        "https://app.example/callback/../callback",
        "https://app.example:443/callback",
        "https://app.example:8443/callback",
        "https://user@app.example/callback",
        "https://app.example@evil.example/callback",
        "https://sub.app.example/callback",
        "https://app.example.evil.example/callback",
        "http://app.example/callback",
        "//app.example/callback",
        "https://app.example/callbac",
        " https://app.example/callback",
        "https://app.example/callback\r\nX: y",
        "javascript:alert(1)",
        'https://app.example/"callback"',
        "",
        None,
    ],
)
def test_any_detail_of_another_redirect_uri_is_an_error_page(
    third_party: ThirdParty, member: Member, asked: str | None
) -> None:
    assert is_error_page(member.browser.get(third_party.address(redirect_uri=asked)))
    assert is_error_page(member.browser.get(third_party.address(redirect_uri=asked, response_type="token")))
    assert is_error_page(member.browser.get(third_party.address(redirect_uri=asked, scope="nonsense")))


def test_only_a_native_apps_loopback_port_is_free(new_third_party: Callable[..., ThirdParty], member: Member) -> None:
    registered = ["http://127.0.0.1/cb", "http://[::1]:9/cb", "http://localhost/cb"]
    native = new_third_party(profile="native", redirect_uris=registered)
    web = new_third_party(profile="web", redirect_uris=registered)

    for asked in (
        "http://127.0.0.1:51004/cb",
        "http://127.0.0.1:65535/cb",
        "http://[::1]:51004/cb",
        "http://localhost:1/cb",
        "http://[::1]/cb",
    ):
        assert member.browser.get(native.address(redirect_uri=asked)).status_code == 200, asked
        assert is_error_page(member.browser.get(web.address(redirect_uri=asked))), asked
    for asked in (
        "http://127.0.0.1:51004/cb/",
        "http://127.0.0.1:51004/CB",
        "http://127.0.0.2:51004/cb",
        "http://127.0.0.1:x/cb",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:５１００４/cb",
        "http://[::1]:99999/cb",
        "http://127.0.0.1:1@evil.example/cb",
        "http://user@127.0.0.1:51004/cb",
        "https://127.0.0.1:51004/cb",
    ):
        for changes in ({}, {"response_type": "token"}):  # the latter would go back to the client at once
            assert is_error_page(member.browser.get(native.address(redirect_uri=asked, **changes))), asked


@pytest.mark.parametrize("client_id", [None, "", "nobody_here", "x\0y", "あ", "a" * 5000, "c' OR 1=1 --"])
def test_an_unknown_client_is_an_error_page(third_party: ThirdParty, member: Member, client_id: str | None) -> None:
    assert is_error_page(member.browser.get(third_party.address(client_id=client_id)))


def test_a_revoked_client_is_an_error_page(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    rows("UPDATE oauth_client SET status = 'revoked' WHERE id = :id", id=third_party.id)

    assert is_error_page(member.browser.get(third_party.address()))


def test_the_error_page_comes_before_signing_in(app: Flask, third_party: ThirdParty) -> None:
    assert is_error_page(app.test_client().get(third_party.address(redirect_uri="https://evil.example/")))


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_client_or_redirect_uri_given_twice_is_an_error_page(
    third_party: ThirdParty, member: Member, name: str
) -> None:
    twice = {"client_id": third_party.id, "redirect_uri": third_party.redirect_uri}[name]

    assert is_error_page(member.browser.get(f"{third_party.address()}&{name}={twice}"))


@pytest.mark.parametrize(
    "name",
    ["scope", "state", "response_type", "code_challenge", "code_challenge_method", "nonce", "prompt", "unheard_of"],
)
def test_any_other_parameter_given_twice_goes_back_as_invalid_request(
    third_party: ThirdParty, member: Member, name: str
) -> None:
    address = third_party.address(nonce="n", prompt="login", unheard_of="1")
    value = parse_qs(urlsplit(address).query)[name][0]

    assert sent_back(member.browser.get(f"{address}&{name}={value}"))["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": 'co"de\\'}, "unsupported_response_type"),
        ({"response_type": "コード"}, "unsupported_response_type"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "openid ほげ"}, "invalid_scope"),
        ({"scope": "till"}, "invalid_scope"),
        ({"scope": "openid till"}, "invalid_scope"),
        ({"nonce": "a\0b"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "dance"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request_uri": "https://app.example/r"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
    ],
)
def test_what_is_wrong_goes_back_to_the_client(
    third_party: ThirdParty, member: Member, changes: dict[str, str | None], error: str
) -> None:
    back = sent_back(member.browser.get(third_party.address(**changes)))

    assert (back["error"], back["state"]) == (error, "st4te")


@pytest.mark.parametrize(
    "details",
    [
        "",
        "nonsense",
        "{}",
        "[]",
        "[1]",
        "[" * 3000,
        "[" + "9" * 5000 + "]",
        '[{"type": "account", "max_per_payment_yen": 100}]',
        '[{"type": "payment", "max_per_payment_yen": 100, "colour": "red"}]',
        '[{"type": "payment", "max_per_payment_yen": 100}, {"type": "payment", "max_per_payment_yen": 100}]',
        payment_detail(0),
        payment_detail(-1),
        payment_detail(1.5),
        payment_detail("100"),
        payment_detail(None),
        payment_detail(10_000_000),
    ],
)
def test_malformed_authorization_details_go_back_to_the_client(
    third_party: ThirdParty, member: Member, details: str
) -> None:
    back = sent_back(member.browser.get(third_party.address(scope="payment", authorization_details=details)))

    assert back["error"] == "invalid_authorization_details"


def test_authorization_details_of_payment_need_its_scope(third_party: ThirdParty, member: Member) -> None:
    address = third_party.address(scope="balance", authorization_details=payment_detail(100))

    assert sent_back(member.browser.get(address))["error"] == "invalid_authorization_details"


def test_a_client_without_shops_cannot_ask_for_payment(
    new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    shopless = new_third_party(allowed_shops=[])

    assert sent_back(member.browser.get(shopless.address(scope="payment")))["error"] == "invalid_scope"


def test_a_long_state_and_nonce_survive(third_party: ThirdParty, member: Member) -> None:
    state = "状態 &=?#%+" * 100
    back = sent_back(third_party.answer(member, state=state, nonce="n" * 64))

    assert back["state"] == state


def test_unknown_parameters_are_ignored(third_party: ThirdParty, member: Member) -> None:
    assert member.browser.get(third_party.address(foo="bar", login_hint="a@b", claims="{}")).status_code == 200


def test_who_is_not_signed_in_comes_back_with_the_whole_query(app: Flask, third_party: ThirdParty) -> None:
    address = third_party.address(state="a b&c=d/あ", nonce="n", ui_locales="en")

    assert next_of(app.test_client().get(address)) == address


RAW = "状態".encode().decode("latin-1")
"""Raw UTF-8, as WSGI hands it over."""


@pytest.mark.parametrize("asked", [{}, {"prompt": "login"}], ids=["the first sign-in", "another sign-in"])
def test_raw_utf_8_in_the_query_comes_through_signing_in(
    app: Flask, third_party: ThirdParty, member: Member, asked: dict[str, str]
) -> None:
    raw = {"QUERY_STRING": f"{third_party.query(state=None, **asked)}&state={RAW}"}
    browser = app.test_client()
    back = next_of(browser.get("/oauth/authorize", environ_overrides=raw))

    sign_in(app, browser, member.id)
    page = browser.get(back)

    assert page.status_code == 200
    assert sent_back(browser.post(back, data={**hidden(page), "decision": "cancel"}))["state"] == "状態"
    late = next_of(app.test_client().post("/oauth/authorize", environ_overrides=raw, data={"decision": "allow"}))
    assert "state=%E7%8A%B6%E6%85%8B" in late


@pytest.mark.parametrize("nonsense", ["\xff", "\\", '"<>^`{|}', "a b", "%", "%zz"])
def test_nonsense_in_the_query_is_no_failure_of_ours(
    app: Flask, third_party: ThirdParty, member: Member, nonsense: str
) -> None:
    asked = {"QUERY_STRING": f"{third_party.query(state=None)}&state={nonsense}&back={nonsense}&next={nonsense}"}

    assert member.browser.get("/oauth/authorize", environ_overrides=asked).status_code == 200
    assert "state=" in next_of(app.test_client().get("/oauth/authorize", environ_overrides=asked))
    for path in ("/login", "/nowhere", "/language/en", "/v1/me", "/docs"):
        assert app.test_client().get(path, environ_overrides=asked).status_code < 500, path


def test_the_form_of_somebody_signed_out_leads_to_the_sign_in_page(app: Flask, third_party: ThirdParty) -> None:
    address = third_party.address()

    assert next_of(app.test_client().post(address, data={"decision": "allow"})) == address


def test_prompt_none_needs_a_member(app: Flask, third_party: ThirdParty) -> None:
    assert sent_back(app.test_client().get(third_party.address(prompt="none")))["error"] == "login_required"


def test_prompt_none_goes_through_when_nothing_is_to_ask(third_party: ThirdParty, member: Member) -> None:
    third_party.tokens(member)

    assert "code" in sent_back(member.browser.get(third_party.address(prompt="none")))


def test_prompt_login_wants_a_sign_in_after_the_request(app: Flask, third_party: ThirdParty, member: Member) -> None:
    back = next_of(member.browser.get(third_party.address(prompt="login")))

    assert next_of(member.browser.get(back)).startswith("/oauth/authorize?"), "coming back is not signing in"
    sign_in(app, member.browser, member.id)
    assert member.browser.get(back).status_code == 200
    assert next_of(member.browser.get(third_party.address(prompt="login"))), "the next request asks anew"


@pytest.mark.parametrize("asked", [{"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "0"}])
def test_who_was_signed_out_signs_in_once(
    app: Flask, third_party: ThirdParty, member: Member, asked: dict[str, str]
) -> None:
    browser = app.test_client()
    back = next_of(browser.get(third_party.address(**asked)))

    sign_in(app, browser, member.id)

    assert browser.get(back).status_code == 200


def test_the_note_of_a_sign_in_is_worth_nothing_elsewhere(
    app: Flask, third_party: ThirdParty, new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    back = next_of(member.browser.get(third_party.address(prompt="login")))
    sign_in(app, member.browser, member.id)
    note = parse_qs(urlsplit(back).query)["sign_in_asked"][0]

    for address in (
        third_party.address(prompt="login", state="other", sign_in_asked=note),
        new_third_party().address(prompt="login", sign_in_asked=note),
        third_party.address(prompt="login", sign_in_asked="forged"),
    ):
        assert next_of(member.browser.get(address))


def test_max_age_wants_a_recent_sign_in(app: Flask, third_party: ThirdParty, new_member: Callable[..., Member]) -> None:
    member = new_member(auth_time=clock.now() - timedelta(minutes=10))

    assert member.browser.get(third_party.address(max_age="660")).status_code == 200
    assert next_of(member.browser.get(third_party.address(max_age="540")))
    assert sent_back(member.browser.get(third_party.address(max_age="540", prompt="none")))["error"] == "login_required"
    back = next_of(member.browser.get(third_party.address(max_age="0")))
    sign_in(app, member.browser, member.id)
    assert member.browser.get(back).status_code == 200, "max_age=0 is met by the sign-in it caused"


def test_a_suspended_member_cannot_consent(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    rows("UPDATE member SET status = 'suspended' WHERE id = :id", id=member.id)

    assert next_of(member.browser.get(third_party.address()))


def test_ui_locales_choose_the_language(third_party: ThirdParty, member: Member) -> None:
    assert "アクセスを許可する" in member.browser.get(third_party.address(ui_locales="fr ja-JP en")).text
    assert "Allow access" in member.browser.get(third_party.address(ui_locales="fr en-GB ja")).text


def test_the_language_chosen_on_this_site_counts_more(third_party: ThirdParty, member: Member) -> None:
    member.browser.get("/language/ja")

    assert "アクセスを許可する" in member.browser.get(third_party.address(ui_locales="en")).text


def test_the_page_may_send_its_form_on_to_the_client_and_nowhere_else(
    third_party: ThirdParty, new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    native = new_third_party(profile="native", redirect_uris=["jp.example.app:/done"])

    for client, source in ((third_party, "https://app.example"), (native, "jp.example.app:")):
        policy = member.browser.get(client.address()).headers["Content-Security-Policy"]
        assert f"form-action 'self' {source}" in policy
        assert "frame-ancestors 'none'" in policy


def test_the_authorization_endpoint_has_no_cors(
    new_third_party: Callable[..., ThirdParty], member: Member, settings: Settings
) -> None:
    spa = new_third_party(profile="spa")
    for response in (
        member.browser.get(spa.address(), headers={"Origin": "https://app.example"}),
        member.browser.options("/oauth/authorize", headers={"Origin": "https://app.example"}),
    ):
        assert "Access-Control-Allow-Origin" not in response.headers
