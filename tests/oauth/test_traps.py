"""The traps of Authlib 1.9.9 (the numbers are those of the design).

Each is a thing that a server written after Authlib's documentation gets wrong. Among the parameters are neighbours of
the trap that such a server may get right. Twenty threads try the races once more in `test_races.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from app.db import transaction
from app.settings import Settings
from tests.live import eventually
from tests.oauth.conftest import BARE, CHALLENGE, RESOURCE, VERIFIER, Member, ThirdParty, sent_back


def test_trap_1_what_was_ticked_is_what_the_token_can_do(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    code = third_party.code(member, scope="openid balance history", ticked=["balance"])
    answer = third_party.redeem(code).get_json()

    assert answer["scope"] == "openid balance"
    assert rows("SELECT scopes FROM oauth_token WHERE client_id = :id", id=third_party.id) == [(["openid", "balance"],)]


def test_trap_1_a_code_gains_nothing_from_what_is_ticked_later(third_party: ThirdParty, member: Member) -> None:
    early = third_party.code(member, scope="balance history", ticked=["balance"])
    third_party.code(member, scope="balance history", ticked=["history"])

    assert third_party.redeem(early).get_json()["scope"] == "balance"


def test_trap_2_a_code_is_redeemed_once_though_it_is_presented_before_the_first_answer(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    """Whoever looks the code up first and spends it at the end, with its tokens, answers 200 to both."""
    code = third_party.code(member)
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    with ThreadPoolExecutor(2) as threads:
        with app.app_context(), transaction() as session:  # tokens refer to the grant, so none can be saved meanwhile
            session.execute(text("SELECT FROM oauth_grant WHERE client_id = :id FOR UPDATE"), {"id": third_party.id})
            answers = [threads.submit(third_party.redeem, code) for _ in range(2)]
            eventually(lambda: len(rows(waiting)) == 2 or None)
        first, second = sorted((answer.result() for answer in answers), key=lambda answer: answer.status_code)

    assert (first.status_code, second.status_code) == (200, 400)
    assert second.get_json()["error"] == "invalid_grant"


def test_trap_3_a_replayed_code_revokes_what_came_of_it(
    third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    code = third_party.code(member, scope="openid balance offline_access", ticked=["balance"])
    tokens = third_party.redeem(code).get_json()
    refreshed = third_party.refresh(tokens["refresh_token"]).get_json()
    assert living(third_party.id) == 4

    assert third_party.redeem(code).get_json()["error"] == "invalid_grant"

    assert living(third_party.id) == 0  # kept, though the answer was an error
    assert third_party.userinfo(refreshed["access_token"]).status_code == 401
    assert third_party.refresh(refreshed["refresh_token"]).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"code_verifier": VERIFIER.upper()},
        {"code_verifier": "too-short"},
        {"code_verifier": "検証" * 30},
        {"code_verifier": CHALLENGE},
        {"code_verifier": ""},
        {"redirect_uri": "https://app.example/callback/"},
        {"redirect_uri": ""},
    ],
)
def test_trap_3_a_code_does_not_survive_a_wrong_redemption(
    third_party: ThirdParty, member: Member, wrong: dict[str, str], rows: Callable[..., list[Any]]
) -> None:
    code = third_party.code(member)

    assert third_party.redeem(code, **wrong).get_json()["error"] == "invalid_grant"

    assert rows("SELECT used_at IS NOT NULL FROM oauth_code WHERE client_id = :id", id=third_party.id) == [(True,)]
    assert third_party.redeem(code).get_json()["error"] == "invalid_grant"


def test_trap_3_a_reused_refresh_token_revokes_its_family(
    third_party: ThirdParty, member: Member, living: Callable[[str], int], rows: Callable[..., list[Any]]
) -> None:
    first = third_party.tokens(member, scope="openid balance offline_access", ticked=["balance"])
    second = third_party.refresh(first["refresh_token"]).get_json()
    rows(
        "UPDATE oauth_token SET rotated_at = rotated_at - interval '31 seconds' WHERE client_id = :id",
        id=third_party.id,
    )

    reused = third_party.refresh(first["refresh_token"])

    assert reused.get_json()["error"] == "invalid_grant"
    assert living(third_party.id) == 0  # kept, though the answer was an error
    assert third_party.refresh(second["refresh_token"]).status_code == 400
    assert third_party.userinfo(second["access_token"]).status_code == 401


@pytest.mark.parametrize("profile", ["web", "native", "spa"])
@pytest.mark.parametrize(
    "pkce",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge": VERIFIER, "code_challenge_method": "plain"},
        {"code_challenge": CHALLENGE[:-1]},
        {"code_challenge": CHALLENGE + "="},
    ],
)
def test_trap_4_no_code_without_pkce_s256(
    new_third_party: Callable[..., ThirdParty], member: Member, profile: str, pkce: dict[str, str | None]
) -> None:
    third_party = new_third_party(profile=profile)
    back = sent_back(member.browser.get(third_party.address(**pkce)))

    assert back["error"] == "invalid_request"
    assert back["state"] == "st4te"
    assert "code" not in back


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"scope": "openid nonsense"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"prompt": "none"}, "consent_required"),
        ({"request": "a.b.c"}, "request_not_supported"),
    ],
)
def test_trap_5_iss_and_state_on_every_error_before_consent(
    third_party: ThirdParty, member: Member, settings: Settings, changes: dict[str, str | None], error: str
) -> None:
    back = sent_back(member.browser.get(third_party.address(**changes)))

    assert back["error"] == error
    assert back["iss"] == settings.issuer_url
    assert back["state"] == "st4te"


def test_trap_5_iss_and_state_on_denial_and_on_success(
    third_party: ThirdParty, member: Member, settings: Settings
) -> None:
    denied = sent_back(third_party.answer(member, decision="cancel"))
    allowed = sent_back(third_party.answer(member))

    assert denied["error"] == "access_denied"
    assert "code" in allowed
    for back in (denied, allowed):
        assert back["iss"] == settings.issuer_url
        assert back["state"] == "st4te"


def test_trap_6_parameters_given_twice_are_refused_at_the_token_endpoint(
    app: Flask, third_party: ThirdParty, member: Member
) -> None:
    code = third_party.code(member)
    form = {
        "grant_type": "authorization_code",
        "client_id": third_party.id,
        "client_secret": third_party.secret,
        "code": [code, code],
        "redirect_uri": third_party.redirect_uri,
        "code_verifier": VERIFIER,
    }

    response = app.test_client().post("/oauth/token", data=form)

    assert response.status_code == 400
    assert response.get_json()["error"] == "invalid_request"
    assert "code" in response.get_json()["error_description"]


@pytest.mark.parametrize("query", ["code={code}", "grant_type=authorization_code", "scope=balance", "unheard_of=1"])
def test_trap_6_parameters_in_the_query_are_refused_at_the_token_endpoint(
    app: Flask, third_party: ThirdParty, member: Member, query: str
) -> None:
    form = {
        "grant_type": "authorization_code",
        "client_id": third_party.id,
        "client_secret": third_party.secret,
        "code": third_party.code(member),
        "redirect_uri": third_party.redirect_uri,
        "code_verifier": VERIFIER,
    }

    response = app.test_client().post(f"/oauth/token?{query.format(**form)}", data=form)

    assert response.status_code == 400
    assert response.get_json()["error"] == "invalid_request"


def test_trap_6_redirects_are_303_and_access_lives_ten_minutes(third_party: ThirdParty, member: Member) -> None:
    consent = third_party.answer(member)
    straight_through = member.browser.get(third_party.address())
    answer = third_party.redeem(sent_back(consent)["code"]).get_json()

    assert consent.status_code == straight_through.status_code == 303
    assert 595 <= answer["expires_in"] <= 600


def test_trap_8_a_403_says_which_scope_and_no_token_gets_a_bare_challenge(
    app: Flask, third_party: ThirdParty, member: Member
) -> None:
    token = third_party.tokens(member, scope="balance", ticked=["balance"])["access_token"]

    forbidden = third_party.userinfo(token)
    bare = app.test_client().get("/oauth/userinfo")

    assert forbidden.status_code == 403
    challenge = f'Bearer realm="kumiai", error="insufficient_scope", scope="openid", {RESOURCE}'
    assert forbidden.headers["WWW-Authenticate"] == challenge
    assert forbidden.get_json()["code"] == "insufficient_scope"
    assert bare.status_code == 401
    assert bare.headers["WWW-Authenticate"] == BARE


def test_trap_11_nothing_that_grants_access_is_stored_in_clear(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    code = third_party.code(member, scope="openid balance offline_access", ticked=["balance"])
    tokens = third_party.redeem(code).get_json()
    stored = "".join(
        row[0]
        for table in ("oauth_client", "oauth_code", "oauth_token", "oauth_grant")
        for row in rows(f"SELECT {table}::text FROM {table}")
    )

    secrets = [code, tokens["access_token"], tokens["refresh_token"], third_party.secret]
    assert [secret[:4] for secret in secrets if secret] == ["kac_", "kat_", "krt_", "kcs_"]
    for secret in secrets:
        assert secret
        for part in (secret, secret[4:], secret.encode().hex(), secret[4:].encode().hex()):
            assert part not in stored


def test_trap_11_refresh_tokens_expire(third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]) -> None:
    tokens = third_party.tokens(member, scope="openid balance offline_access", ticked=["balance"])
    statement = "UPDATE oauth_token SET expires_at = now() WHERE client_id = :id AND kind = 'refresh'"
    rows(statement, id=third_party.id)

    assert third_party.refresh(tokens["refresh_token"]).get_json()["error"] == "invalid_grant"


def test_trap_13_consent_without_a_csrf_token_is_refused(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    form = {"decision": "allow", "permission": ["balance"]}

    for response in (
        member.browser.post(third_party.address(), data=form),
        member.browser.post(third_party.address(), data={**form, "csrf_token": "forged"}),
    ):
        assert response.status_code == 400
        assert "Location" not in response.headers
    assert rows("SELECT FROM oauth_grant WHERE client_id = :id", id=third_party.id) == []


@pytest.mark.parametrize("decision", [None, "", "no", "cancel", "false", "Allow", "allow "])
def test_trap_13_only_the_allow_button_is_consent(
    third_party: ThirdParty, member: Member, decision: str | None, rows: Callable[..., list[Any]]
) -> None:
    back = sent_back(third_party.answer(member, decision=decision))

    assert back["error"] == "access_denied"
    assert "code" not in back
    assert rows("SELECT FROM oauth_grant WHERE client_id = :id", id=third_party.id) == []
