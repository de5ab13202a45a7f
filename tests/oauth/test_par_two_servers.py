"""The race for one request_uri between two server processes: twenty browsers answer it at once, over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Flask

from app import clock
from app.db import transaction
from app.ids import new_secret, secret_hash
from app.member.models import MemberSession
from tests import factories
from tests.live import Live, served, server_env
from tests.oauth.conftest import CHALLENGE, VERIFIER
from tests.oauth.test_two_servers import CALLBACK, CALLERS, statuses
from tests.ports import free_port


@pytest.fixture(scope="module")
def urls(live_server: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    second = f"http://localhost:{free_port()}"
    log: Path = tmp_path_factory.mktemp("second") / "server.log"
    with served("wsgi:app", second, env=server_env(live_server.settings), log=log):
        yield live_server.url, second


def signed_in_cookie(app: Flask) -> str:
    """The cookie of a member who signed in, as either process writes it: they share the key."""
    secret, now = new_secret("kss_"), clock.now()
    with app.app_context():
        member_id = factories.member()
        with transaction() as session:
            session.add(
                MemberSession(
                    secret_hash=secret_hash(secret),
                    member_id=member_id,
                    auth_time=now,
                    expires_at=now + timedelta(hours=1),
                )
            )
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return str(serializer.dumps({"sid": secret}))


def test_of_twenty_answers_one_wins_and_its_code_is_taken_back(live_server: Live, urls: tuple[str, str]) -> None:
    with live_server.app.app_context():
        client = factories.oauth_client(redirect_uris=[CALLBACK])
    assert client.secret is not None
    credentials = (client.id, client.secret)
    asked = {
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": "openid balance",
        "state": "st4te",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    pushed = requests.post(f"{urls[0]}/oauth/par", data=asked, auth=credentials, timeout=30)
    assert pushed.status_code == 201, pushed.text
    query = {"client_id": client.id, "request_uri": pushed.json()["request_uri"]}
    cookie, barrier = signed_in_cookie(live_server.app), Barrier(CALLERS, timeout=30)

    def answer(number: int) -> requests.Response:
        with requests.Session() as http:
            http.cookies.set("kumiai_session", cookie, domain="localhost.local", path="/")
            page = http.get(f"{urls[number % 2]}/oauth/authorize", params=query, timeout=30)
            token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
            assert token, page.text
            form = {"csrf_token": token[1], "decision": "allow", "permission": "balance"}
            barrier.wait()
            return http.post(page.url, data=form, allow_redirects=False, timeout=30)

    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(answer, range(CALLERS)))

    assert statuses(answers) == {303: 1, 400: CALLERS - 1}
    (winner,) = [each.headers["Location"] for each in answers if each.status_code == 303]
    code = parse_qs(urlsplit(winner).query)["code"][0]
    redeemed = requests.post(
        f"{urls[1]}/oauth/token",
        data={
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        },
        auth=credentials,
        timeout=30,
    )
    assert (redeemed.status_code, redeemed.json()["error"]) == (400, "invalid_grant")
