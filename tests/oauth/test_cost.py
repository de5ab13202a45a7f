"""How many SQL statements the busiest requests cost. A figure grows here before it grows in the bench."""

from __future__ import annotations

import pytest

from tests.oauth.conftest import Member, ThirdParty
from tests.oauth.statements import Sent, sent

WHAT_COSTS_MOST = {"scope": "openid profile balance payment offline_access", "ticked": ["balance", "payment"]}


@pytest.fixture
def warm(third_party: ThirdParty, member: Member) -> None:
    """Connections are open, and the process has the key and the shops' names that it keeps for a while."""
    token = third_party.tokens(member, prompt="consent", **WHAT_COSTS_MOST)
    assert third_party.refresh(token["refresh_token"]).status_code == 200
    assert third_party.userinfo(token["access_token"]).status_code == 200


@pytest.mark.usefixtures("warm")
def test_a_code_becomes_tokens_with_at_most_six(third_party: ThirdParty, member: Member) -> None:
    code = third_party.code(member, prompt="consent", **WHAT_COSTS_MOST)
    with sent() as seen:
        answer = third_party.redeem(code)
    assert {"access_token", "refresh_token", "id_token", "authorization_details"} <= answer.get_json().keys()
    assert 0 < len(seen) <= 6, _told(seen)


@pytest.mark.usefixtures("warm")
def test_a_refresh_takes_at_most_six(third_party: ThirdParty, member: Member) -> None:
    token = third_party.tokens(member, prompt="consent", **WHAT_COSTS_MOST)["refresh_token"]
    with sent() as seen:
        answer = third_party.refresh(token)
    assert answer.get_json()["refresh_token"] != token
    assert 0 < len(seen) <= 6, _told(seen)


@pytest.mark.usefixtures("warm")
def test_who_may_do_what_is_one(third_party: ThirdParty, member: Member) -> None:
    token = third_party.tokens(member, prompt="consent", **WHAT_COSTS_MOST)["access_token"]
    with sent() as seen:
        answer = third_party.app.test_client().get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert len(seen) == 2, _told(seen)  # the token, and the name that /v1/me shows
    assert sum("oauth_token" in statement for statement in seen.statements) == 1


def _told(seen: Sent) -> str:
    return "\n".join(seen.statements)
