"""A grant, as the app it was given to may ask about it and end it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.wallet.directory import shop
from tests.oauth.conftest import Member, ThirdParty
from tests.oauth.keyholder import ISSUER, Keyholder, Signer
from tests.oauth.shopper import Shopper, shopper
from tests.oauth.test_races import at_once


@pytest.fixture
def allowed(app: Flask, member: Member) -> Shopper:
    return shopper(app, member)


def basic(third_party: ThirdParty, secret: str | None = None) -> str:
    return "Basic " + base64.b64encode(f"{third_party.id}:{secret or third_party.secret}".encode()).decode()


def bearer(tokens: dict[str, Any]) -> str:
    return f"Bearer {tokens['access_token']}"


def ask(
    app: Flask, grant_id: object, authorization: str | None, *, method: str = "GET", **options: Any
) -> TestResponse:
    headers = {"Authorization": authorization} if authorization else {}
    return app.test_client().open(f"/oauth/grants/{grant_id}", method=method, headers=headers, **options)


@pytest.fixture(params=["token", "secret"])
def shown(request: pytest.FixtureRequest, allowed: Shopper) -> str:
    """What the app shows of the two it may."""
    return bearer(allowed.tokens) if request.param == "token" else basic(allowed.third_party)


def test_the_token_response_names_the_grant(allowed: Shopper, rows: Callable[..., Any]) -> None:
    known = rows("SELECT id::text FROM oauth_grant WHERE client_id = :id", id=allowed.third_party.id)
    assert known == [(allowed.tokens["grant_id"],)]
    refreshed = allowed.third_party.refresh(allowed.tokens["refresh_token"]).get_json()
    assert refreshed["grant_id"] == allowed.tokens["grant_id"]


def test_an_app_acting_for_itself_has_no_grant(new_third_party: Callable[..., ThirdParty]) -> None:
    till = new_third_party(profile="till")
    assert "grant_id" not in till.post(grant_type="client_credentials").get_json()


def test_what_is_allowed_and_how_much_of_it_is_used(app: Flask, allowed: Shopper, shown: str) -> None:
    allowed.pay(300)

    answer = ask(app, allowed.tokens["grant_id"], shown)

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.get_json()
    assert body["grant_id"] == allowed.tokens["grant_id"]
    assert body["status"] == "active"
    assert body["scopes"] == [{"scope": allowed.tokens["scope"]}]
    (detail,) = body["authorization_details"]
    used = {"used_today_yen": 300, "used_this_month_yen": 300}
    assert detail == {**allowed.tokens["authorization_details"][0], **used}
    assert body["created_at"] < body["last_used_at"]
    assert set(body) == {
        *("grant_id", "status", "scopes", "authorization_details", "created_at", "last_used_at"),
    }


def test_it_follows_the_member(app: Flask, allowed: Shopper, rows: Callable[..., Any]) -> None:
    rows("UPDATE oauth_client SET scopes = '{openid,payment,history}' WHERE id = :id", id=allowed.third_party.id)
    rows(
        "UPDATE oauth_grant SET scopes = '{openid,history}', mandate = NULL, last_used_at = NULL WHERE id = :id",
        id=allowed.tokens["grant_id"],
    )
    body = ask(app, allowed.tokens["grant_id"], bearer(allowed.tokens)).get_json()
    assert body["scopes"] == [{"scope": "openid history"}]
    assert body["authorization_details"] == []
    assert body["last_used_at"] is None


def test_the_end_is_the_end_of_every_token_and_may_be_asked_for_again(
    app: Flask, allowed: Shopper, shown: str, living: Callable[[str], int], rows: Callable[..., Any]
) -> None:
    grant_id = allowed.tokens["grant_id"]

    ended = ask(app, grant_id, shown, method="DELETE")

    assert (ended.status_code, ended.data) == (204, b"")
    assert living(allowed.third_party.id) == 0
    assert allowed.can() == {"balance": 401, "history": 401, "payment": 401}
    assert rows("SELECT status FROM spend_control WHERE id = :id", id=grant_id) == [("revoked",)]
    before = rows("SELECT revoked_at FROM oauth_grant WHERE id = :id", id=grant_id)
    secret = basic(allowed.third_party)
    assert ask(app, grant_id, secret, method="DELETE").status_code == 204
    assert rows("SELECT revoked_at FROM oauth_grant WHERE id = :id", id=grant_id) == before
    body = ask(app, grant_id, secret).get_json()
    assert (body["status"], body["scopes"], body["authorization_details"]) == ("revoked", [], [])
    gone = ask(app, grant_id, bearer(allowed.tokens), method="DELETE")
    assert (gone.status_code, gone.get_json()["code"]) == (401, "invalid_token")


def test_twenty_ends_at_once(app: Flask, allowed: Shopper, rows: Callable[..., Any]) -> None:
    grant_id, secret = allowed.tokens["grant_id"], basic(allowed.third_party)
    answers = at_once(lambda _: ask(app, grant_id, secret, method="DELETE").status_code)
    assert set(answers) == {204}
    assert rows("SELECT revoked_at IS NULL FROM oauth_grant WHERE id = :id", id=grant_id) == [(False,)]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_nobody_is_told_of_anothers(
    app: Flask, allowed: Shopper, new_member: Callable[..., Member], method: str
) -> None:
    other_app = shopper(app, allowed.member)
    other_member = allowed.third_party.tokens(new_member(), scope="openid", ticked=[])
    for shown in (basic(other_app.third_party), bearer(other_app.tokens), bearer(other_member)):
        answer = ask(app, allowed.tokens["grant_id"], shown, method=method)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
        unknown = ask(app, uuid4(), shown, method=method)
        assert {**unknown.get_json(), "request_id": ""} == {**answer.get_json(), "request_id": ""}
    assert allowed.wallets().status_code == 200


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_token_without_a_grant_opens_none(
    app: Flask, allowed: Shopper, new_third_party: Callable[..., ThirdParty], method: str
) -> None:
    till = new_third_party(profile="till").post(grant_type="client_credentials").get_json()
    assert ask(app, allowed.tokens["grant_id"], bearer(till), method=method).status_code == 404


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_who_shows_nothing_or_something_wrong(app: Flask, allowed: Shopper, method: str) -> None:
    grant_id = allowed.tokens["grant_id"]
    wrong: dict[str | None, tuple[int, str, str]] = {
        None: (401, "unauthorized", "Bearer"),
        "Bearer kat_nobody": (401, "invalid_token", "Bearer"),
        f"Bearer {allowed.tokens['refresh_token']}": (401, "invalid_token", "Bearer"),
        basic(allowed.third_party, "kcs_wrong"): (401, "invalid_client", "Basic"),
        "Basic ": (401, "invalid_client", "Basic"),
        "Basic \x80": (401, "invalid_client", "Basic"),
        "Digest x": (401, "unauthorized", "Bearer"),
    }
    for shown, (status, code, scheme) in wrong.items():
        answer = ask(app, grant_id, shown, method=method)
        assert (answer.status_code, answer.get_json()["code"]) == (status, code), shown
        assert answer.mimetype == "application/problem+json"
        assert answer.headers["WWW-Authenticate"].startswith(scheme)
    assert allowed.wallets().status_code == 200


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_client_without_a_secret_shows_its_token(
    app: Flask, new_third_party: Callable[..., ThirdParty], member: Member, method: str
) -> None:
    """Its id alone is no secret, wherever it stands."""
    public = new_third_party(profile="native")
    tokens = public.tokens(member)
    grant_id = tokens["grant_id"]
    for shown in (basic(public, "x"), "Basic " + base64.b64encode(f"{public.id}:".encode()).decode()):
        assert ask(app, grant_id, shown, method=method, data={"client_id": public.id}).status_code == 401
    assert ask(app, grant_id, None, method=method, data={"client_id": public.id}).status_code == 401
    assert ask(app, grant_id, bearer(tokens), method=method).status_code in (200, 204)


@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_a_bound_token_comes_with_its_proof(third_party: ThirdParty, member: Member, method: str) -> None:
    key = Signer.new()
    tokens = Keyholder(third_party).redeem(third_party.code(member), proof=key.proof()).get_json()
    token, address = tokens["access_token"], f"/oauth/grants/{tokens['grant_id']}"
    proof = key.proof(f"{ISSUER}{address}", method=method, token=token)
    http = third_party.app.test_client()

    for scheme, headers in (("Bearer", {}), ("Bearer", {"DPoP": proof}), ("DPoP", {})):
        refused = http.open(address, method=method, headers={"Authorization": f"{scheme} {token}", **headers})
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("DPoP")
    answer = http.open(address, method=method, headers={"Authorization": f"DPoP {token}", "DPoP": proof})
    assert answer.status_code == (200 if method == "GET" else 204)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("where", ["data", "query_string"])
def test_credentials_stand_in_the_header_only(app: Flask, allowed: Shopper, where: str, method: str) -> None:
    given: dict[str, Any] = {
        where: {
            "client_id": allowed.third_party.id,
            "client_secret": allowed.third_party.secret,
            "access_token": allowed.tokens["access_token"],
        }
    }
    assert ask(app, allowed.tokens["grant_id"], None, method=method, **given).status_code == 401


def test_the_members_cookie_opens_nothing_here(allowed: Shopper) -> None:
    path = f"/oauth/grants/{allowed.tokens['grant_id']}"
    assert allowed.member.browser.get(path).status_code == 401
    assert allowed.member.browser.delete(path).status_code == 401


@pytest.mark.parametrize("grant_id", ["1", "x", "%00", "..", "00000000-0000-0000-0000-00000000000g", "あ"])
def test_what_is_no_id(app: Flask, allowed: Shopper, grant_id: str) -> None:
    answer = ask(app, grant_id, bearer(allowed.tokens))
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_another_method(app: Flask, allowed: Shopper) -> None:
    answer = ask(app, allowed.tokens["grant_id"], bearer(allowed.tokens), method="PUT")
    assert answer.status_code == 405
    assert {"GET", "DELETE"} <= set(answer.headers["Allow"].split(", "))


def test_a_suspended_members_token_opens_nothing(app: Flask, allowed: Shopper, rows: Callable[..., Any]) -> None:
    rows("UPDATE member SET status = 'suspended' WHERE id = :id", id=allowed.member.id)
    assert ask(app, allowed.tokens["grant_id"], bearer(allowed.tokens)).status_code == 401


def test_a_page_of_a_registered_origin_may_call(
    app: Flask, new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    spa = new_third_party(profile="spa", redirect_uris=["https://grants.example/done"])
    grant_id = spa.tokens(member)["grant_id"]
    for origin, may in (("https://grants.example", True), ("https://evil.example", False)):
        asked = app.test_client().options(f"/oauth/grants/{grant_id}", headers={"Origin": origin})
        assert asked.status_code == 200  # a browser goes on only where the answer is ok
        assert ("Access-Control-Allow-Origin" in asked.headers) is may
        if may:
            assert "DELETE" in asked.headers["Access-Control-Allow-Methods"]


def test_discovery_says_where(app: Flask) -> None:
    metadata = app.test_client().get("/.well-known/oauth-authorization-server").get_json()
    assert metadata["grant_management_endpoint"] == f"{metadata['issuer']}/oauth/grants"
    assert metadata["grant_management_actions_supported"] == ["query", "revoke"]


def test_shops_are_named_by_their_code(app: Flask, allowed: Shopper) -> None:
    (detail,) = ask(app, allowed.tokens["grant_id"], bearer(allowed.tokens)).get_json()["authorization_details"]
    assert set(detail["shops"]) == set(allowed.shops)
    with app.app_context():
        assert all(shop(code) for code in detail["shops"])
