"""The token endpoint: client authentication, codes, refresh, tills."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.factory import MAX_BODY_BYTES
from app.ids import secret_hash
from app.oauth import client_auth
from app.settings import Settings
from tests.oauth.conftest import Member, ThirdParty, sent_back

OFFLINE = {"scope": "openid balance offline_access", "ticked": ["balance"]}


def error(response: TestResponse) -> str:
    """The error of an answer in the form of RFC 6749 section 5.2."""
    body = response.get_json()
    assert set(body) == {"error", "error_description", "error_uri"}
    assert body["error_description"].isascii()
    assert not set('"\\').intersection(body["error_description"])
    assert response.headers["Cache-Control"] == "no-store"
    return str(body["error"])


@pytest.fixture
def till(new_third_party: Callable[..., ThirdParty]) -> ThirdParty:
    return new_third_party(profile="till", allowed_shops=[])


def test_the_answer_to_a_code(third_party: ThirdParty, member: Member) -> None:
    response = third_party.redeem(third_party.code(member, **OFFLINE))

    answer = response.get_json()
    assert set(answer) == {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token", "grant_id"}
    assert answer["token_type"] == "Bearer"
    assert answer["scope"] == "openid balance offline_access"
    assert response.headers["Cache-Control"] == "no-store"


def test_no_refresh_token_without_offline_access(third_party: ThirdParty, member: Member) -> None:
    assert "refresh_token" not in third_party.tokens(member)


def test_a_secret_may_come_by_basic_or_in_the_body(third_party: ThirdParty) -> None:
    for basic in (True, False):
        response = third_party.post(basic=basic, grant_type="refresh_token", refresh_token="krt_x")
        assert error(response) == "invalid_grant"


@pytest.mark.parametrize("profile", ["native", "spa"])
def test_a_public_client_has_no_secret_and_needs_none(
    new_third_party: Callable[..., ThirdParty], member: Member, profile: str
) -> None:
    public = new_third_party(profile=profile)

    assert public.secret is None
    assert public.redeem(public.code(member)).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no-colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
        "Basic " + base64.b64encode("名前:秘密".encode()).decode(),
        "Basic " + base64.b64encode(b"nobody_here:secret").decode(),
        "Basic " + base64.b64encode(b"x%00y:secret").decode(),
        "Bearer kat_x",
        "Digest username=x",
    ],
)
def test_a_broken_basic_header_is_a_401_with_a_challenge(app: Flask, header: str) -> None:
    form = {"grant_type": "client_credentials"}
    response = app.test_client().post("/oauth/token", data=form, headers={"Authorization": header})

    assert error(response) == "invalid_client"
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="kumiai"'


def test_a_wrong_or_missing_secret_is_refused(app: Flask, third_party: ThirdParty, member: Member) -> None:
    code = third_party.code(member)
    form = {"grant_type": "authorization_code", "code": code, "client_id": third_party.id}
    for credentials in ({}, {"client_secret": ""}, {"client_secret": "kcs_wrong"}):
        response = app.test_client().post("/oauth/token", data={**form, **credentials})
        assert (response.status_code, error(response)) == (401, "invalid_client")

    assert third_party.redeem(code).status_code == 200, "who is not authenticated does not spend a code"


def test_a_public_client_cannot_prove_itself_with_a_secret(new_third_party: Callable[..., ThirdParty]) -> None:
    public = new_third_party(profile="spa")

    assert error(public.post(grant_type="refresh_token", refresh_token="x", client_secret="x")) == "invalid_client"


def test_two_ways_of_authentication_at_once_are_refused(
    third_party: ThirdParty, new_third_party: Callable[..., ThirdParty]
) -> None:
    assert third_party.secret is not None
    for more in ({"client_secret": third_party.secret}, {"client_id": new_third_party().id}):
        assert error(third_party.post(grant_type="client_credentials", **more)) == "invalid_request"


def test_a_revoked_client_is_refused(third_party: ThirdParty, rows: Callable[..., list[Any]]) -> None:
    rows("UPDATE oauth_client SET status = 'revoked' WHERE id = :id", id=third_party.id)

    assert error(third_party.post(grant_type="client_credentials")) == "invalid_client"


@pytest.mark.usefixtures("still_clock")
def test_failed_authentications_are_counted_per_address(
    app: Flask, third_party: ThirdParty, till: ThirdParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_auth, "FAILURES", 3)
    browser = app.test_client()
    form = {"grant_type": "client_credentials", "client_id": "nobody_here", "client_secret": "x"}
    address = {"REMOTE_ADDR": "192.0.2.77"}
    credentials = base64.b64encode(f"{till.id}:{till.secret}".encode()).decode()

    statuses = [browser.post("/oauth/token", data=form, environ_base=address).status_code for _ in range(5)]
    elsewhere = browser.post("/oauth/token", data=form, environ_base={"REMOTE_ADDR": "192.0.2.78"})
    right = browser.post(
        "/oauth/token",
        data={"grant_type": "client_credentials"},
        headers={"Authorization": f"Basic {credentials}"},
        environ_base=address,
    )

    shut = browser.post("/oauth/token", data=form, environ_base=address)

    assert statuses == [401, 401, 401, 429, 429]
    assert error(shut) == "temporarily_unavailable"
    assert 0 < int(shut.headers["Retry-After"]) <= client_auth.WINDOW_S
    assert elsewhere.status_code == 401
    assert right.status_code == 200, "nobody on a shared network shuts a till out"


@pytest.mark.usefixtures("still_clock")
def test_codes_and_tokens_that_are_no_good_are_counted_per_client_and_address(
    app: Flask, new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    public = new_third_party(profile="native")
    token = public.tokens(member, scope="openid offline_access", ticked=[])["refresh_token"]

    def refresh(token: str, *, address: str) -> TestResponse:
        form = {"grant_type": "refresh_token", "client_id": public.id, "refresh_token": token}
        return app.test_client().post("/oauth/token", data=form, environ_base={"REMOTE_ADDR": address})

    assert {refresh("krt_guess", address="192.0.2.91").status_code for _ in range(100)} == {400}
    shut, elsewhere = refresh("krt_guess", address="192.0.2.91"), refresh("krt_guess", address="192.0.2.92")

    assert (shut.status_code, error(shut)) == (429, "temporarily_unavailable")
    assert 0 < int(shut.headers["Retry-After"]) <= 600
    assert (elsewhere.status_code, error(elsewhere)) == (400, "invalid_grant")
    assert refresh(token, address="192.0.2.91").status_code == 200, "the member's own app is not kept out"


def test_a_client_with_a_secret_always_hears_that_a_token_is_over(third_party: ThirdParty) -> None:
    """Its one server has the tokens of all its members; told to come later, it would try the dead for ever."""
    assert {error(third_party.refresh("krt_over")) for _ in range(101)} == {"invalid_grant"}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({"grant_type": 'あ"\\'}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code\0"}, "invalid_request"),
        ({"grant_type": "client_credentials", "scope": "balance"}, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "payment shop:read"}, "invalid_scope"),
    ],
)
def test_grant_types_that_are_not_for_an_app(third_party: ThirdParty, form: dict[str, str], expected: str) -> None:
    response = third_party.post(**form)

    assert response.status_code == 400
    assert response.get_json()["error"] == expected


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_the_body_must_be_a_form(app: Flask, content_type: str) -> None:
    response = app.test_client().post("/oauth/token", data=b"{}", content_type=content_type)

    assert error(response) == "invalid_request"


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post(app: Flask, path: str, method: str) -> None:
    response = app.test_client().open(path, method=method)

    assert (response.status_code, error(response)) == (405, "invalid_request")
    assert "POST" in response.headers["Allow"]


def test_a_wrong_method_elsewhere_is_answered_as_there(app: Flask) -> None:
    assert app.test_client().post("/oauth/jwks.json").get_json()["code"] == "method_not_allowed"
    assert app.test_client().put("/login").mimetype == "text/html"


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
def test_a_body_beyond_all_measure(app: Flask, path: str) -> None:
    response = app.test_client().post(path, data={"token": "x" * MAX_BODY_BYTES})

    assert (response.status_code, error(response)) == (413, "invalid_request")


def test_a_failure_of_our_own_has_the_same_form(
    settings: Settings, new_app: Callable[[Settings], Flask], third_party: ThirdParty, member: Member
) -> None:
    elsewhere = replace(third_party, app=new_app(replace(settings, sealing_key=b"another key of thirty-two bytes!")))

    response = elsewhere.redeem(third_party.code(member, scope="openid", ticked=[]))

    assert (response.status_code, error(response)) == (500, "server_error")


def test_a_code_of_another_client_is_refused_and_stays_good(
    third_party: ThirdParty, new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    code = third_party.code(member)

    assert error(new_third_party().redeem(code)) == "invalid_grant"
    assert third_party.redeem(code).status_code == 200


def test_a_code_lives_for_a_minute(third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]) -> None:
    code = third_party.code(member)
    life = rows(
        "SELECT extract(epoch FROM expires_at - created_at) FROM oauth_code WHERE client_id = :id", id=third_party.id
    )
    assert round(life[0][0]) == 60

    rows("UPDATE oauth_code SET expires_at = now() WHERE client_id = :id", id=third_party.id)
    assert error(third_party.redeem(code)) == "invalid_grant"


def test_a_code_that_never_was(third_party: ThirdParty) -> None:
    for code in ("kac_x", "", "あ", "x" * 5000):
        assert error(third_party.redeem(code)) == "invalid_grant"


def test_a_native_app_redeems_with_the_port_it_asked_with(
    new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    native = new_third_party(profile="native", redirect_uris=["http://127.0.0.1/cb"])
    asked = "http://127.0.0.1:51004/cb"
    first, second = (native.code(member, redirect_uri=asked) for _ in range(2))

    assert error(native.redeem(first, redirect_uri="http://127.0.0.1:51005/cb")) == "invalid_grant"
    assert native.redeem(second, redirect_uri=asked).status_code == 200


def test_a_narrowed_grant_narrows_a_code_on_its_way(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    code = third_party.code(member)
    rows("UPDATE oauth_client SET scopes = '{openid,history}' WHERE id = :id", id=third_party.id)

    assert third_party.redeem(code).get_json()["scope"] == "openid history"


def test_refreshing_rotates_and_slides(third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]) -> None:
    first = third_party.tokens(member, **OFFLINE)
    rows("UPDATE oauth_token SET expires_at = now() + interval '1 day' WHERE client_id = :id", id=third_party.id)

    second = third_party.refresh(first["refresh_token"]).get_json()

    assert set(second) == {"access_token", "token_type", "expires_in", "scope", "refresh_token", "grant_id"}
    assert second["refresh_token"] != first["refresh_token"]
    assert third_party.userinfo(second["access_token"]).status_code == 200
    days = rows(
        "SELECT extract(epoch FROM expires_at - now()) / 86400 FROM oauth_token WHERE token_hash = :hash",
        hash=secret_hash(second["refresh_token"]),
    )
    assert 29.9 < days[0][0] <= 30


def test_within_the_grace_the_previous_token_answers_the_same(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    first = third_party.tokens(member, **OFFLINE)["refresh_token"]
    answer = third_party.refresh(first).get_json()
    rows(
        "UPDATE oauth_token SET rotated_at = rotated_at - interval '15 seconds' WHERE client_id = :id",
        id=third_party.id,
    )

    again = third_party.refresh(first).get_json()

    assert (again["access_token"], again["refresh_token"]) == (answer["access_token"], answer["refresh_token"])
    assert third_party.refresh(answer["refresh_token"]).status_code == 200


def test_only_the_immediately_previous_token_is_shielded(
    third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    first = third_party.tokens(member, **OFFLINE)["refresh_token"]
    second = third_party.refresh(first).get_json()["refresh_token"]
    third = third_party.refresh(second).get_json()["refresh_token"]

    assert error(third_party.refresh(first)) == "invalid_grant", "seconds old, but two steps back"
    assert living(third_party.id) == 0
    assert error(third_party.refresh(third)) == "invalid_grant"


def test_other_families_live_on_when_one_is_revoked(third_party: ThirdParty, member: Member) -> None:
    one, other = (third_party.tokens(member, **OFFLINE, prompt="consent") for _ in range(2))
    second = third_party.refresh(one["refresh_token"]).get_json()["refresh_token"]
    third_party.refresh(second)

    assert third_party.refresh(one["refresh_token"]).status_code == 400

    assert third_party.userinfo(one["access_token"]).status_code == 401
    assert third_party.userinfo(other["access_token"]).status_code == 200
    assert third_party.refresh(other["refresh_token"]).status_code == 200


def test_a_refresh_may_ask_for_less_and_keeps_the_rest(third_party: ThirdParty, member: Member) -> None:
    first = third_party.tokens(member, **OFFLINE)

    less = third_party.refresh(first["refresh_token"], scope="balance").get_json()
    full = third_party.refresh(less["refresh_token"]).get_json()

    assert less["scope"] == "balance"
    assert third_party.userinfo(less["access_token"]).status_code == 403
    assert full["scope"] == "openid balance offline_access"


def test_a_repeated_refresh_for_other_scopes_is_another_access_token(third_party: ThirdParty, member: Member) -> None:
    first = third_party.tokens(member, **OFFLINE)["refresh_token"]

    less = third_party.refresh(first, scope="balance").get_json()
    full = third_party.refresh(first).get_json()

    assert less["refresh_token"] == full["refresh_token"]
    assert less["access_token"] != full["access_token"]
    assert third_party.userinfo(full["access_token"]).status_code == 200


@pytest.mark.parametrize("scope", ["history", "balance history", "till", "あ"])
def test_a_refresh_cannot_ask_for_more(
    third_party: ThirdParty, member: Member, scope: str, rows: Callable[..., list[Any]]
) -> None:
    first = third_party.tokens(member, **OFFLINE)

    response = third_party.refresh(first["refresh_token"], scope=scope)

    assert (response.status_code, response.get_json()["error"]) == (400, "invalid_scope")
    statement = "SELECT count(rotated_at) FROM oauth_token WHERE client_id = :id"
    assert rows(statement, id=third_party.id)[0][0] == 0, "a refused refresh spends nothing"


def test_what_is_no_refresh_token_of_this_client(
    third_party: ThirdParty, new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    tokens = third_party.tokens(member, **OFFLINE)

    assert error(new_third_party().refresh(tokens["refresh_token"])) == "invalid_grant"
    for wrong in (tokens["access_token"], "krt_x", "", "あ"):
        assert error(third_party.refresh(wrong)) == "invalid_grant"
    assert third_party.post(grant_type="refresh_token").get_json()["error"] == "invalid_request"
    assert third_party.refresh(tokens["refresh_token"]).status_code == 200


def test_a_refresh_marks_the_grant_as_used(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    token = third_party.tokens(member, **OFFLINE)["refresh_token"]
    read = "SELECT last_used_at FROM oauth_grant WHERE client_id = :id"
    first = rows(read, id=third_party.id)[0][0]

    token = third_party.refresh(token).get_json()["refresh_token"]
    assert rows(read, id=third_party.id)[0][0] == first, "not written more often than every five minutes"
    rows("UPDATE oauth_grant SET last_used_at = now() - interval '6 minutes' WHERE client_id = :id", id=third_party.id)
    third_party.refresh(token)
    assert rows(read, id=third_party.id)[0][0] >= first


def test_a_till_acts_for_itself(till: ThirdParty, rows: Callable[..., list[Any]]) -> None:
    for form in ({}, {"scope": "till"}):
        response = till.post(grant_type="client_credentials", **form)
        answer = response.get_json()
        assert set(answer) == {"access_token", "token_type", "expires_in", "scope"}
        assert answer["scope"] == "till"
    owners = rows("SELECT DISTINCT member_id, grant_id FROM oauth_token WHERE client_id = :id", id=till.id)
    assert owners == [(None, None)]


@pytest.mark.parametrize("scope", ["balance", "openid", "till balance", "nonsense", "あ"])
def test_a_till_cannot_have_what_members_are_asked_for(till: ThirdParty, scope: str) -> None:
    assert error(till.post(grant_type="client_credentials", scope=scope)) == "invalid_scope"


def test_a_till_has_no_other_grant_type(till: ThirdParty) -> None:
    for grant_type in ("authorization_code", "refresh_token"):
        response = till.post(grant_type=grant_type, code="x", refresh_token="x")
        assert response.get_json()["error"] == "unauthorized_client"


def test_a_consent_page_never_answers_with_a_token(third_party: ThirdParty, member: Member) -> None:
    assert set(sent_back(third_party.answer(member))) == {"code", "state", "iss"}
