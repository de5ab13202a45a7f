"""Back to the version before the whole authorization server, with rows in the tables that it cannot hold."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app import clock, outbox
from app.db import transaction
from app.issuer import current_issuer, issuer_today
from app.member import codes
from app.oauth import codes as authorization_codes
from app.oauth import grants_service
from app.oauth.models import DeviceAuthorization, ProofSeen, PushedRequest
from app.oauth.ports import Mandate
from app.wallet.spend_control import GrantControls
from tests import factories
from tests.conftest import ROOT
from tests.factories import Holder
from tests.oauth.keyholder import Signer

Read = Callable[[str], Sequence[Any]]


@pytest.fixture
def read(fresh_database: str) -> Iterator[Read]:
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        yield lambda statement: connection.execute(statement.encode()).fetchall()


@pytest.fixture
def holder(fresh_app: Flask) -> Iterator[Holder]:
    with fresh_app.app_context():
        yield factories.holder(balance_yen=1_000)


@pytest.fixture
def there_and_back(fresh_database: str) -> Callable[[], None]:
    def migrate() -> None:
        for direction, revision in (("downgrade", "0005"), ("upgrade", "head")):
            command = [sys.executable, "-m", "alembic", "-c", "setup.cfg", direction, revision]
            environment = {**os.environ, "DATABASE_URL": fresh_database}
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

    return migrate


def test_what_only_the_newer_version_knows_is_stopped_and_nothing_becomes_more(
    holder: Holder, there_and_back: Callable[[], None], read: Read
) -> None:
    key = Signer.new()
    fapi2 = factories.oauth_client(profile="fapi2", jwks=key.jwks)
    basic = factories.oauth_client(profile="oidc_basic")
    web, keyed = factories.oauth_client(), factories.oauth_client(jwks=key.jwks)
    factories.access_token(member_id=holder.member_id, client_id=fapi2.id, scopes=["openid"], jkt=key.jkt)
    factories.access_token(member_id=holder.member_id, client_id=web.id, scopes=["openid"])
    code: dict[str, Any] = {"member_id": holder.member_id, "scopes": ["openid"], "redirect_uri": "https://app.example/"}
    code |= {"nonce": "n", "auth_time": clock.now()}
    soon = clock.now() + timedelta(minutes=1)
    with transaction() as session:
        grant = grants_service.allow(
            member_id=holder.member_id, client_id=basic.id, scopes=["openid"], mandate=None, controls=GrantControls()
        )
        session.flush()
        code["grant_id"] = grant.id
        authorization_codes.save("kac_1", client_id=basic.id, code_challenge=None, **code)
        authorization_codes.save("kac_2", client_id=fapi2.id, code_challenge="c" * 43, dpop_jkt=key.jkt, **code)
        outbox.emit("logout", {"client_id": web.id})
        outbox.emit("password_reset", {"email": "a@example.ac.jp"})
        codes.issue(holder.member_id, purpose="password_reset")
        session.add(PushedRequest(request_hash=b"1", client_id=fapi2.id, parameters={}, expires_at=soon))
        device = {"device_hash": b"1", "user_code_hash": b"1", "scopes": ["openid"], "expires_at": soon}
        session.add(DeviceAuthorization(client_id=web.id, **device))
        session.add(ProofSeen(proof_hash=b"1", expires_at=soon))

    there_and_back()

    assert read("SELECT id FROM oauth_client WHERE status = 'active'") == [(web.id,)]
    assert len(read("SELECT DISTINCT secret_hash FROM oauth_client WHERE secret_hash IS NOT NULL")) == 4
    assert {id_ for (id_,) in read("SELECT id FROM oauth_client")} == {fapi2.id, basic.id, web.id, keyed.id}
    assert read("SELECT client_id FROM oauth_token WHERE revoked_at IS NULL") == [(web.id,)]
    assert read("SELECT FROM oauth_code") == read("SELECT FROM verification_code") == []
    assert read("SELECT FROM outbox WHERE topic NOT IN ('mail', 'sms')") == []


@pytest.mark.parametrize(
    ("lowered", "pays_on"),
    [({}, True), ({"max_per_day_yen": 900}, False), ({"max_per_month_yen": 9_000}, False), ({"until": True}, False)],
)
def test_payments_that_were_held_to_less_than_the_version_before_can_hold_them_to_end(
    holder: Holder, there_and_back: Callable[[], None], read: Read, lowered: dict[str, Any], pays_on: bool
) -> None:
    issuer = current_issuer()
    mandate = Mandate(
        max_per_payment_yen=500,
        max_per_day_yen=issuer.default_max_per_day_yen,
        max_per_month_yen=issuer.default_max_per_month_yen,
        shops=(holder.shop_id,),
    )
    mandate = replace(mandate, **({"until": issuer_today()} if "until" in lowered else lowered))
    client = factories.oauth_client(allowed_shops=[holder.shop_id])
    with transaction():
        grants_service.allow(
            member_id=holder.member_id,
            client_id=client.id,
            scopes=["openid", "payment"],
            mandate=mandate,
            controls=GrantControls(),
        )

    there_and_back()

    scopes = ["openid", "payment"] if pays_on else ["openid"]
    assert read("SELECT scopes FROM oauth_grant") == [(scopes,)]
    assert read("SELECT status FROM spend_control") == [("active" if pays_on else "revoked",)]
