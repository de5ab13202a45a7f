"""The races between two server processes: twenty real threads, real HTTP, one PostgreSQL.

Of twenty who use a code, a device code or a request_uri at once, exactly one succeeds, and the other nineteen being
replays, what it was given is taken back. A refresh token gives all twenty the one successor, for the grace.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from sqlalchemy import text

from app.db import autocommit
from tests import factories
from tests.live import Live, served, server_env
from tests.oauth.browser import Browser
from tests.oauth.conftest import CHALLENGE, VERIFIER
from tests.ports import free_port

CALLERS = 20
CALLBACK = "https://app.example/callback"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
SCOPE = "openid balance offline_access"


@dataclass(frozen=True)
class TwoServers:
    """Two processes over one database, an app that speaks to both, and the browser of a member who is signed in."""

    live: Live
    urls: tuple[str, str]
    client: factories.RegisteredClient
    browser: Browser

    def post(self, path: str, *, server: int = 0, **form: str) -> requests.Response:
        assert self.client.secret is not None
        credentials = (self.client.id, self.client.secret)
        return requests.post(f"{self.urls[server]}{path}", data=form, auth=credentials, timeout=30)

    def token(self, **form: str) -> requests.Response:
        return self.post("/oauth/token", server=1, **form)

    def tokens_at_once(self, **form: str) -> list[requests.Response]:
        """Send one form to the token endpoint from twenty threads that start together, half to each process."""
        return at_once(lambda number: self.post("/oauth/token", server=number % 2, **form))

    def push(self) -> str:
        """An authorization request by PAR; returns the page it leads to."""
        pushed = self.post(
            "/oauth/par",
            response_type="code",
            redirect_uri=CALLBACK,
            scope=SCOPE,
            prompt="consent",
            code_challenge=CHALLENGE,
            code_challenge_method="S256",
        )
        assert pushed.status_code == 201, pushed.text
        query = {"client_id": self.client.id, "request_uri": pushed.json()["request_uri"]}
        return f"/oauth/authorize?{urlencode(query)}"

    def open(self, path: str) -> requests.Response:
        page = self.browser.open(path)
        assert page.status_code == 200, page.text
        return page

    def allow(self, page: requests.Response, *, server: int = 0) -> requests.Response:
        """The member's yes, from a connection of its own with the cookies of their browser."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert token, page.text
        form = {"csrf_token": token[1], "decision": "allow", "permission": "balance"}
        with requests.Session() as http:
            http.cookies.update(self.browser.http.cookies)
            address = page.url.replace(self.urls[0], self.urls[server])
            return http.post(address, data=form, allow_redirects=False, timeout=30)

    def code(self) -> str:
        """The code of a consent."""
        return code_in(self.allow(self.open(self.push())))

    def redeem(self, code: str) -> requests.Response:
        return self.token(**redemption(code))

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with self.live.app.app_context(), autocommit().connect() as connection:
            result = connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    def assert_dead(self, tokens: dict[str, str]) -> None:
        """Neither of these tokens is good for anything, at either process."""
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert [requests.get(f"{url}/oauth/userinfo", headers=bearer, timeout=30).status_code for url in self.urls] == [
            401,
            401,
        ]
        again = self.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        assert again.json()["error"] == "invalid_grant"


@pytest.fixture(scope="module")
def two_servers(live_server: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoServers]:
    second = f"http://localhost:{free_port()}"
    log: Path = tmp_path_factory.mktemp("second") / "server.log"
    with live_server.app.app_context():
        client = factories.oauth_client(redirect_uris=[CALLBACK])
    browser = Browser(live_server)
    browser.sign_in(browser.open("/login?next=/account/apps"), live_server.register())
    with served("wsgi:app", second, env=server_env(live_server.settings), log=log):
        yield TwoServers(live=live_server, urls=(live_server.url, second), client=client, browser=browser)


