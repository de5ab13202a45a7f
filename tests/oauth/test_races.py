"""Traps 2 and 3 under load: twenty threads at once against a real PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from app.db import transaction
from app.oauth import grants_service
from app.wallet.spend_control import GrantControls
from tests.oauth.conftest import Member, ThirdParty

THREADS = 20


def at_once(call: Callable[[int], Any]) -> list[Any]:
    """Run `call` in THREADS threads that start together."""
    barrier = Barrier(THREADS, timeout=30)

    def run(number: int) -> Any:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def statuses(responses: list[TestResponse]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


def test_trap_2_of_twenty_redemptions_one_wins_and_its_tokens_are_revoked(
    third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    code = third_party.code(member)

    responses = at_once(lambda _: third_party.redeem(code))

    assert statuses(responses) == {200: 1, 400: THREADS - 1}
    winner = next(response for response in responses if response.status_code == 200)
    assert living(third_party.id) == 0
    assert third_party.userinfo(winner.get_json()["access_token"]).status_code == 401


def test_trap_2_twenty_refreshes_answer_the_same_successor(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    tokens = third_party.tokens(member, scope="openid offline_access", ticked=[])

    responses = at_once(lambda _: third_party.refresh(tokens["refresh_token"]))

    assert statuses(responses) == {200: THREADS}
    answers = [response.get_json() for response in responses]
    assert len({answer["refresh_token"] for answer in answers}) == 1
    assert len({answer["access_token"] for answer in answers}) == 1
    assert answers[0]["refresh_token"] != tokens["refresh_token"]
    kinds = rows(
        "SELECT kind, count(*) FROM oauth_token WHERE client_id = :id GROUP BY 1 ORDER BY 1", id=third_party.id
    )
    assert kinds == [("access", 2), ("refresh", 2)]
    assert third_party.refresh(answers[0]["refresh_token"]).status_code == 200


def test_trap_3_a_family_revoked_while_it_is_refreshed_has_no_survivor(
    third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    stolen = third_party.tokens(member, scope="openid offline_access", ticked=[])["refresh_token"]
    previous = third_party.refresh(stolen).get_json()["refresh_token"]
    current = third_party.refresh(previous).get_json()["refresh_token"]

    def refresh(number: int) -> TestResponse:
        return third_party.refresh(stolen if number % 2 else current)

    responses = at_once(refresh)

    assert {response.status_code for response in responses} <= {200, 400}
    assert living(third_party.id) == 0


def test_a_token_revoked_while_it_is_refreshed_has_no_surviving_successor(
    third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    for _ in range(5):
        token = third_party.tokens(member, scope="openid offline_access", ticked=[], prompt="consent")["refresh_token"]

        def refresh_or_revoke(number: int, token: str = token) -> TestResponse:
            if number % 2:
                return third_party.refresh(token)
            return third_party.post("/oauth/revoke", token=token)

        assert statuses(at_once(refresh_or_revoke)).keys() <= {200, 400}
        assert living(third_party.id) == 0


def test_twenty_first_consents_make_one_grant(
    app: Flask, third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    def allow(_: int) -> None:
        with app.app_context(), transaction():
            grants_service.allow(
                member_id=member.id,
                client_id=third_party.id,
                scopes=["balance"],
                mandate=None,
                controls=GrantControls(),
            )

    at_once(allow)

    assert rows("SELECT scopes FROM oauth_grant WHERE client_id = :id", id=third_party.id) == [(["balance"],)]
