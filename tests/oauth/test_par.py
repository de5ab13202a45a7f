"""Pushed authorization requests (RFC 9126): what may be pushed, what a request_uri opens, and how often."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc.jwk import ECKey
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.db import transaction
from app.ids import secret_hash
from app.oauth import par, pushed
from app.settings import Settings
from tests.live import eventually
from tests.oauth.conftest import CHALLENGE, Member, ThirdParty, hidden, payment_detail, sent_back, sign_in
from tests.oauth.test_authorize import is_error_page, next_of
from tests.oauth.test_races import THREADS, at_once, statuses

PREFIX = "urn:ietf:params:oauth:request_uri:kpr_"


def push(client: ThirdParty, **changes: str | None) -> TestResponse:
    """An authorization request in good order, with changes, pushed by its client."""
    form = dict(parse_qsl(client.query(**changes), keep_blank_values=True))
    return client.post("/oauth/par", **form)


def pushed_uri(client: ThirdParty, **changes: str | None) -> str:
    response = push(client, **changes)
    assert response.status_code == 201, response.text
    return str(response.get_json()["request_uri"])


def address(client: ThirdParty, request_uri: str, **more: str) -> str:
    return f"/oauth/authorize?{urlencode({'client_id': client.id, 'request_uri': request_uri, **more})}"


def answer(browser: FlaskClient, where: str, *, decision: str = "allow", ticked: tuple[str, ...] = ()) -> TestResponse:
    """The member opens the page and answers."""
    page = browser.get(where)
    assert page.status_code == 200, (page.status_code, page.text)
    return browser.post(where, data={**hidden(page), "decision": decision, "permission": list(ticked)})


def refusal(response: TestResponse) -> tuple[int, str]:
    """Status and error of an answer in the form of RFC 6749 section 5.2."""
    body = response.get_json()
    assert set(body) == {"error", "error_description", "error_uri"}
    assert body["error_description"].isascii()
    assert response.headers["Cache-Control"] == "no-store"
    return response.status_code, str(body["error"])


def test_the_answer_to_a_push(third_party: ThirdParty, rows: Callable[..., list[Any]]) -> None:
    response = push(third_party, state="s" * 1000, nonce="n" * 64)

    body = response.get_json()
    assert response.status_code == 201
    assert set(body) == {"request_uri", "expires_in"}
    assert body["request_uri"].startswith(PREFIX)
    assert 60 < body["expires_in"] < 600
    assert response.headers["Cache-Control"] == "no-store"
    ((request_hash, parameters, left),) = rows(
        "SELECT request_hash, parameters, extract(epoch FROM expires_at - now()) FROM oauth_pushed_request"
        " WHERE client_id = :id",
        id=third_party.id,
    )
    assert bytes(request_hash) == secret_hash(body["request_uri"])
    assert (parameters["state"], parameters["nonce"]) == ("s" * 1000, "n" * 64)
    assert body["expires_in"] - 10 < left <= body["expires_in"]


@pytest.mark.parametrize("basic", [True, False])
def test_no_credentials_are_kept(third_party: ThirdParty, rows: Callable[..., list[Any]], *, basic: bool) -> None:
    form = dict(parse_qsl(third_party.query()))
    response = third_party.post("/oauth/par", basic=basic, **form)

    kept = rows("SELECT t::text FROM oauth_pushed_request t WHERE client_id = :id", id=third_party.id)[0][0]
    assert third_party.secret is not None
    assert third_party.secret not in kept
    assert "client_secret" not in kept
    assert response.get_json()["request_uri"].removeprefix(PREFIX) not in kept


@pytest.mark.parametrize("profile", ["web", "native", "spa"])
def test_from_push_to_tokens(
    new_third_party: Callable[..., ThirdParty], member: Member, settings: Settings, profile: str
) -> None:
    client = new_third_party(profile=profile)
    where = address(client, pushed_uri(client, state="状態", scope="openid balance"))

    back = sent_back(answer(member.browser, where, ticked=("balance",)))

    assert (back["state"], back["iss"]) == ("状態", settings.issuer_url)
    assert client.redeem(back["code"]).get_json()["scope"] == "openid balance"


def test_what_is_pushed_is_what_counts(third_party: ThirdParty, member: Member) -> None:
    """RFC 9101 section 6.3: whatever stands beside client_id and request_uri is ignored."""
    more = {
        "scope": "openid balance history payment",
        "state": "evil",
        "redirect_uri": "https://evil.example/",
        "code_challenge": "x" * 43,
        "prompt": "none",
    }
    where = address(third_party, pushed_uri(third_party, scope="openid balance"), **more)

    page = member.browser.get(where)
    back = sent_back(answer(member.browser, where, ticked=("balance", "history")))

    assert 'value="history"' not in page.text
    assert back["state"] == "st4te"
    assert third_party.redeem(back["code"]).get_json()["scope"] == "openid balance"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "https://app.example/callback/"}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "openid till"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"nonce": "a\0b"}, "invalid_request"),
        ({"a\0b": "x"}, "invalid_request"),
        ({"state": "s" * 2049}, "invalid_request"),
        ({"nonce": "n" * 257}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"authorization_details": "nonsense"}, "invalid_authorization_details"),
        ({"authorization_details": payment_detail(100)}, "invalid_authorization_details"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"id_token_hint": "a.b.c"}, "invalid_request"),
        ({"request": "a.b.c"}, "request_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
        ({"request_uri": "https://app.example/r"}, "invalid_request"),
        ({"request_uri": f"{PREFIX}x"}, "invalid_request"),
    ],
)
def test_what_is_wrong_is_refused_at_once(
    third_party: ThirdParty, changes: dict[str, str | None], error: str, rows: Callable[..., list[Any]]
) -> None:
    assert refusal(push(third_party, **changes)) == (400, error)
    assert rows("SELECT FROM oauth_pushed_request WHERE client_id = :id", id=third_party.id) == []


def test_a_request_uri_cannot_be_pushed_on(third_party: ThirdParty) -> None:
    assert refusal(push(third_party, request_uri=pushed_uri(third_party))) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["scope", "state", "redirect_uri", "client_id", "unheard_of"])
def test_a_parameter_given_twice_is_refused(app: Flask, third_party: ThirdParty, name: str) -> None:
    form = [*parse_qsl(third_party.query(unheard_of="1")), ("client_secret", third_party.secret or "")]
    form.append((name, dict(form)[name]))

    response = app.test_client().post(
        "/oauth/par", data=urlencode(form), content_type="application/x-www-form-urlencoded"
    )

    assert refusal(response) == (400, "invalid_request")
    assert name in response.get_json()["error_description"]


def test_too_much_is_refused(third_party: ThirdParty) -> None:
    assert refusal(push(third_party, filler="x" * par.MAX_BYTES)) == (413, "invalid_request")
    assert refusal(push(third_party, filler="字" * (par.MAX_BYTES // 3))) == (413, "invalid_request")
    assert push(third_party, filler="x" * (par.MAX_BYTES // 2)).status_code == 201


def test_only_the_client_itself_pushes(app: Flask, third_party: ThirdParty) -> None:
    form = dict(parse_qsl(third_party.query()))
    for credentials in ({}, {"client_secret": "kcs_wrong"}):
        response = app.test_client().post("/oauth/par", data={**form, **credentials})
        assert refusal(response) == (401, "invalid_client")
        assert response.headers["WWW-Authenticate"] == 'Basic realm="kumiai"'


@pytest.mark.parametrize("profile", ["service", "till"])
def test_who_acts_for_no_member_has_nothing_to_push(new_third_party: Callable[..., ThirdParty], profile: str) -> None:
    client = new_third_party(profile=profile, allowed_shops=[])

    assert refusal(push(client, redirect_uri="https://app.example/callback")) == (400, "unauthorized_client")


@pytest.mark.parametrize(
    "how",
    [
        {"query_string": "scope=openid"},
        {"content_type": "application/json", "data": "{}"},
        {"content_type": "multipart/form-data"},
    ],
)
def test_a_push_comes_in_the_body_as_a_form(app: Flask, how: dict[str, Any]) -> None:
    assert refusal(app.test_client().post("/oauth/par", **how)) == (400, "invalid_request")


def test_there_is_nothing_to_get(app: Flask) -> None:
    response = app.test_client().get("/oauth/par")

    assert refusal(response) == (405, "invalid_request")
    assert "POST" in response.headers["Allow"]


def test_a_single_page_app_may_push_from_its_page(new_third_party: Callable[..., ThirdParty], app: Flask) -> None:
    new_third_party(profile="spa")
    for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
        response = app.test_client().options("/oauth/par", headers={"Origin": origin})
        assert response.headers.get("Access-Control-Allow-Origin") == allowed


@pytest.mark.usefixtures("still_clock")
def test_strangers_can_push_so_often_in_a_public_clients_name(
    app: Flask, new_third_party: Callable[..., ThirdParty], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(par, "BY_PUBLIC_CLIENT_AND_NETWORK", 2)
    monkeypatch.setattr(par, "BY_PUBLIC_NETWORK", 3)
    first, second = new_third_party(profile="spa"), new_third_party(profile="native")

    def pushes(client: ThirdParty, network: str, **changes: str | None) -> TestResponse:
        form = dict(parse_qsl(client.query(**changes)))
        return app.test_client().post("/oauth/par", data=form, environ_base={"REMOTE_ADDR": network})

    answers = [
        pushes(first, "192.0.2.81", scope="nonsense"),  # what is refused counts too
        pushes(first, "192.0.2.81"),
        pushes(first, "192.0.2.81"),
        pushes(second, "192.0.2.81"),
        pushes(second, "192.0.2.81"),
        pushes(first, "192.0.2.82"),
    ]

    assert [each.status_code for each in answers] == [400, 201, 429, 201, 429, 201]
    for shut in (answers[2], answers[4]):
        assert refusal(shut) == (429, "temporarily_unavailable")
        assert 0 < int(shut.headers["Retry-After"]) <= par.WINDOW_S


@pytest.mark.usefixtures("still_clock")
def test_a_client_with_a_secret_is_limited_by_itself(
    new_third_party: Callable[..., ThirdParty], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(par, "BY_CONFIDENTIAL_CLIENT", 2)
    first, second = new_third_party(), new_third_party()

    assert [push(first).status_code for _ in range(3)] == [201, 201, 429]
    assert push(second).status_code == 201


def test_a_request_uri_is_bound_to_its_client(
    third_party: ThirdParty, new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    request_uri = pushed_uri(third_party)

    assert is_error_page(member.browser.get(address(new_third_party(), request_uri)))
    assert is_error_page(member.browser.get(f"/oauth/authorize?{urlencode({'request_uri': request_uri})}"))
    assert member.browser.get(address(third_party, request_uri)).status_code == 200


@pytest.mark.parametrize("unknown", [f"{PREFIX}x", PREFIX[:-4], f"{PREFIX}" + "x" * 5000, f"{PREFIX}\0", f"{PREFIX}あ"])
def test_an_unknown_request_uri_is_an_error_page(third_party: ThirdParty, member: Member, unknown: str) -> None:
    """Never a redirect, although the query names a registered redirect URI."""
    where = address(third_party, unknown, redirect_uri=third_party.redirect_uri, state="s")

    assert is_error_page(member.browser.get(where))


@pytest.mark.parametrize("name", ["client_id", "request_uri"])
def test_a_request_uri_or_its_client_given_twice_is_an_error_page(
    third_party: ThirdParty, member: Member, name: str
) -> None:
    where = address(third_party, pushed_uri(third_party))
    again = parse_qs(urlsplit(where).query)[name][0]

    assert is_error_page(member.browser.get(f"{where}&{urlencode({name: again})}"))


def test_an_expired_one_is_an_error_page_at_the_visit_and_at_the_answer(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    where = address(third_party, pushed_uri(third_party))
    form = {**hidden(member.browser.get(where)), "decision": "allow", "permission": ["balance"]}
    rows("UPDATE oauth_pushed_request SET expires_at = now() WHERE client_id = :id", id=third_party.id)

    assert is_error_page(member.browser.get(where))
    assert is_error_page(member.browser.post(where, data=form))
    assert rows("SELECT FROM oauth_grant WHERE client_id = :id", id=third_party.id) == []


def test_it_outlives_a_reload_and_a_sign_in(app: Flask, third_party: ThirdParty, member: Member) -> None:
    where = address(third_party, pushed_uri(third_party))
    browser = app.test_client()
    for _ in range(2):
        assert next_of(browser.get(where)) == where

    sign_in(app, browser, member.id)
    for _ in range(2):
        assert browser.get(where).status_code == 200

    assert "code" in sent_back(answer(browser, where, ticked=("balance",)))


def test_a_pushed_prompt_login_is_met_by_the_sign_in_it_caused(
    app: Flask, third_party: ThirdParty, member: Member
) -> None:
    back = next_of(member.browser.get(address(third_party, pushed_uri(third_party, prompt="login"))))

    sign_in(app, member.browser, member.id)

    assert "code" in sent_back(answer(member.browser, back))


def test_pushed_ui_locales_choose_the_language(third_party: ThirdParty, member: Member) -> None:
    where = address(third_party, pushed_uri(third_party, ui_locales="en"))

    assert "Allow access" in member.browser.get(where).text


def test_a_denial_keeps_state_and_iss_and_spends_it(
    third_party: ThirdParty, member: Member, settings: Settings, rows: Callable[..., list[Any]]
) -> None:
    """Trap 5: with a swapped payload Authlib loses the state of a denial."""
    where = address(third_party, pushed_uri(third_party))

    back = sent_back(answer(member.browser, where, decision="cancel"))

    assert back == {"error": "access_denied", "state": "st4te", "iss": settings.issuer_url} | back
    assert is_error_page(member.browser.get(where))
    stored = "SELECT used_at IS NOT NULL, family_id, grant_id FROM oauth_pushed_request WHERE client_id = :id"
    assert rows(stored, id=third_party.id) == [(True, None, None)]


def test_an_allowance_of_nothing_is_a_denial_and_spends_it(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    where = address(third_party, pushed_uri(third_party, scope="balance"))

    assert sent_back(answer(member.browser, where, ticked=()))["error"] == "access_denied"
    assert is_error_page(member.browser.get(where))
    assert rows("SELECT FROM oauth_grant WHERE client_id = :id", id=third_party.id) == []


def test_what_became_wrong_meanwhile_goes_back_with_state(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    where = address(third_party, pushed_uri(third_party))
    rows("UPDATE oauth_client SET scopes = '{openid}' WHERE id = :id", id=third_party.id)

    back = sent_back(member.browser.get(where))

    assert (back["error"], back["state"]) == ("invalid_scope", "st4te")


def test_a_visit_after_the_answer_takes_nothing_back(
    third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    where = address(third_party, pushed_uri(third_party))
    code = sent_back(answer(member.browser, where, ticked=("balance",)))["code"]

    for _ in range(2):  # the back button, a reload
        page = member.browser.get(where)
        assert is_error_page(page)
        assert "すでに回答済み" in page.text

    assert third_party.redeem(code).status_code == 200
    assert living(third_party.id) == 1


@pytest.mark.parametrize("second", ["allow", "cancel"])
def test_a_second_answer_revokes_what_the_first_one_became(
    third_party: ThirdParty, member: Member, living: Callable[[str], int], second: str
) -> None:
    where = address(third_party, pushed_uri(third_party, scope="openid balance offline_access"))
    form = {**hidden(member.browser.get(where)), "permission": ["balance"]}
    code = sent_back(member.browser.post(where, data={**form, "decision": "allow"}))["code"]
    tokens = third_party.redeem(code).get_json()
    third_party.refresh(tokens["refresh_token"])
    assert living(third_party.id) == 4

    assert is_error_page(member.browser.post(where, data={**form, "decision": second}))

    assert living(third_party.id) == 0  # kept, though the answer was an error
    assert third_party.userinfo(tokens["access_token"]).status_code == 401


def test_a_second_answer_makes_an_unredeemed_code_useless(
    third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    where = address(third_party, pushed_uri(third_party))
    form = {**hidden(member.browser.get(where)), "decision": "allow", "permission": ["balance"]}
    code = sent_back(member.browser.post(where, data=form))["code"]

    assert is_error_page(member.browser.post(where, data=form))

    assert third_party.redeem(code).get_json()["error"] == "invalid_grant"
    assert living(third_party.id) == 0


def test_a_second_answer_does_not_touch_what_other_requests_became(
    third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    others = third_party.tokens(member)
    where = address(third_party, pushed_uri(third_party, prompt="consent"))
    form = {**hidden(member.browser.get(where)), "decision": "allow"}
    member.browser.post(where, data=form)

    assert is_error_page(member.browser.post(where, data=form))

    assert third_party.userinfo(others["access_token"]).status_code == 200
    assert living(third_party.id) == 1


def test_a_second_answer_by_somebody_else_gives_them_nothing(
    third_party: ThirdParty,
    member: Member,
    new_member: Callable[..., Member],
    living: Callable[[str], int],
    rows: Callable[..., list[Any]],
) -> None:
    other = new_member()
    where = address(third_party, pushed_uri(third_party))
    form = {**hidden(other.browser.get(where)), "decision": "allow", "permission": ["balance"]}
    third_party.redeem(sent_back(answer(member.browser, where, ticked=("balance",)))["code"])

    assert is_error_page(other.browser.post(where, data=form))

    assert living(third_party.id) == 0
    assert rows("SELECT FROM oauth_grant WHERE member_id = :id", id=other.id) == []


def test_an_answer_without_our_forms_token_revokes_nothing(
    third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    where = address(third_party, pushed_uri(third_party))
    third_party.redeem(sent_back(answer(member.browser, where, ticked=("balance",)))["code"])

    assert is_error_page(member.browser.post(where, data={"decision": "allow", "csrf_token": "forged"}))
    assert is_error_page(member.browser.post(where, data={"decision": "allow"}))

    assert living(third_party.id) == 1


def test_straight_through_spends_it(third_party: ThirdParty, member: Member) -> None:
    third_party.tokens(member)
    where = address(third_party, pushed_uri(third_party, prompt="none"))

    code = sent_back(member.browser.get(where))["code"]

    assert is_error_page(member.browser.get(where))
    assert third_party.redeem(code).status_code == 200


def test_a_refused_prompt_none_does_not_spend_it(app: Flask, third_party: ThirdParty, member: Member) -> None:
    """Nobody answered: the client learns what is missing."""
    where = address(third_party, pushed_uri(third_party, prompt="none"))

    assert sent_back(app.test_client().get(where))["error"] == "login_required"
    assert sent_back(member.browser.get(where))["error"] == "consent_required"


def browsers(app: Flask, member: Member) -> list[FlaskClient]:
    """The member signed in at twenty browsers."""
    made = [app.test_client() for _ in range(THREADS)]
    for browser in made:
        sign_in(app, browser, member.id)
    return made


def test_of_twenty_answers_one_wins_and_what_it_issued_is_taken_back(
    app: Flask, third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    where = address(third_party, pushed_uri(third_party))
    ready = [(browser, hidden(browser.get(where))) for browser in browsers(app, member)]

    def allow(number: int) -> TestResponse:
        browser, form = ready[number]
        return browser.post(where, data={**form, "decision": "allow", "permission": ["balance"]})

    answers = at_once(allow)

    assert statuses(answers) == {303: 1, 400: THREADS - 1}
    code = next(sent_back(each)["code"] for each in answers if each.status_code == 303)
    assert third_party.redeem(code).get_json()["error"] == "invalid_grant"
    assert living(third_party.id) == 0


def test_of_twenty_visits_straight_through_one_wins(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    """A visit that comes after the answer is told so; one that lost the race for it is a second answer."""
    third_party.tokens(member)
    where = address(third_party, pushed_uri(third_party))
    ready = browsers(app, member)

    answers = at_once(lambda number: ready[number].get(where))

    assert statuses(answers) == {303: 1, 400: THREADS - 1}
    codes = "SELECT count(*) FROM oauth_code WHERE client_id = :id"
    assert rows(codes, id=third_party.id) == [(2,)]


def test_a_visit_straight_through_that_loses_the_race_is_a_second_answer(
    app: Flask, third_party: ThirdParty, member: Member, living: Callable[[str], int], rows: Callable[..., list[Any]]
) -> None:
    third_party.tokens(member)
    where = address(third_party, pushed_uri(third_party))
    ready = browsers(app, member)[:2]
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    with ThreadPoolExecutor(2) as threads:
        with app.app_context(), transaction() as session:  # no code is saved meanwhile: both found the request unspent
            session.execute(text("SELECT FROM oauth_grant WHERE client_id = :id FOR UPDATE"), {"id": third_party.id})
            visits = [threads.submit(browser.get, where) for browser in ready]
            eventually(lambda: len(rows(waiting)) == 2 or None)
        first, second = sorted((visit.result() for visit in visits), key=lambda visit: visit.status_code)

    assert is_error_page(second)
    assert third_party.redeem(sent_back(first)["code"]).get_json()["error"] == "invalid_grant"
    assert living(third_party.id) == 1, "those of the first consent"


def test_answers_and_redemptions_at_once_leave_no_living_token(
    app: Flask, third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    where = address(third_party, pushed_uri(third_party, scope="openid balance offline_access"))
    ready = [(browser, hidden(browser.get(where))) for browser in browsers(app, member)]
    form = {"decision": "allow", "permission": ["balance"]}
    code = sent_back(ready[0][0].post(where, data={**ready[0][1], **form}))["code"]

    def redeem_or_answer(number: int) -> TestResponse:
        if number % 2:
            return third_party.redeem(code)
        browser, own = ready[number]
        return browser.post(where, data={**own, **form})

    answers = at_once(redeem_or_answer)

    assert statuses(answers).keys() <= {200, 400}
    assert living(third_party.id) == 0


@pytest.fixture
def fapi2(new_third_party: Callable[..., ThirdParty]) -> ThirdParty:
    key = ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig"})
    return new_third_party(profile="fapi2", jwks={"keys": [{**key.as_dict(private=False), "kid": key.thumbprint()}]})


def test_fapi2_must_push(fapi2: ThirdParty, member: Member, settings: Settings) -> None:
    back = sent_back(member.browser.get(fapi2.address()))

    assert (back["error"], back["state"], back["iss"]) == ("invalid_request", "st4te", settings.issuer_url)


def test_what_fapi2_pushed_is_answered(app: Flask, fapi2: ThirdParty, member: Member) -> None:
    request_uri = pushed.new_request_uri()
    with app.app_context(), transaction():
        pushed.save(request_uri, client_id=fapi2.id, parameters=dict(parse_qsl(fapi2.query())))

    back = sent_back(answer(member.browser, address(fapi2, request_uri), ticked=("balance",)))

    assert back["code"].startswith("kac_")


def test_discovery_names_the_endpoint(app: Flask, settings: Settings) -> None:
    told = app.test_client().get("/.well-known/oauth-authorization-server").get_json()

    assert told["pushed_authorization_request_endpoint"] == f"{settings.issuer_url}/oauth/par"
    assert told["require_pushed_authorization_requests"] is False


def test_a_challenge_is_kept_with_what_was_pushed(third_party: ThirdParty, member: Member) -> None:
    where = address(third_party, pushed_uri(third_party, code_challenge=CHALLENGE))
    code = sent_back(answer(member.browser, where, ticked=("balance",)))["code"]

    assert third_party.redeem(code, code_verifier="x" * 43).get_json()["error"] == "invalid_grant"
