"""A rotation of the signing keys while two server processes issue ID tokens: no client is refused."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock

import psycopg
import pytest
import requests
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet

from app import clock
from app.db import transaction
from app.ids import new_id
from app.oauth import codes, grants_service, keys
from app.settings import Settings
from app.wallet.spend_control import GrantControls
from tests import factories
from tests.live import ROOT, eventually, served, server_env
from tests.oauth.conftest import CHALLENGE, VERIFIER
from tests.ports import free_port

ALG = "ES256"
THREADS = 4


@dataclass(frozen=True)
class Issued:
    """An ID token that the keys of its moment verified."""

    server: str
    kid: str
    id_token: str
    asked_at: float


class Traffic:
    """Signs a member in again and again, at one server after the other, and checks each ID token at another one."""

    def __init__(self, app: Flask, servers: list[str]) -> None:
        self._app = app
        self._servers = servers
        with app.app_context():
            self._client = factories.oauth_client(id_token_alg=ALG)
            self._member_id = factories.member()
            with transaction():
                self._grant_id = grants_service.allow(
                    member_id=self._member_id,
                    client_id=self._client.id,
                    scopes=["openid"],
                    mandate=None,
                    controls=GrantControls(),
                ).id
        self._lock = Lock()
        self._stop = Event()
        self.issued: list[Issued] = []

    def run(self, number: int) -> None:
        """One client's work, until `stop`. Raises at the first ID token that does not hold."""
        with requests.Session() as http:
            while not self._stop.is_set():
                number += 1
                server = self._servers[number % len(self._servers)]
                asked_at = time.monotonic()
                id_token = self._sign_in(http, server)
                jwks = http.get(f"{self._servers[(number // 2) % len(self._servers)]}/oauth/jwks.json", timeout=10)
                token = jwt.decode(id_token, KeySet.import_key_set(jwks.json()), algorithms=[ALG])
                issued = Issued(server=server, kid=token.header["kid"], id_token=id_token, asked_at=asked_at)
                with self._lock:
                    self.issued.append(issued)

    def stop(self) -> None:
        self._stop.set()

    def kids_since(self, asked_at: float) -> dict[str, set[str]]:
        """By server, the keys of what was asked for since then."""
        with self._lock:
            issued = [each for each in self.issued if each.asked_at >= asked_at]
        return {server: {each.kid for each in issued if each.server == server} for server in self._servers}

    def _sign_in(self, http: requests.Session, server: str) -> str:
        assert self._client.secret is not None
        answer = http.post(
            f"{server}/oauth/token",
            auth=(self._client.id, self._client.secret),
            data={
                "grant_type": "authorization_code",
                "code": self._consent(),
                "redirect_uri": self._client.redirect_uris[0],
                "code_verifier": VERIFIER,
            },
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id_token"])

    def _consent(self) -> str:
        code = codes.new_code()
        with self._app.app_context(), transaction():
            codes.save(
                code,
                client_id=self._client.id,
                grant_id=self._grant_id,
                member_id=self._member_id,
                scopes=["openid"],
                redirect_uri=self._client.redirect_uris[0],
                code_challenge=CHALLENGE,
                nonce=str(new_id()),
                auth_time=clock.now(),
            )
        return code


@pytest.fixture
def servers(fresh_app: Flask, tmp_path: Path) -> Iterator[list[str]]:
    """Two server processes over the database of `fresh_app`, as two hosts behind one address would be."""
    urls = [f"http://localhost:{free_port()}" for _ in range(2)]
    settings: Settings = replace(fresh_app.extensions["kumiai.settings"], environment="development", issuer_url=urls[0])
    with ExitStack() as stack:
        for number, url in enumerate(urls):
            log = tmp_path / f"server{number}.log"
            stack.enter_context(served("wsgi:app", url, env=server_env(settings), log=log))
        yield urls


def kumiai(app: Flask, *arguments: str) -> str:
    """`kumiai …` as the office types it, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", *arguments],
        cwd=ROOT,
        env={"PATH": "", "LANG": "en_GB.UTF-8", **server_env(app.extensions["kumiai.settings"])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_id_token_holds_before_during_and_after_a_rotation(
    fresh_app: Flask, fresh_database: str, servers: list[str]
) -> None:
    kept = requests.get(f"{servers[0]}/oauth/jwks.json", timeout=10).json()  # what a client keeps for five minutes
    with psycopg.connect(fresh_database) as connection:  # and it is as if those five minutes had gone by since
        connection.execute("UPDATE signing_key SET created_at = created_at - %s", [keys.PUBLISHED_BEFORE])
    traffic = Traffic(fresh_app, servers)

    with ThreadPoolExecutor(THREADS) as pool:
        work = [pool.submit(traffic.run, number) for number in range(THREADS)]
        try:
            (old,) = eventually(lambda: _one_key_everywhere(traffic, since=0.0))
            output = kumiai(fresh_app, "keys", "rotate")
            rotated_at = time.monotonic()
            (new,) = eventually(lambda: _one_key_everywhere(traffic, since=rotated_at + keys.KEPT_FOR_S))
        finally:
            traffic.stop()
    for each in work:
        each.result()  # every ID token was verified with the keys of its moment

    assert old != new
    assert old in output
    assert new in output
    assert {each.kid for each in traffic.issued} == {old, new}
    of_then = KeySet.import_key_set(kept)
    of_now = KeySet.import_key_set(requests.get(f"{servers[1]}/oauth/jwks.json", timeout=10).json())
    for issued in traffic.issued:
        for key_set in (of_then, of_now):
            assert jwt.decode(issued.id_token, key_set, algorithms=[ALG]).header["kid"] == issued.kid


def _one_key_everywhere(traffic: Traffic, *, since: float) -> set[str] | None:
    """The key that both servers signed with since then, once each has signed."""
    kids = list(traffic.kids_since(since).values())
    if not all(kids):
        return None
    assert kids[0] == kids[1], kids
    assert len(kids[0]) == 1, kids
    return kids[0]
