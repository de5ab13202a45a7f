"""Bearer tokens at a resource."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.oauth.errors import InsufficientScope, InvalidToken, MissingToken
from app.oauth.protector import Access, Bearer, current_access
from tests import factories
from tests.oauth.conftest import BARE, RESOURCE, Member, ThirdParty

SCOPES = ["openid", "balance", "payment"]


@pytest.fixture
def check(app: Flask) -> Callable[..., Access]:
    """What a view with this protection would see."""

    def run(token: str | None, *scopes: str, **headers: str) -> Access:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        with app.test_request_context(headers=headers):
            Bearer(*scopes).check()
            return current_access()

    return run


@pytest.fixture
def token(app: Flask, third_party: ThirdParty, member: Member) -> str:
    with app.app_context():
        return factories.access_token(
            member_id=member.id, client_id=third_party.id, scopes=SCOPES, max_per_payment_yen=700
        )


def test_what_a_members_token_gives(
    check: Callable[..., Access], token: str, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    access = check(token, "balance")

    grant_id, auth_time = rows("SELECT grant_id, auth_time FROM oauth_token WHERE client_id = :id", id=third_party.id)[
        0
    ]
    assert access == Access(third_party.id, frozenset(SCOPES), member.id, grant_id, auth_time, (third_party.shop_id,))


def test_what_a_tills_token_gives(
    app: Flask, check: Callable[..., Access], new_third_party: Callable[..., ThirdParty]
) -> None:
    till = new_third_party(profile="till")
    with app.app_context():
        token = factories.access_token(member_id=None, client_id=till.id, scopes=["till"])

    assert check(token, "till") == Access(till.id, frozenset({"till"}), None, None, None, (till.shop_id,))


def test_every_named_scope_is_needed(check: Callable[..., Access], token: str) -> None:
    check(token, "balance", "payment")

    with pytest.raises(InsufficientScope) as refusal:
        check(token, "balance", "history")
    assert refusal.value.detail == {"scope": "balance history"}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic x", "kat_x", "bearerkat_x"])
def test_no_bearer_token_is_a_bare_challenge(check: Callable[..., Access], header: str) -> None:
    with pytest.raises(MissingToken):
        check(None, Authorization=header)


def test_the_scheme_is_in_any_case(check: Callable[..., Access], token: str) -> None:
    assert check(None, "balance", Authorization=f"bearer {token}").scopes == frozenset(SCOPES)


def test_a_token_in_the_query_is_no_token(app: Flask, token: str) -> None:
    response = app.test_client().get(f"/oauth/userinfo?access_token={token}")

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == BARE


@pytest.mark.parametrize("wrong", ["kat_x", " ", "あ".encode().decode("latin-1"), "x" * 9000])
def test_an_unknown_token(check: Callable[..., Access], wrong: str) -> None:
    with pytest.raises(InvalidToken):
        check(wrong)


def test_a_refresh_token_is_no_access_token(
    check: Callable[..., Access], third_party: ThirdParty, member: Member
) -> None:
    tokens = third_party.tokens(member, scope="openid offline_access", ticked=[])

    with pytest.raises(InvalidToken):
        check(tokens["refresh_token"])


@pytest.mark.parametrize(
    "stop",
    [
        "UPDATE oauth_token SET revoked_at = now() WHERE client_id = :client",
        "UPDATE oauth_token SET expires_at = now() WHERE client_id = :client",
        "UPDATE oauth_grant SET revoked_at = now() WHERE client_id = :client",
        "UPDATE oauth_client SET status = 'revoked' WHERE id = :client",
        "UPDATE member SET status = 'suspended' WHERE id = :member",
        "UPDATE member SET status = 'closed' WHERE id = :member",
    ],
)
def test_a_stopped_token(
    check: Callable[..., Access],
    token: str,
    third_party: ThirdParty,
    member: Member,
    rows: Callable[..., list[Any]],
    stop: str,
) -> None:
    check(token)
    rows(stop.replace(":client", f"'{third_party.id}'").replace(":member", f"'{member.id}'"))

    with pytest.raises(InvalidToken):
        check(token)


@pytest.mark.parametrize(
    "narrow",
    [
        "UPDATE oauth_token SET scopes = '{openid,balance}' WHERE client_id = :client",
        "UPDATE oauth_grant SET scopes = '{openid,balance}', mandate = NULL WHERE client_id = :client",
        "UPDATE oauth_client SET scopes = '{openid,balance}' WHERE id = :client",
    ],
)
def test_what_a_token_can_do_is_token_and_grant_and_client(
    check: Callable[..., Access], token: str, third_party: ThirdParty, rows: Callable[..., list[Any]], narrow: str
) -> None:
    rows(narrow, client=third_party.id)

    assert check(token).scopes == {"openid", "balance"}
    with pytest.raises(InsufficientScope):
        check(token, "payment")


def test_a_check_is_one_query(check: Callable[..., Access], token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[object] = []
    execute = psycopg.Cursor.execute

    def note(cursor: psycopg.Cursor[Any], query: Any, *args: Any, **kwargs: Any) -> psycopg.Cursor[Any]:
        statements.append(query)
        return execute(cursor, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", note)
    check(token, "balance")

    assert len(statements) == 1


def test_a_refusal_at_the_api_is_problem_json(app: Flask, token: str) -> None:
    response = app.test_client().get("/oauth/userinfo", headers={"Authorization": "Bearer kat_x"})

    assert response.mimetype == "application/problem+json"
    assert response.get_json()["code"] == "invalid_token"
    assert response.headers["WWW-Authenticate"] == f'Bearer realm="kumiai", error="invalid_token", {RESOURCE}'
