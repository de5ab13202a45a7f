"""A session or a token ends while something is written in its name: what comes of that ends too, or is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from app.db import transaction
from tests.live import eventually
from tests.oauth.conftest import Member, ThirdParty, hidden, sent_back
from tests.oauth.test_device import GRANT, ask, question, reply

OFFLINE: dict[str, Any] = {"scope": "openid offline_access", "ticked": []}
WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

pytestmark = pytest.mark.usefixtures("still_clock")


def same_session(app: Flask, member: Member) -> FlaskClient:
    """Another tab of the member's browser."""
    cookie = member.browser.get_cookie("kumiai_session")
    assert cookie is not None
    tab = app.test_client()
    tab.set_cookie("kumiai_session", cookie.value)
    return tab


@pytest.fixture
def ended_meanwhile(app: Flask, member: Member, rows: Callable[..., list[Any]]) -> Callable[..., Any]:
    """Lets a sign-out begin once the answer stands at the grant's lock, which is held until then."""

    @contextmanager
    def grants_held(client_id: str) -> Iterator[None]:
        with app.app_context(), transaction() as session:
            session.execute(text("SELECT FROM oauth_grant WHERE client_id = :id FOR UPDATE"), {"id": client_id})
            yield

    def run(answer: Callable[[], Any], *, client_id: str, **form: str) -> Any:
        tab = same_session(app, member)
        form |= {"csrf_token": hidden(tab.get("/logout"))["csrf_token"][0]}
        with ThreadPoolExecutor(2) as pool:
            with grants_held(client_id):
                answering: Future[Any] = pool.submit(answer)
                eventually(lambda: len(rows(WAITING)) == 1 or None)
                ending = pool.submit(tab.post, "/logout", data=form)
                eventually(lambda: len(rows(WAITING)) == 2 or ending.done() or None)
            assert ending.result(30).status_code == 303
            return answering.result(30)

    return run


@pytest.mark.parametrize("how", [{}, {"sessions": "all"}], ids=["here", "everywhere"])
def test_a_code_of_that_moment_is_not_redeemed(
    third_party: ThirdParty, member: Member, ended_meanwhile: Callable[..., Any], how: dict[str, str]
) -> None:
    third_party.tokens(member, **OFFLINE)

    response = ended_meanwhile(
        lambda: third_party.answer(member, prompt="consent", **OFFLINE), client_id=third_party.id, **how
    )

    assert third_party.redeem(sent_back(response)["code"]).get_json()["error"] == "invalid_grant"


def test_a_device_allowed_at_that_moment_gets_no_tokens(
    new_third_party: Callable[..., ThirdParty],
    member: Member,
    new_member: Callable[..., Member],
    ended_meanwhile: Callable[..., Any],
) -> None:
    screen = new_third_party(profile="native", redirect_uris=["http://127.0.0.1/callback"])
    asked = ask(screen, scope="openid balance")
    reply(member, question(member, asked["user_code"]), permission=["balance"])
    asked = ask(screen, scope="openid balance")
    address = question(member, asked["user_code"])

    ended_meanwhile(lambda: reply(member, address, permission=["balance"]), client_id=screen.id, sessions="all")

    polled = screen.post(grant_type=GRANT, device_code=asked["device_code"])
    assert polled.get_json()["error"] == "invalid_grant"


@pytest.fixture
def after_the_end(app: Flask, member: Member, rows: Callable[..., list[Any]]) -> Callable[..., Any]:
    """What is answered to a request that looked at the session before it ended, and again, under a lock, after."""

    def run(answer: Callable[[], Any]) -> Any:
        with ThreadPoolExecutor(1) as pool:
            with app.app_context(), transaction() as session:
                end = "UPDATE member_session SET revoked_at = now() WHERE member_id = :id"
                session.execute(text(end), {"id": member.id})
                answering = pool.submit(answer)
                eventually(lambda: len(rows(WAITING)) == 1 or answering.done() or None)
            return answering.result(30)

    return run


def test_an_answer_that_comes_after_the_end_is_none(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]], after_the_end: Callable[..., Any]
) -> None:
    third_party.tokens(member, **OFFLINE)

    response = after_the_end(lambda: third_party.answer(member, prompt="consent", **OFFLINE))

    assert response.status_code == 303
    assert urlsplit(response.headers["Location"]).path == "/login"
    assert rows("SELECT count(*) FROM oauth_code WHERE client_id = :id", id=third_party.id) == [(1,)]


def test_a_client_that_wants_no_page_is_told_that_nobody_is_signed_in(
    third_party: ThirdParty, member: Member, after_the_end: Callable[..., Any]
) -> None:
    third_party.tokens(member, **OFFLINE)
    address = third_party.address(prompt="none", scope=OFFLINE["scope"])

    response = after_the_end(lambda: member.browser.get(address))

    assert sent_back(response)["error"] == "login_required"


def test_a_refresh_token_that_is_purged_at_that_moment_is_refused_like_any_that_is_over(
    third_party: ThirdParty, member: Member, app: Flask, rows: Callable[..., list[Any]]
) -> None:
    token = third_party.tokens(member, **OFFLINE)["refresh_token"]

    with ThreadPoolExecutor(1) as pool:
        with app.app_context(), transaction() as session:
            of_client = {"id": third_party.id}
            session.execute(text("SELECT FROM oauth_grant WHERE client_id = :id FOR UPDATE"), of_client)
            refreshing = pool.submit(third_party.refresh, token)
            eventually(lambda: len(rows(WAITING)) == 1 or None)
            session.execute(text("DELETE FROM oauth_token WHERE client_id = :id"), of_client)
        answer = refreshing.result(30)

    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_grant")
