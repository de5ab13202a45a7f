"""What each profile must ask, whom a client may mean, how it may ask (OpenID Connect Core, RFC 8707, RFC 9728)."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import ECKey
from werkzeug.test import TestResponse

from app import clock
from app.db import transaction
from app.oauth import keys
from app.settings import Settings
from tests.oauth.conftest import VERIFIER, Member, ThirdParty, hidden, sent_back, sign_in
from tests.oauth.test_authorize import is_error_page, next_of
from tests.oauth.test_identity import decode

NO_PKCE = {"code_challenge": None, "code_challenge_method": None}


@pytest.fixture
def basic(new_third_party: Callable[..., ThirdParty]) -> ThirdParty:
    """A client of the profile for OpenID Connect's certification plan."""
    return new_third_party(profile="oidc_basic")


def login_query(response: TestResponse) -> dict[str, list[str]]:
    """The query of the sign-in page a redirect leads to."""
    location = urlsplit(response.headers["Location"])
    assert (response.status_code, location.path) == (303, "/login")
    return parse_qs(location.query)


# Profiles


def test_oidc_basic_can_do_without_pkce(basic: ThirdParty, member: Member) -> None:
    code = basic.code(member, nonce="n", **NO_PKCE)

    response = basic.post(grant_type="authorization_code", code=code, redirect_uri=basic.redirect_uri)

    assert response.status_code == 200
    assert response.get_json()["id_token"]


def test_a_verifier_to_a_code_without_a_challenge_is_refused(
    basic: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    """RFC 9700 section 2.1.1: somebody took the challenge out of the request."""
    code = basic.code(member, nonce="n", **NO_PKCE)

    assert basic.redeem(code, code_verifier=VERIFIER).get_json()["error"] == "invalid_grant"
    assert living(basic.id) == 0


def test_what_pkce_oidc_basic_sends_is_enforced(basic: ThirdParty, member: Member) -> None:
    for verifier, status in ((VERIFIER, 200), (VERIFIER.upper(), 400), ("", 400)):
        code = basic.code(member, nonce="n", prompt="consent")
        assert basic.redeem(code, code_verifier=verifier).status_code == status


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nonce": ""},
        {"nonce": "n", "code_challenge": None},
        {"nonce": "n", "code_challenge_method": None},
        {"nonce": "n", "code_challenge_method": "plain"},
        {"nonce": "n", "code_challenge": "short"},
        {"nonce": "n", "scope": "balance", **NO_PKCE},
    ],
)
def test_what_oidc_basic_may_not_do(basic: ThirdParty, member: Member, changes: dict[str, str | None]) -> None:
    """A nonce always, PKCE whole or not at all, and not without an ID token, in which the nonce is checked."""
    back = sent_back(member.browser.get(basic.address(**changes)))

    assert (back["error"], back["state"]) == ("invalid_request", "st4te")


@pytest.mark.parametrize(
    ("name", "fits", "too_long"), [("state", 2048, 2049), ("nonce", 256, 257), ("state", 1000, 10_000)]
)
def test_state_and_nonce_have_an_end(
    app: Flask, third_party: ThirdParty, member: Member, name: str, fits: int, too_long: int
) -> None:
    back = sent_back(third_party.answer(member, **{name: "あ" * fits}))
    refused = sent_back(member.browser.get(third_party.address(**{name: "あ" * too_long})))

    if name == "state":
        assert back["state"] == "あ" * fits
    claims = decode(app, third_party.redeem(back["code"]).get_json()["id_token"]).claims
    assert claims.get("nonce", "あ" * fits) == "あ" * fits
    assert refused["error"] == "invalid_request"
    assert name in refused["error_description"]


# The session an ID token comes of


