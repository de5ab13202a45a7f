"""Suspending a member: every door is shut, and what is on its way through one is caught."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from flask import Flask

from app import clock
from app.db import transaction
from app.ids import new_id
from app.member import codes, service, sessions
from app.oauth import tokens
from app.oauth.clients import find_client
from app.oauth.suspension import suspend_member
from app.wallet.spend_control import GrantControls
from tests.live import eventually
from tests.oauth.conftest import Member, ThirdParty

OFFLINE: dict[str, Any] = {"scope": "openid offline_access", "ticked": []}


def suspend(app: Flask, member: Member) -> None:
    with app.app_context(), transaction():
        suspend_member(member.id)


def test_every_session_token_and_code_is_worth_nothing(
    app: Flask, third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    issued = third_party.tokens(member, **OFFLINE)
    code = third_party.code(member, **OFFLINE, prompt="consent")

    suspend(app, member)

    assert third_party.userinfo(issued["access_token"]).status_code == 401
    assert third_party.refresh(issued["refresh_token"]).get_json()["error"] == "invalid_grant"
    assert third_party.redeem(code).get_json()["error"] == "invalid_grant"
    assert member.browser.get("/login/done").status_code == 303
    assert living(third_party.id) == 0


def test_nothing_of_it_comes_back_when_the_account_is_resumed(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    issued = third_party.tokens(member, **OFFLINE)
    suspend(app, member)

    rows("UPDATE member SET status = 'active' WHERE id = :id", id=member.id)

    assert third_party.userinfo(issued["access_token"]).status_code == 401
    assert third_party.refresh(issued["refresh_token"]).get_json()["error"] == "invalid_grant"
    assert member.browser.get("/login/done").status_code == 303


def test_another_member_is_not_touched(
    app: Flask, third_party: ThirdParty, member: Member, new_member: Callable[..., Member]
) -> None:
    other = new_member()
    issued = third_party.tokens(other, **OFFLINE)

    suspend(app, member)

    assert third_party.userinfo(issued["access_token"]).status_code == 200
    assert other.browser.get("/login/done").status_code == 200


@contextmanager
def suspended_meanwhile(app: Flask, member: Member, rows: Callable[..., list[Any]]) -> Iterator[Callable[[], None]]:
    """Lets a suspension begin inside the block's transaction, and end after it."""
    suspending = threading.Thread(target=suspend, args=(app, member))

    def begin() -> None:
        suspending.start()
        waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        eventually(lambda: len(rows(waiting)) == 1 or None)

    yield begin
    suspending.join(30)
    assert not suspending.is_alive()


def test_tokens_being_issued_at_that_moment_end_too(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]], living: Callable[[str], int]
) -> None:
    third_party.code(member, **OFFLINE)
    ((grant_id,),) = rows("SELECT id FROM oauth_grant WHERE client_id = :id", id=third_party.id)

    with suspended_meanwhile(app, member, rows) as begin, app.app_context(), transaction():
        client = find_client(third_party.id)
        assert client
        tokens.issue_to_member(
            client=client,
            grant_id=grant_id,
            family_id=new_id(),
            scopes=["openid"],
            auth_time=clock.now(),
            controls=GrantControls(),
        )
        begin()

    assert rows("SELECT count(*) FROM oauth_token WHERE client_id = :id", id=third_party.id) == [(1,)]
    assert living(third_party.id) == 0


def test_tokens_asked_for_while_a_suspension_is_under_way_are_not_issued(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]], living: Callable[[str], int]
) -> None:
    refresh_token = third_party.tokens(member, **OFFLINE)["refresh_token"]
    code = third_party.code(member, **OFFLINE, prompt="consent")

    with ThreadPoolExecutor(2) as pool:
        with app.app_context(), transaction():
            suspend_member(member.id)
            asked = [
                pool.submit(third_party.refresh, refresh_token),
                pool.submit(third_party.redeem, code),
            ]
            waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            eventually(lambda: len(rows(waiting)) == len(asked) or None)
        answers = [each.result(timeout=30) for each in asked]

    assert [answer.get_json()["error"] for answer in answers] == ["invalid_grant", "invalid_grant"]
    assert living(third_party.id) == 0


def test_an_answer_given_while_a_suspension_is_under_way_is_none(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with app.app_context(), transaction():
            suspend_member(member.id)
            answering = pool.submit(third_party.answer, member)
            waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            eventually(lambda: len(rows(waiting)) == 1 or None)
        answer = answering.result(timeout=30)

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/login?")
    assert rows("SELECT FROM oauth_grant WHERE client_id = :id", id=third_party.id) == []


def test_a_code_of_before_is_not_redeemed_when_the_account_is_resumed(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    code = third_party.code(member, **OFFLINE)
    suspend(app, member)
    rows("UPDATE member SET status = 'active' WHERE id = :id", id=member.id)

    assert third_party.redeem(code).get_json()["error"] == "invalid_grant"


def test_a_session_being_begun_at_that_moment_ends_too(
    app: Flask, member: Member, rows: Callable[..., list[Any]]
) -> None:
    with app.app_context(), transaction():
        code = codes.issue(member.id, purpose="sign_in")

    with suspended_meanwhile(app, member, rows) as begin, app.test_request_context("/"), transaction():
        sessions.start_session(member_id=service.finish_sign_in(code_id=code.id, digits=code.digits))
        begin()

    found = rows("SELECT revoked_at IS NULL FROM member_session WHERE member_id = :id", id=member.id)
    assert found == [(False,), (False,)]
