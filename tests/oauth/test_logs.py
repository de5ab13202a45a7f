"""What is in no log, however much of it is asked for."""

from __future__ import annotations

import logging

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DataError

from app.db import autocommit, transaction
from tests.oauth.conftest import Member, ThirdParty

FAILS = text("SELECT 1 / 0, CAST(:email AS text)")


@pytest.mark.parametrize("inside", [True, False], ids=["in a transaction", "a single read"])
def test_an_error_of_the_database_does_not_repeat_what_it_was_given(app: Flask, inside: bool) -> None:
    given = {"email": "hanako@example.ac.jp"}
    with app.app_context(), pytest.raises(DataError) as error:
        if inside:
            with transaction() as session:
                session.execute(FAILS, given)
        else:
            with autocommit().connect() as connection:
                connection.execute(FAILS, given)
    assert "division by zero" in str(error.value)
    assert "hanako" not in str(error.value)


def test_tokens_and_codes_are_not_logged(
    third_party: ThirdParty, member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        code = third_party.code(member, scope="openid balance offline_access", ticked=["balance"])
        tokens = third_party.redeem(code).get_json()
        refreshed = third_party.refresh(tokens["refresh_token"]).get_json()
        third_party.post("/oauth/revoke", token=refreshed["refresh_token"])
    secrets = [code, *(answer[kind] for answer in (tokens, refreshed) for kind in ("access_token", "refresh_token"))]
    assert not [secret for secret in secrets if secret in caplog.text]