def test_the_id_token_names_the_session_and_the_session_its_client(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    ((session_id,),) = rows("SELECT id FROM member_session WHERE member_id = :id", id=member.id)

    for _ in range(2):
        answer = third_party.tokens(member, prompt="consent")
        assert decode(app, answer["id_token"]).claims["sid"] == str(session_id)

    put = "SELECT session_id FROM oauth_session_client WHERE client_id = :id"
    assert rows(put, id=third_party.id) == [(session_id,)]


def test_without_openid_no_session_is_told_of(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    third_party.tokens(member, scope="balance", ticked=["balance"])

    assert rows("SELECT FROM oauth_session_client WHERE client_id = :id", id=third_party.id) == []


def test_a_session_that_is_gone_is_passed_over(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    code = third_party.code(member)
    rows("DELETE FROM member_session WHERE member_id = :id", id=member.id)

    assert third_party.redeem(code).status_code == 200
    assert rows("SELECT FROM oauth_session_client WHERE client_id = :id", id=third_party.id) == []


# id_token_hint and login_hint


def hint(third_party: ThirdParty, member: Member) -> str:
    return str(third_party.tokens(member, prompt="consent")["id_token"])


def signed(app: Flask, settings: Settings, **claims: Any) -> str:
    """A token under our own key."""
    with app.app_context(), transaction():
        key = keys.current_key(sealing_key=settings.sealing_key)
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)


def test_a_hint_of_the_member_who_is_signed_in_goes_through(third_party: ThirdParty, member: Member) -> None:
    own = hint(third_party, member)

    assert "code" in sent_back(member.browser.get(third_party.address(prompt="none", id_token_hint=own)))
    assert "code" in sent_back(member.browser.get(third_party.address(id_token_hint=own)))


def test_an_expired_hint_is_as_good(app: Flask, third_party: ThirdParty, member: Member, settings: Settings) -> None:
    third_party.tokens(member)
    year_ago = int(time.time()) - 365 * 86_400
    claims = {"iss": settings.issuer_url, "aud": third_party.id, "iat": year_ago, "exp": year_ago + 600}
    expired = signed(app, settings, **claims, sub=str(member.id))

    assert "code" in sent_back(member.browser.get(third_party.address(prompt="none", id_token_hint=expired)))


def test_a_hint_of_another_member_is_login_required_or_the_sign_in_page(
    app: Flask, third_party: ThirdParty, member: Member, new_member: Callable[..., Member]
) -> None:
    other = new_member()
    meant = hint(third_party, member)
    third_party.tokens(other)

    refused = sent_back(other.browser.get(third_party.address(prompt="none", id_token_hint=meant)))
    back = next_of(other.browser.get(third_party.address(id_token_hint=meant)))
    assert refused["error"] == "login_required"

    sign_in(app, other.browser, member.id)  # as the one who is meant
    assert "code" in sent_back(other.browser.get(back))


def test_who_signs_in_as_another_than_the_hint_is_not_sent_there_for_ever(
    app: Flask, third_party: ThirdParty, member: Member, new_member: Callable[..., Member]
) -> None:
    other = new_member()
    browser = app.test_client()
    back = next_of(browser.get(third_party.address(id_token_hint=hint(third_party, member))))

    sign_in(app, browser, other.id)

    assert sent_back(browser.get(back))["error"] == "login_required"


def test_nobody_allows_anything_in_the_place_of_the_member_meant(
    third_party: ThirdParty, member: Member, new_member: Callable[..., Member], rows: Callable[..., list[Any]]
) -> None:
    other = new_member()
    form = {**hidden(other.browser.get(third_party.address())), "decision": "allow", "permission": ["balance"]}
    asked = third_party.address(id_token_hint=hint(third_party, member))

    assert next_of(other.browser.post(asked, data=form)).startswith("/oauth/authorize?")
    assert rows("SELECT FROM oauth_grant WHERE member_id = :id", id=other.id) == []


def test_a_hint_that_is_no_id_token_of_ours_for_this_client_is_refused(
    app: Flask,
    third_party: ThirdParty,
    new_third_party: Callable[..., ThirdParty],
    member: Member,
    settings: Settings,
) -> None:
    right = {"iss": settings.issuer_url, "aud": third_party.id, "sub": str(member.id)}
    genuine = hint(third_party, member)
    stranger = ECKey.generate_key("P-256")
    header, claims, signature = genuine.split(".")
    wrong = [
        "",
        "nonsense",
        "a.b.c",
        "[" * 4000,
        f"{header}.{claims}.",
        f"{header}.{claims}.{signature[::-1]}",
        f"eyJhbGciOiJub25lIn0.{claims}.",
        jwt.encode({"alg": "ES256"}, right, stranger),
        signed(app, settings, **{**right, "iss": "https://elsewhere.example"}),
        signed(app, settings, **{**right, "aud": [third_party.id, "another"]}),
        signed(app, settings, **{**right, "sub": "nobody"}),
        signed(app, settings, **{**right, "sub": 7}),
        signed(app, settings, iss=settings.issuer_url, aud=third_party.id),
        hint(new_third_party(), member),
        genuine + "x" * 4096,
    ]

    for value in wrong:
        back = sent_back(member.browser.get(third_party.address(id_token_hint=value)))
        assert (back["error"], back["state"]) == ("invalid_request", "st4te"), value
        assert "id_token_hint" in back["error_description"]
    assert "code" in sent_back(member.browser.get(third_party.address(id_token_hint=genuine)))


def test_a_login_hint_stands_in_the_field_and_tells_nothing(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    ((known,),) = rows("SELECT email FROM member WHERE id = :id", id=member.id)
    pages = []
    for address in (known, "nobody@example.ac.jp"):
        to = app.test_client().get(third_party.address(login_hint=address))
        page = app.test_client().get(to.headers["Location"]).text

        assert login_query(to)["login_hint"] == [address]
        assert f'value="{address}"' in page
        for written in (address, *(address.replace("@", f"%{'25' * depth}40") for depth in range(4))):
            page = page.replace(written, "HINT")
        pages.append([line for line in page.splitlines() if "csrf_token" not in line])

    assert pages[0] == pages[1]


@pytest.mark.parametrize("nonsense", ['"><script>alert(1)</script>', "x" * 5000, "080-1234-5678", "あ", ""])
def test_a_login_hint_may_be_anything(app: Flask, third_party: ThirdParty, nonsense: str) -> None:
    to = app.test_client().get(third_party.address(login_hint=nonsense))
    page = app.test_client().get(to.headers["Location"])

    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert len(login_query(to).get("login_hint", [""])[0]) <= 254


@pytest.mark.parametrize(
    "ignored",
    [
        {"claims": '{"userinfo": {"email": null}}'},
        {"claims": "no JSON"},
        {"acr_values": "urn:mace:incommon:iap:silver"},
        {"display": "popup"},
        {"claims_locales": "fr"},
        {"ui_locales": "xx ☃"},
        {"unheard_of": "x"},
    ],
)
def test_what_openid_connect_lets_us_ignore(
    app: Flask, third_party: ThirdParty, member: Member, ignored: dict[str, str]
) -> None:
    answer = third_party.tokens(member, scope="openid", ticked=[], **ignored)

    assert set(third_party.userinfo(answer["access_token"]).get_json()) == {"sub"}


@pytest.mark.parametrize("prompt", ["login", "select_account"])
def test_prompt_asks_for_a_sign_in_and_auth_time_tells_of_it(
    app: Flask, third_party: ThirdParty, new_member: Callable[..., Member], prompt: str
) -> None:
    member = new_member(auth_time=clock.now() - timedelta(hours=1))
    third_party.tokens(member)
    back = next_of(member.browser.get(third_party.address(prompt=prompt)))

    sign_in(app, member.browser, member.id)
    code = sent_back(member.browser.get(back))["code"]

    claims = decode(app, third_party.redeem(code).get_json()["id_token"]).claims
    assert abs(claims["auth_time"] - time.time()) < 10


def test_prompt_consent_asks_although_nothing_is_new(third_party: ThirdParty, member: Member) -> None:
    third_party.tokens(member)

    assert member.browser.get(third_party.address(prompt="consent")).status_code == 200


# POST


@pytest.mark.parametrize("site", ["cross-site", "same-origin", None])
def test_a_clients_post_becomes_the_get_it_means(
    app: Flask, third_party: ThirdParty, member: Member, site: str | None
) -> None:
    headers = {} if site is None else {"Sec-Fetch-Site": site, "Origin": "https://app.example"}
    form = parse_qsl(third_party.query(state="状態 &=?#%+"))

    for browser in (member.browser, app.test_client()):
        response = browser.post("/oauth/authorize", data=dict(form), headers=headers)
        assert response.status_code == 303
        location = urlsplit(response.headers["Location"])
        assert location.path == "/oauth/authorize"
        assert parse_qsl(location.query) == form

    page = member.browser.get(response.headers["Location"])
    assert page.status_code == 200
    where = response.headers["Location"]
    back = sent_back(member.browser.post(where, data={**hidden(page), "decision": "allow"}))
    assert back["state"] == "状態 &=?#%+"


def test_a_post_says_twice_what_it_says_twice(app: Flask, third_party: ThirdParty, member: Member) -> None:
    form = [*parse_qsl(third_party.query()), ("scope", "openid")]
    response = member.browser.post(
        "/oauth/authorize", data=urlencode(form), content_type="application/x-www-form-urlencoded"
    )

    assert sent_back(member.browser.get(response.headers["Location"]))["error"] == "invalid_request"


def test_a_clients_post_is_no_answer(third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]) -> None:
    """Neither with the words of our form in it, nor with its request in the query as well."""
    form = {**dict(parse_qsl(third_party.query())), "decision": "allow", "permission": "balance"}

    for where in ("/oauth/authorize", third_party.address()):
        response = member.browser.post(where, data=form, headers={"Sec-Fetch-Site": "cross-site"})
        assert urlsplit(response.headers["Location"]).path == "/oauth/authorize"
        assert member.browser.get(response.headers["Location"]).status_code == 200
    assert rows("SELECT FROM oauth_grant WHERE client_id = :id", id=third_party.id) == []


def test_our_own_form_keeps_its_protection(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    genuine = {**hidden(member.browser.get(third_party.address())), "decision": "allow", "permission": ["balance"]}
    address = third_party.address()

    assert is_error_page(member.browser.post(address, data=genuine, headers={"Sec-Fetch-Site": "cross-site"}))
    assert is_error_page(member.browser.post(address, data={**genuine, "csrf_token": "forged"}))
    assert is_error_page(
        member.browser.post(address, data={**genuine, "csrf_token": "forged", "client_id": third_party.id})
    )
    assert is_error_page(member.browser.post(address, data={"decision": "allow"}))
    assert rows("SELECT FROM oauth_grant WHERE client_id = :id", id=third_party.id) == []


def test_a_post_too_long_for_an_address_is_refused(app: Flask, third_party: ThirdParty) -> None:
    form = {**dict(parse_qsl(third_party.query())), "filler": "x" * 20_000}

    response = app.test_client().post("/oauth/authorize", data=form)

    assert response.status_code == 413
    assert "Location" not in response.headers


# Resource indicators and metadata


def test_the_resource_may_be_named_also_twice(third_party: ThirdParty, member: Member, settings: Settings) -> None:
    ours = settings.issuer_url
    address = f"{third_party.address()}&{urlencode([('resource', ours), ('resource', ours)])}"
    page = member.browser.get(address)
    assert page.status_code == 200
    code = sent_back(member.browser.post(address, data={**hidden(page), "decision": "allow"}))["code"]

    assert third_party.redeem(code, resource=ours).status_code == 200


@pytest.mark.parametrize(
    "other",
    ["{ours}/", "{ours}/v1", "{ours}#x", "{ours}?x", "https://elsewhere.example", "", "nonsense", "{upper}", "{ours} "],
)
def test_any_other_resource_is_refused(third_party: ThirdParty, member: Member, settings: Settings, other: str) -> None:
    ours = settings.issuer_url
    other = other.format(ours=ours, upper=ours.upper())

    for resources in ([other], [ours, other], [other, ours]):
        query = urlencode([("resource", each) for each in resources])
        back = sent_back(member.browser.get(f"{third_party.address()}&{query}"))
        assert (back["error"], back["state"]) == ("invalid_target", "st4te")


def test_another_resource_at_the_token_endpoint_is_refused_and_spends_nothing(
    third_party: ThirdParty, new_third_party: Callable[..., ThirdParty], member: Member, settings: Settings
) -> None:
    till = new_third_party(profile="till", allowed_shops=[])
    code = third_party.code(member)

    for response in (
        third_party.redeem(code, resource=f"{settings.issuer_url}/"),
        third_party.refresh("krt_x", resource="https://elsewhere.example"),
        till.post(grant_type="client_credentials", resource="https://elsewhere.example"),
    ):
        assert (response.status_code, response.get_json()["error"]) == (400, "invalid_target")
    assert till.post(grant_type="client_credentials", resource=settings.issuer_url).status_code == 200
    assert third_party.redeem(code).status_code == 200


def test_the_resource_may_be_pushed(third_party: ThirdParty, settings: Settings) -> None:
    form = dict(parse_qsl(third_party.query(resource=settings.issuer_url)))

    assert third_party.post("/oauth/par", **form).status_code == 201


def test_the_protected_resource_says_what_it_is(app: Flask, settings: Settings) -> None:
    response = app.test_client().get("/.well-known/oauth-protected-resource")

    told = response.get_json()
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert told["resource"] == settings.issuer_url  # RFC 9728 section 3.3: else it must not be used
    assert told["authorization_servers"] == [settings.issuer_url]
    assert told["bearer_methods_supported"] == ["header"]
    assert {"balance", "payment", "till"} <= set(told["scopes_supported"])
    assert told["dpop_signing_alg_values_supported"] == ["ES256", "PS256", "EdDSA"]
    assert told["resource_documentation"] == f"{settings.issuer_url}/docs"
    server = app.test_client().get("/.well-known/oauth-authorization-server").get_json()
    assert told["resource"] in server["protected_resources"]
