"""Revocation (RFC 7009)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.oauth.conftest import Member, ThirdParty

OFFLINE = {"scope": "openid offline_access", "ticked": []}


@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "nonsense", "あ"])
@pytest.mark.parametrize("basic", [True, False])
def test_an_access_token_alone(third_party: ThirdParty, member: Member, hint: str | None, basic: bool) -> None:
    tokens = third_party.tokens(member, **OFFLINE)
    hinted = {} if hint is None else {"token_type_hint": hint}

    response = third_party.post("/oauth/revoke", basic=basic, token=tokens["access_token"], **hinted)

    assert response.status_code == 200
    assert third_party.userinfo(tokens["access_token"]).status_code == 401
    assert third_party.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "nonsense"])
def test_a_refresh_token_with_its_whole_family(
    third_party: ThirdParty, member: Member, hint: str | None, living: Callable[[str], int]
) -> None:
    tokens = third_party.tokens(member, **OFFLINE)
    refreshed = third_party.refresh(tokens["refresh_token"]).get_json()
    hinted = {} if hint is None else {"token_type_hint": hint}

    assert third_party.post("/oauth/revoke", token=refreshed["refresh_token"], **hinted).status_code == 200

    assert living(third_party.id) == 0
    for token in (tokens["access_token"], refreshed["access_token"]):
        assert third_party.userinfo(token).status_code == 401
    assert third_party.refresh(refreshed["refresh_token"]).status_code == 400


def test_a_public_client_revokes_without_a_secret(new_third_party: Callable[..., ThirdParty], member: Member) -> None:
    public = new_third_party(profile="native")
    token = public.tokens(member)["access_token"]

    assert public.post("/oauth/revoke", token=token).status_code == 200
    assert public.userinfo(token).status_code == 401


def test_a_tills_token(new_third_party: Callable[..., ThirdParty], living: Callable[[str], int]) -> None:
    till = new_third_party(profile="till")
    token = till.post(grant_type="client_credentials").get_json()["access_token"]

    assert till.post("/oauth/revoke", token=token).status_code == 200
    assert living(till.id) == 0


def test_an_unknown_or_revoked_token_is_answered_like_a_revoked_one(third_party: ThirdParty, member: Member) -> None:
    known = third_party.tokens(member)["access_token"]
    for token in (known, known, "kat_x", "あ", "x" * 5000):
        assert third_party.post("/oauth/revoke", token=token).status_code == 200


def test_a_token_of_another_client_stays(
    third_party: ThirdParty, new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    token = third_party.tokens(member)["access_token"]

    response = new_third_party().post("/oauth/revoke", token=token)

    assert response.get_json()["error"] == "invalid_grant"
    assert third_party.userinfo(token).status_code == 200


def test_a_client_must_prove_who_it_is(app: Flask, third_party: ThirdParty, member: Member) -> None:
    token = third_party.tokens(member)["access_token"]

    for form in ({"token": token}, {"token": token, "client_id": third_party.id}):
        response = app.test_client().post("/oauth/revoke", data=form)
        assert (response.status_code, response.get_json()["error"]) == (401, "invalid_client")
    assert third_party.userinfo(token).status_code == 200


def test_malformed_requests(app: Flask, third_party: ThirdParty) -> None:
    assert third_party.post("/oauth/revoke").get_json()["error"] == "invalid_request"
    assert third_party.post("/oauth/revoke?token=x", token="x").get_json()["error"] == "invalid_request"
    form = {"token": ["x", "y"], "client_id": third_party.id, "client_secret": third_party.secret}
    assert app.test_client().post("/oauth/revoke", data=form).get_json()["error"] == "invalid_request"