def at_once(call: Callable[[int], requests.Response]) -> list[requests.Response]:
    """Call from twenty threads that start together."""
    barrier = Barrier(CALLERS, timeout=30)

    def run(number: int) -> requests.Response:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(run, range(CALLERS)))


def redemption(code: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }


def code_in(response: requests.Response) -> str:
    return parse_qs(urlsplit(response.headers["Location"]).query)["code"][0]


def the_one(answers: list[requests.Response], *, of: int) -> requests.Response:
    """The answer that succeeded with status `of`, the other nineteen being refused."""
    assert Counter(answer.status_code for answer in answers) == {of: 1, 400: CALLERS - 1}
    return next(answer for answer in answers if answer.status_code == of)


def test_a_code_is_redeemed_once_and_what_it_gave_is_revoked(two_servers: TwoServers) -> None:
    answers = two_servers.tokens_at_once(**redemption(two_servers.code()))

    winner = the_one(answers, of=200)
    assert {answer.json()["error"] for answer in answers if answer is not winner} == {"invalid_grant"}
    two_servers.assert_dead(winner.json())


def test_a_device_code_is_redeemed_once_and_what_it_gave_is_revoked(two_servers: TwoServers) -> None:
    asked = two_servers.post("/oauth/device_authorization", scope=SCOPE).json()
    form = {"grant_type": DEVICE_CODE, "device_code": asked["device_code"]}

    waiting = Counter(answer.json()["error"] for answer in two_servers.tokens_at_once(**form))
    assert waiting == {"authorization_pending": 1, "slow_down": CALLERS - 1}

    browser = two_servers.browser
    page = browser.send(browser.open("/oauth/device"), user_code=asked["user_code"])
    browser.send(page, decision="allow", permission="balance")
    answers = two_servers.tokens_at_once(**form)

    winner = the_one(answers, of=200)
    assert {answer.json()["error"] for answer in answers if answer is not winner} == {"invalid_grant"}
    two_servers.assert_dead(winner.json())


def test_a_request_uri_is_answered_once_and_its_code_is_taken_back(two_servers: TwoServers) -> None:
    page = two_servers.open(two_servers.push())

    winner = the_one(at_once(lambda number: two_servers.allow(page, server=number % 2)), of=303)

    redeemed = two_servers.redeem(code_in(winner))
    assert (redeemed.status_code, redeemed.json()["error"]) == (400, "invalid_grant")


def test_a_request_uri_that_is_answered_again_ends_the_tokens_it_became(two_servers: TwoServers) -> None:
    page = two_servers.open(two_servers.push())
    tokens = two_servers.redeem(code_in(two_servers.allow(page))).json()

    answers = at_once(lambda number: two_servers.allow(page, server=number % 2))

    assert Counter(answer.status_code for answer in answers) == {400: CALLERS}
    two_servers.assert_dead(tokens)


def test_a_refresh_token_gives_one_successor_and_its_later_reuse_ends_the_family(two_servers: TwoServers) -> None:
    first = two_servers.redeem(two_servers.code()).json()

    answers = two_servers.tokens_at_once(grant_type="refresh_token", refresh_token=first["refresh_token"])

    assert Counter(answer.status_code for answer in answers) == {200: CALLERS}
    pairs = {(answer.json()["access_token"], answer.json()["refresh_token"]) for answer in answers}
    assert len(pairs) == 1
    (successor,) = [answers[0].json()]
    bearer = {"Authorization": f"Bearer {successor['access_token']}"}
    assert requests.get(f"{two_servers.urls[0]}/oauth/userinfo", headers=bearer, timeout=30).status_code == 200
    two_servers.rows(
        "UPDATE oauth_token SET rotated_at = rotated_at - interval '31 seconds' WHERE client_id = :id",
        id=two_servers.client.id,
    )

    reused = two_servers.tokens_at_once(grant_type="refresh_token", refresh_token=first["refresh_token"])

    assert Counter(answer.status_code for answer in reused) == {400: CALLERS}
    assert {answer.json()["error"] for answer in reused} == {"invalid_grant"}
    two_servers.assert_dead(successor)
