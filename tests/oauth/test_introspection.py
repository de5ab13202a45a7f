"""Introspection (RFC 7662), plain and signed (RFC 9701)."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet
from werkzeug.test import TestResponse

from app import clock
from app.db import transaction
from app.oauth import client_auth, grants_service, suspension
from app.settings import Settings
from app.wallet.spend_control import GrantControls
from tests.oauth.conftest import Member, ThirdParty, payment_detail
from tests.oauth.statements import sent

PATH = "/oauth/introspect"
SIGNED = "application/token-introspection+jwt"
INACTIVE = {"active": False}
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
Rows = Callable[..., list[Any]]


def ask(client: ThirdParty, token: str, *, accept: str | None = None, **form: str) -> TestResponse:
    credentials = base64.b64encode(f"{client.id}:{client.secret}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    if accept is not None:
        headers["Accept"] = accept
    return client.app.test_client().post(PATH, data={"token": token, **form}, headers=headers)


def introspect(client: ThirdParty, token: str, **form: str) -> dict[str, Any]:
    response = ask(client, token, **form)
    assert response.status_code == 200, response.text
    assert response.mimetype == "application/json"
    answer: dict[str, Any] = response.get_json()
    return answer


def verified(client: ThirdParty, response: TestResponse, *, alg: str = "ES256") -> dict[str, Any]:
    """The claims of a signed answer, checked against the published keys (RFC 9701 section 5)."""
    assert (response.status_code, response.mimetype) == (200, SIGNED), response.text
    keys = KeySet.import_key_set(client.app.test_client().get("/oauth/jwks.json").get_json())
    token = jwt.decode(response.text, keys, algorithms=[alg])
    assert token.header == {"typ": "token-introspection+jwt", "alg": alg, "kid": token.header["kid"]}
    return dict(token.claims)


@pytest.fixture
def tokens(third_party: ThirdParty, new_member: Callable[..., Member]) -> dict[str, Any]:
    """Of a member who signed in five minutes ago and allowed 450 yen a payment of the 2,000 that were asked."""
    answer = third_party.tokens(
        new_member(auth_time=clock.now() - timedelta(minutes=5)),
        scope="openid balance payment offline_access",
        authorization_details=payment_detail(2_000),
        ticked=["balance", "payment"],
        ceiling="450",
    )
    assert answer["authorization_details"][0]["max_per_payment_yen"] == 450
    return answer


@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "nonsense", "あ"])
def test_an_access_token_whatever_the_hint(
    third_party: ThirdParty, tokens: dict[str, Any], settings: Settings, rows: Rows, hint: str | None
) -> None:
    answer = introspect(third_party, tokens["access_token"], **({} if hint is None else {"token_type_hint": hint}))

    ((member_id,),) = rows("SELECT member_id FROM oauth_grant WHERE client_id = :id", id=third_party.id)
    now = time.time()
    assert answer.pop("iat") == pytest.approx(now, abs=10)
    assert answer.pop("exp") == pytest.approx(now + 600, abs=10)
    assert answer.pop("auth_time") == pytest.approx(now - 300, abs=10)
    assert answer == {
        "active": True,
        "scope": "openid balance payment offline_access",
        "client_id": third_party.id,
        "sub": str(member_id),
        "iss": settings.issuer_url,
        "aud": settings.issuer_url,
        "token_type": "Bearer",
        "authorization_details": tokens["authorization_details"],
    }


@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token"])
def test_a_refresh_token_whatever_the_hint(third_party: ThirdParty, tokens: dict[str, Any], hint: str | None) -> None:
    answer = introspect(third_party, tokens["refresh_token"], **({} if hint is None else {"token_type_hint": hint}))

    assert answer["active"] is True
    assert answer["exp"] == pytest.approx(time.time() + 30 * 86_400, abs=10)
    assert "token_type" not in answer  # RFC 6749 section 5.1 means how an access token is used


def test_without_payment_there_are_no_details(third_party: ThirdParty, member: Member) -> None:
    answer = introspect(third_party, third_party.tokens(member)["access_token"])
    assert answer["scope"] == "openid balance history"
    assert "authorization_details" not in answer


def test_a_till_has_no_subject(new_third_party: Callable[..., ThirdParty]) -> None:
    till = new_third_party(profile="till")
    token = till.post(grant_type="client_credentials").get_json()["access_token"]

    answer = introspect(till, token)

    assert (answer["active"], answer["scope"], answer["client_id"]) == (True, "till", till.id)
    assert not {"sub", "auth_time", "authorization_details"} & answer.keys()


@pytest.mark.parametrize(("kind", "token_type"), [("access", "DPoP"), ("refresh", None)])
def test_a_token_that_is_bound_to_a_key_says_to_which(
    third_party: ThirdParty, tokens: dict[str, Any], rows: Rows, kind: str, token_type: str | None
) -> None:
    rows("UPDATE oauth_token SET jkt = :jkt WHERE client_id = :id", jkt=JKT, id=third_party.id)

    answer = introspect(third_party, tokens[f"{kind}_token"])

    assert answer["cnf"] == {"jkt": JKT}
    assert answer.get("token_type") == token_type


def test_the_scope_is_what_grant_and_client_still_give(
    app: Flask, third_party: ThirdParty, tokens: dict[str, Any], rows: Rows
) -> None:
    ((grant_id,),) = rows("SELECT id FROM oauth_grant WHERE client_id = :id", id=third_party.id)
    with app.app_context(), transaction():
        grants_service.narrow(grant_id=grant_id, keep=["openid", "balance", "offline_access"], controls=GrantControls())
    answer = introspect(third_party, tokens["access_token"])
    assert answer["scope"] == "openid balance offline_access"
    assert "authorization_details" not in answer

    rows("UPDATE oauth_client SET scopes = '{openid,history}' WHERE id = :id", id=third_party.id)
    assert introspect(third_party, tokens["access_token"])["scope"] == "openid"

    rows("UPDATE oauth_client SET scopes = '{history}' WHERE id = :id", id=third_party.id)
    assert introspect(third_party, tokens["access_token"]) == INACTIVE  # it opens nothing any more


def _expired(app: Flask, rows: Rows, client: ThirdParty, member_id: Any) -> None:
    rows("UPDATE oauth_token SET expires_at = now() WHERE client_id = :id", id=client.id)


def _revoked(app: Flask, rows: Rows, client: ThirdParty, member_id: Any) -> None:
    rows("UPDATE oauth_token SET revoked_at = now() WHERE client_id = :id", id=client.id)


def _grant_revoked(app: Flask, rows: Rows, client: ThirdParty, member_id: Any) -> None:
    rows("UPDATE oauth_grant SET revoked_at = now() WHERE client_id = :id", id=client.id)


def _member_suspended(app: Flask, rows: Rows, client: ThirdParty, member_id: Any) -> None:
    with app.app_context(), transaction():
        suspension.suspend_member(member_id)


def _member_stopped_alone(app: Flask, rows: Rows, client: ThirdParty, member_id: Any) -> None:
    rows("UPDATE member SET status = 'suspended' WHERE id = :id", id=member_id)


@pytest.mark.parametrize("end", [_expired, _revoked, _grant_revoked, _member_suspended, _member_stopped_alone])
@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_what_no_longer_works_is_not_active(
    app: Flask, third_party: ThirdParty, tokens: dict[str, Any], rows: Rows, end: Callable[..., None], kind: str
) -> None:
    token = tokens[f"{kind}_token"]
    assert introspect(third_party, token)["active"] is True
    ((member_id,),) = rows("SELECT member_id FROM oauth_grant WHERE client_id = :id", id=third_party.id)

    end(app, rows, third_party, member_id)

    assert introspect(third_party, token) == INACTIVE
    # and the resource agrees
    assert third_party.userinfo(tokens["access_token"]).status_code == 401


def test_a_revoked_client_introspects_nothing(third_party: ThirdParty, tokens: dict[str, Any], rows: Rows) -> None:
    rows("UPDATE oauth_client SET status = 'revoked' WHERE id = :id", id=third_party.id)
    response = ask(third_party, tokens["access_token"])
    assert (response.status_code, response.get_json()["error"]) == (401, "invalid_client")


def test_a_spent_refresh_token_is_not_active_and_its_successor_is(
    third_party: ThirdParty, tokens: dict[str, Any]
) -> None:
    refreshed = third_party.refresh(tokens["refresh_token"]).get_json()
    assert introspect(third_party, tokens["refresh_token"]) == INACTIVE
    assert introspect(third_party, refreshed["refresh_token"])["active"] is True


@pytest.mark.parametrize("token", ["kat_x", "あ", "x" * 5000, " ", "kat_x kat_y"])
def test_an_unknown_token_is_not_active(third_party: ThirdParty, token: str) -> None:
    assert introspect(third_party, token) == INACTIVE


@pytest.mark.parametrize("accept", ["application/json", SIGNED])
def test_another_clients_token_is_not_active(
    third_party: ThirdParty, new_third_party: Callable[..., ThirdParty], tokens: dict[str, Any], accept: str
) -> None:
    other = new_third_party()
    response = ask(other, tokens["access_token"], accept=accept)
    answer = response.get_json() if accept != SIGNED else verified(other, response)["token_introspection"]
    assert answer == INACTIVE
    assert introspect(third_party, tokens["access_token"])["active"] is True


@pytest.mark.parametrize("profile", ["native", "spa"])
def test_a_public_client_may_not_ask(new_third_party: Callable[..., ThirdParty], member: Member, profile: str) -> None:
    public = new_third_party(profile=profile)
    response = public.post(PATH, token=public.tokens(member)["access_token"])
    assert (response.status_code, response.get_json()["error"]) == (401, "invalid_client")


def test_a_client_must_prove_who_it_is(app: Flask, third_party: ThirdParty, tokens: dict[str, Any]) -> None:
    token = tokens["access_token"]
    for form in ({}, {"client_id": third_party.id}, {"client_id": third_party.id, "client_secret": "wrong"}):
        response = app.test_client().post(PATH, data={"token": token, **form})
        assert (response.status_code, response.get_json()["error"]) == (401, "invalid_client")
        assert "WWW-Authenticate" in response.headers
    bearer = app.test_client().post(PATH, data={"token": token}, headers={"Authorization": f"Bearer {token}"})
    assert bearer.status_code == 401
    assert third_party.post(PATH, basic=False, token=token).get_json()["active"] is True


def test_malformed_requests(app: Flask, third_party: ThirdParty) -> None:
    both: dict[str, Any] = {"client_id": third_party.id, "client_secret": third_party.secret}
    for form in ({}, {"token": ""}, {"token": ["x", "y"]}, {"token": "x\x00"}):
        response = app.test_client().post(PATH, data={**form, **both})
        assert (response.status_code, response.get_json()["error"]) == (400, "invalid_request"), form
        assert "token" in response.get_json()["error_description"]
    assert third_party.post(f"{PATH}?token=x", token="x").get_json()["error"] == "invalid_request"
    assert app.test_client().post(PATH, json={"token": "x", **both}).get_json()["error"] == "invalid_request"
    assert app.test_client().get(PATH).status_code == 405
    assert app.test_client().get(PATH).get_json()["error"] == "invalid_request"


def test_wrong_secrets_are_counted(app: Flask, third_party: ThirdParty, rows: Rows) -> None:
    caller = {"REMOTE_ADDR": "192.0.2.177"}
    form = {"token": "x", "client_id": third_party.id, "client_secret": "wrong"}
    statuses = [
        app.test_client().post(PATH, data=form, environ_base=caller).status_code
        for _ in range(client_auth.FAILURES + 1)
    ]
    assert statuses == [401] * client_auth.FAILURES + [429]


def test_nothing_is_kept_by_a_cache(third_party: ThirdParty, tokens: dict[str, Any]) -> None:
    for accept in ("application/json", SIGNED):
        response = ask(third_party, tokens["access_token"], accept=accept)
        assert response.headers["Cache-Control"] == "no-store"
        assert "Accept" in response.headers["Vary"]


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        (SIGNED, SIGNED),
        (f"{SIGNED}, */*;q=0.1", SIGNED),
        (f"application/json;q=0.5, {SIGNED};q=0.6", SIGNED),
        (f"application/json, {SIGNED};q=0.5", "application/json"),
        (f"application/json, {SIGNED}", "application/json"),
        (f"{SIGNED};q=0, */*", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/jwt", "application/json"),
        ("text/html", "application/json"),
        ("", "application/json"),
        (None, "application/json"),
        (";;;q=x,", "application/json"),
    ],
)
def test_the_form_is_the_one_that_was_asked_for(third_party: ThirdParty, accept: str | None, mimetype: str) -> None:
    response = ask(third_party, "kat_x", accept=accept)
    assert (response.status_code, response.mimetype) == (200, mimetype)


@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
def test_a_signed_answer_is_for_the_client_that_asked(
    new_third_party: Callable[..., ThirdParty], member: Member, settings: Settings, alg: str
) -> None:
    client = new_third_party(id_token_alg=alg)
    token = client.tokens(member)["access_token"]

    claims = verified(client, ask(client, token, accept=SIGNED), alg=alg)

    assert claims.pop("iat") == pytest.approx(time.time(), abs=10)
    assert claims == {
        "iss": settings.issuer_url,
        "aud": client.id,
        "token_introspection": introspect(client, token),
    }  # no sub and no exp: it must not pass for another kind of token (RFC 9701 section 8.1)


def test_a_refusal_is_never_signed(third_party: ThirdParty) -> None:
    response = ask(third_party, "", accept=SIGNED)
    assert (response.status_code, response.mimetype) == (400, "application/json")


@pytest.mark.parametrize("accept", ["application/json", SIGNED])
def test_it_costs_two_statements(third_party: ThirdParty, tokens: dict[str, Any], accept: str) -> None:
    ask(third_party, tokens["access_token"], accept=accept)  # the process reads the shops and the signing key once
    for token in (tokens["access_token"], tokens["refresh_token"], "kat_unknown"):
        with sent() as seen:
            assert ask(third_party, token, accept=accept).status_code == 200
        assert len(seen) == 2, seen.statements
        assert not seen.transaction_control
