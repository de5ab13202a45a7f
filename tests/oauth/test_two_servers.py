"""The races of the token endpoint between two server processes: twenty real threads, real HTTP, one PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import requests
from sqlalchemy import text

from app import clock
from app.db import autocommit, transaction
from app.ids import new_secret
from app.oauth import codes, grants_service
from app.wallet.spend_control import GrantControls
from tests import factories
from tests.live import Live, served, server_env
from tests.oauth.conftest import CHALLENGE, VERIFIER
from tests.ports import free_port

CALLERS = 20
CALLBACK = "https://app.example/callback"


@dataclass(frozen=True)
class TwoServers:
    """Two processes over one database, and an app that speaks to both."""

    live: Live
    urls: tuple[str, str]
    client: factories.RegisteredClient

    def at_once(self, **form: str) -> list[requests.Response]:
        """Send one form to the token endpoint from twenty threads that start together, half to each process."""
        barrier = Barrier(CALLERS, timeout=30)
        assert self.client.secret is not None
        credentials = (self.client.id, self.client.secret)

        def send(number: int) -> requests.Response:
            with requests.Session() as http:
                barrier.wait()
                return http.post(f"{self.urls[number % 2]}/oauth/token", data=form, auth=credentials, timeout=30)

        with ThreadPoolExecutor(CALLERS) as pool:
            return list(pool.map(send, range(CALLERS)))

    def token(self, **form: str) -> requests.Response:
        assert self.client.secret is not None
        credentials = (self.client.id, self.client.secret)
        return requests.post(f"{self.urls[1]}/oauth/token", data=form, auth=credentials, timeout=30)

    def userinfo(self, access_token: str) -> int:
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(f"{self.urls[0]}/oauth/userinfo", headers=headers, timeout=30).status_code

    def code(self, *scopes: str) -> str:
        """A code such as a consent gives."""
        code = new_secret("kac_")
        with self.live.app.app_context():
            member_id = factories.member()
            with transaction():
                grant = grants_service.allow(
                    member_id=member_id,
                    client_id=self.client.id,
                    scopes=scopes,
                    mandate=None,
                    controls=GrantControls(),
                )
                codes.save(
                    code,
                    client_id=self.client.id,
                    grant_id=grant.id,
                    member_id=member_id,
                    scopes=scopes,
                    redirect_uri=CALLBACK,
                    code_challenge=CHALLENGE,
                    nonce=None,
                    auth_time=clock.now(),
                )
        return code

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with self.live.app.app_context(), autocommit().connect() as connection:
            result = connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []


@pytest.fixture(scope="module")
def two_servers(live_server: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoServers]:
    second = f"http://localhost:{free_port()}"
    log: Path = tmp_path_factory.mktemp("second") / "server.log"
    with live_server.app.app_context():
        client = factories.oauth_client(redirect_uris=[CALLBACK])
    with served("wsgi:app", second, env=server_env(live_server.settings), log=log):
        yield TwoServers(live=live_server, urls=(live_server.url, second), client=client)


def statuses(answers: list[requests.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def test_a_code_is_redeemed_once_and_what_it_gave_is_revoked(two_servers: TwoServers) -> None:
    code = two_servers.code("openid", "offline_access")

    answers = two_servers.at_once(
        grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=VERIFIER
    )

    assert statuses(answers) == {200: 1, 400: CALLERS - 1}
    winner = next(answer.json() for answer in answers if answer.ok)
    assert two_servers.userinfo(winner["access_token"]) == 401
    again = two_servers.token(grant_type="refresh_token", refresh_token=winner["refresh_token"])
    assert again.json()["error"] == "invalid_grant"


def test_a_refresh_token_gives_one_successor_and_its_later_reuse_ends_the_family(two_servers: TwoServers) -> None:
    code = two_servers.code("openid", "offline_access")
    first = two_servers.token(
        grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=VERIFIER
    ).json()

    answers = two_servers.at_once(grant_type="refresh_token", refresh_token=first["refresh_token"])

    assert statuses(answers) == {200: CALLERS}
    pairs = {(answer.json()["access_token"], answer.json()["refresh_token"]) for answer in answers}
    assert len(pairs) == 1
    ((access_token, successor),) = pairs
    assert two_servers.userinfo(access_token) == 200
    two_servers.rows(
        "UPDATE oauth_token SET rotated_at = rotated_at - interval '31 seconds' WHERE client_id = :id",
        id=two_servers.client.id,
    )

    reused = two_servers.token(grant_type="refresh_token", refresh_token=first["refresh_token"])

    assert reused.json()["error"] == "invalid_grant"
    assert two_servers.userinfo(access_token) == 401
    assert two_servers.token(grant_type="refresh_token", refresh_token=successor).json()["error"] == "invalid_grant"
