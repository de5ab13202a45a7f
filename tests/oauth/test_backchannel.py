"""Back-channel logout over real HTTP: who is told, what they are told, and what happens when they do not listen."""

from __future__ import annotations

import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet

from app import clock
from app.db import transaction
from app.member import sessions
from app.messaging import leases
from app.oauth import outbound
from app.oauth.models import SessionClient
from app.oauth.suspension import suspend_member
from app.seal import seal
from app.settings import Settings
from app.worker import worker_for_clients
from tests.live import eventually
from tests.messaging.conftest import worker_process
from tests.oauth.conftest import Member, ThirdParty, hidden, sign_in
from tests.ports import free_port

EVENT = "http://schemas.openid.net/event/backchannel-logout"
EVERYTHING = "SELECT id, state, attempts, last_error FROM outbox WHERE topic = 'logout' ORDER BY id"


@dataclass
class Receiver:
    """A client's server. It answers with `answers`, one after the other, the last one for ever."""

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [200])
    got: list[tuple[str, dict[str, str], dict[str, list[str]]]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    trickle: bool = False

    def token(self, number: int = -1) -> str:
        (token,) = self.got[number][2]["logout_token"]
        return token


@contextmanager
def receiver() -> Iterator[Receiver]:
    state = Receiver()
    state.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            state.got.append((self.path, dict(self.headers), parse_qs(body)))
            state.hold.wait(30)
            status = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            if state.trickle:
                return self._trickle()
            self.send_response(status)
            if status in (302, 303, 307, 308):
                self.send_header("Location", f"{state.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def do_GET(self) -> None:
            state.got.append((f"GET {self.path}", {}, {}))
            self.send_error(404)

        def _trickle(self) -> None:
            """A status line that goes on and on, each piece within any time limit per operation."""
            self.wfile.write(b"HTTP/1.0 200 O")
            try:
                for _ in range(600):
                    self.wfile.write(b"K")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                state.hold.set()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def listening() -> Iterator[Receiver]:
    with receiver() as state:
        yield state


@pytest.fixture(autouse=True)
def _empty_outbox(rows: Callable[..., list[Any]]) -> None:
    rows("DELETE FROM outbox WHERE topic = 'logout'")


@pytest.fixture
def party(new_third_party: Callable[..., ThirdParty], listening: Receiver) -> ThirdParty:
    """An app whose server listens."""
    return new_third_party(backchannel_logout_uri=f"{listening.url}/logout?kumiai=1")


Use = Callable[..., str]


@pytest.fixture
def use(app: Flask, rows: Callable[..., list[Any]]) -> Use:
    """Has a member's sessions used at a client, as its sign-in there would; returns the id of the newest."""

    def make(member: Member, party: ThirdParty) -> str:
        found = rows("SELECT id FROM member_session WHERE member_id = :id ORDER BY created_at", id=member.id)
        with app.app_context(), transaction() as session:
            for (session_id,) in found:
                session.add(SessionClient(session_id=session_id, client_id=party.id))
        return str(found[-1][0])

    return make


def sign_out(member: Member, **form: str) -> None:
    page = member.browser.get("/logout")
    assert member.browser.post("/logout", data={**hidden(page), **form}).status_code == 303


def deliver_all(app: Flask, settings: Settings) -> int:
    """Let the worker deliver what is due; returns how many messages it took."""
    taken = 0
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        while worker_for_clients(app, settings).deliver_one(connection):
            taken += 1
    return taken


def claims_of(app: Flask, token: str, *, alg: str = "ES256") -> dict[str, Any]:
    """What a logout token says, once its signature is checked with the published keys."""
    published = KeySet.import_key_set(app.test_client().get("/oauth/jwks.json").get_json())
    decoded = jwt.decode(token, published, algorithms=[alg])
    assert decoded.header["typ"] == "logout+jwt"
    return dict(decoded.claims)


def test_a_client_is_told_who_and_which_session(
    app: Flask, settings: Settings, party: ThirdParty, member: Member, listening: Receiver, use: Use
) -> None:
    sid = use(member, party)
    sign_out(member)
    before = int(time.time())
    assert deliver_all(app, settings) == 1

    ((path, headers, form),) = listening.got
    assert path == "/logout?kumiai=1"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Host"] == listening.url.removeprefix("http://")
    assert form.keys() == {"logout_token"}
    claims = claims_of(app, listening.token())
    assert before <= claims["iat"] <= int(time.time())
    assert claims["exp"] - claims["iat"] == 120
    assert claims["jti"]
    assert {name: claims[name] for name in claims if name not in ("iat", "exp", "jti")} == {
        "iss": settings.issuer_url,
        "aud": party.id,
        "sub": str(member.id),
        "sid": sid,
        "events": {EVENT: {}},
    }


def test_the_session_it_hears_of_is_the_one_in_its_id_token(
    app: Flask, settings: Settings, party: ThirdParty, member: Member, listening: Receiver
) -> None:
    id_token = party.tokens(member, scope="openid", ticked=[])["id_token"]
    published = KeySet.import_key_set(app.test_client().get("/oauth/jwks.json").get_json())
    signed_in = jwt.decode(id_token, published, algorithms=["ES256"]).claims
    sign_out(member)
    assert deliver_all(app, settings) == 1
    told = claims_of(app, listening.token())
    assert {name: told[name] for name in ("iss", "aud", "sub", "sid")} == {
        name: signed_in[name] for name in ("iss", "aud", "sub", "sid")
    }


@pytest.mark.parametrize("alg", ["PS256", "EdDSA"])
def test_it_is_signed_as_the_clients_id_tokens_are(
    app: Flask,
    settings: Settings,
    member: Member,
    new_third_party: Callable[..., ThirdParty],
    listening: Receiver,
    use: Use,
    alg: str,
) -> None:
    use(member, new_third_party(backchannel_logout_uri=f"{listening.url}/", id_token_alg=alg))
    sign_out(member)
    assert deliver_all(app, settings) == 1
    assert claims_of(app, listening.token(), alg=alg)["sub"] == str(member.id)


def test_it_is_no_id_token(
    app: Flask, settings: Settings, party: ThirdParty, member: Member, listening: Receiver, use: Use
) -> None:
    """Section 4: nobody signs in, or out, with it."""
    use(member, party)
    sign_out(member)
    deliver_all(app, settings)
    assert "nonce" not in claims_of(app, listening.token())
    answer = member.browser.get("/oauth/logout", query_string={"id_token_hint": listening.token()})
    assert answer.status_code == 400


class TestWhoIsTold:
    def test_each_client_of_the_session_once_and_no_other(
        self,
        app: Flask,
        settings: Settings,
        party: ThirdParty,
        member: Member,
        new_third_party: Callable[..., ThirdParty],
        listening: Receiver,
        use: Use,
    ) -> None:
        second = new_third_party(backchannel_logout_uri=f"{listening.url}/second")
        new_third_party(backchannel_logout_uri=f"{listening.url}/never_used")
        for client in (party, second, new_third_party()):
            use(member, client)
        form = hidden(member.browser.get("/logout"))
        for _ in range(2):
            member.browser.post("/logout", data=form)
        assert deliver_all(app, settings) == 2
        assert {claims_of(app, listening.token(n))["aud"] for n in range(2)} == {party.id, second.id}

    def test_only_of_the_session_that_ended(
        self, app: Flask, settings: Settings, party: ThirdParty, member: Member, listening: Receiver, use: Use
    ) -> None:
        use(member, party)
        elsewhere = Member(id=member.id, browser=app.test_client())
        sign_in(app, elsewhere.browser, member.id)
        sign_out(elsewhere)
        assert deliver_all(app, settings) == 0

    def test_of_every_session_when_the_member_signs_out_everywhere(
        self, app: Flask, settings: Settings, party: ThirdParty, member: Member, listening: Receiver, use: Use
    ) -> None:
        sign_in(app, app.test_client(), member.id)
        use(member, party)
        sign_out(member, sessions="all")
        assert deliver_all(app, settings) == 2
        assert len({claims_of(app, listening.token(n))["sid"] for n in range(2)}) == 2

    def test_when_the_account_is_suspended(
        self, app: Flask, settings: Settings, party: ThirdParty, member: Member, listening: Receiver, use: Use
    ) -> None:
        sid = use(member, party)
        with app.app_context(), transaction():
            suspend_member(member.id)
        assert deliver_all(app, settings) == 1
        assert claims_of(app, listening.token())["sid"] == sid

    def test_when_a_client_asked_for_it(
        self, app: Flask, settings: Settings, party: ThirdParty, member: Member, listening: Receiver, use: Use
    ) -> None:
        use(member, party)
        page = member.browser.get(f"/oauth/logout?client_id={party.id}")
        member.browser.post(f"/oauth/logout/confirmed?client_id={party.id}", data=hidden(page))
        assert deliver_all(app, settings) == 1

    def test_when_another_member_signs_in_with_the_same_browser(
        self,
        app: Flask,
        settings: Settings,
        party: ThirdParty,
        member: Member,
        new_member: Callable[..., Member],
        use: Use,
    ) -> None:
        use(member, party)
        with app.test_request_context("/", headers=cookies_of(member)), transaction():
            sessions.start_session(member_id=new_member().id)
        assert deliver_all(app, settings) == 1

    def test_nobody_when_the_same_member_signs_in_afresh(
        self,
        app: Flask,
        settings: Settings,
        party: ThirdParty,
        member: Member,
        use: Use,
        rows: Callable[..., list[Any]],
    ) -> None:
        """A client that wants a fresh sign-in must not sign the member out of all the others. The `sid` stays."""
        sid = use(member, party)
        old = cookies_of(member)
        with app.test_request_context("/", headers=old), transaction():
            sessions.start_session(member_id=member.id)
        assert deliver_all(app, settings) == 0
        assert rows("SELECT CAST(id AS text), revoked_at FROM member_session WHERE member_id = :id", id=member.id) == [
            (sid, None)
        ]
        with app.test_request_context("/", headers=old):
            assert sessions.current_member() is None, "what was in the cookie before is worth nothing"

    def test_nobody_when_ending_the_session_failed(
        self, app: Flask, settings: Settings, party: ThirdParty, member: Member, use: Use
    ) -> None:
        use(member, party)
        with app.app_context(), pytest.raises(ZeroDivisionError), transaction():
            suspend_member(member.id)
            raise ZeroDivisionError
        assert deliver_all(app, settings) == 0

    def test_a_client_that_is_stopped_or_stopped_listening_meanwhile_is_not(
        self,
        app: Flask,
        settings: Settings,
        party: ThirdParty,
        member: Member,
        new_third_party: Callable[..., ThirdParty],
        listening: Receiver,
        use: Use,
        rows: Callable[..., list[Any]],
    ) -> None:
        deaf = new_third_party(backchannel_logout_uri=f"{listening.url}/deaf")
        for client in (party, deaf):
            use(member, client)
        sign_out(member)
        rows("UPDATE oauth_client SET status = 'revoked' WHERE id = :id", id=party.id)
        rows("UPDATE oauth_client SET backchannel_logout_uri = NULL WHERE id = :id", id=deaf.id)
        assert deliver_all(app, settings) == 2
        assert listening.got == []
        assert {row.state for row in rows(EVERYTHING)} == {"given_up"}


def cookies_of(member: Member) -> dict[str, str]:
    cookie = member.browser.get_cookie("kumiai_session")
    assert cookie
    return {"Cookie": f"kumiai_session={cookie.value}"}


@pytest.fixture
def signed_out(party: ThirdParty, member: Member, use: Use) -> str:
    """A member has signed out, and the client is to be told; the session's id."""
    sid = use(member, party)
    sign_out(member)
    return sid


class TestWhenTheClientDoesNotListen:
    @pytest.fixture
    def again(self, app: Flask, settings: Settings, rows: Callable[..., list[Any]]) -> Callable[[], int]:
        """The pause is over: the worker tries again."""

        def deliver() -> int:
            rows("UPDATE outbox SET due_at = now() WHERE topic = 'logout' AND state = 'waiting'")
            return deliver_all(app, settings)

        return deliver

    @pytest.mark.parametrize("status", [200, 204])
    def test_taken(
        self, signed_out: str, listening: Receiver, again: Callable[[], int], rows: Callable[..., Any], status: int
    ) -> None:
        listening.answers = [status]
        assert (again(), again()) == (1, 0)
        ((_, state, attempts, _),) = rows(EVERYTHING)
        assert (state, attempts) == ("delivered", 1)

    @pytest.mark.parametrize("status", [500, 503, 404, 401, 201, 429])
    def test_it_is_told_again_until_it_takes_it(
        self,
        app: Flask,
        signed_out: str,
        listening: Receiver,
        again: Callable[[], int],
        rows: Callable[..., Any],
        status: int,
    ) -> None:
        listening.answers = [status, 200]
        assert again() == 1
        ((message_id, state, _, error),) = rows(EVERYTHING)
        assert (state, error) == ("waiting", "NotTaken")
        assert (again(), again()) == (1, 0)
        assert [row.state for row in rows(EVERYTHING)] == ["delivered"]
        first, second = (claims_of(app, listening.token(number)) for number in range(2))
        assert first["jti"] == second["jti"] == str(message_id), "a client may know the second for what it is"
        assert first["sid"] == second["sid"] == signed_out

    def test_a_late_try_is_signed_anew(
        self,
        app: Flask,
        signed_out: str,
        listening: Receiver,
        again: Callable[[], int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        listening.answers = [500, 200]
        again()
        late = clock.now() + timedelta(minutes=10)
        monkeypatch.setattr(clock, "now", lambda: late)
        again()
        first, second = (claims_of(app, listening.token(number)) for number in range(2))
        assert second["iat"] >= first["exp"]

    def test_400_is_for_good(
        self, signed_out: str, listening: Receiver, again: Callable[[], int], rows: Callable[..., Any]
    ) -> None:
        listening.answers = [400, 200]
        assert (again(), again()) == (1, 0)
        ((_, state, attempts, error),) = rows(EVERYTHING)
        assert (state, attempts, error) == ("given_up", 1, "Refused")

    @pytest.mark.parametrize("status", [302, 303, 307, 308])
    def test_a_redirect_is_not_followed(
        self, signed_out: str, listening: Receiver, again: Callable[[], int], rows: Callable[..., Any], status: int
    ) -> None:
        listening.answers = [status]
        assert again() == 1
        assert [path for path, _, _ in listening.got] == ["/logout?kumiai=1"]
        assert [row.last_error for row in rows(EVERYTHING)] == ["NotTaken"]

    def test_it_is_away(
        self,
        party: ThirdParty,
        signed_out: str,
        listening: Receiver,
        again: Callable[[], int],
        rows: Callable[..., Any],
    ) -> None:
        nobody, here = f"http://127.0.0.1:{free_port()}/", f"{listening.url}/back"
        rows("UPDATE oauth_client SET backchannel_logout_uri = :uri WHERE id = :id", uri=nobody, id=party.id)
        assert again() == 1
        assert [row.last_error for row in rows(EVERYTHING)] == ["ConnectionRefusedError"]
        rows("UPDATE oauth_client SET backchannel_logout_uri = :uri WHERE id = :id", uri=here, id=party.id)
        assert again() == 1
        assert [path for path, _, _ in listening.got] == ["/back"]

    def test_it_is_slow(
        self,
        signed_out: str,
        listening: Receiver,
        again: Callable[[], int],
        rows: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(outbound, "TIMEOUT_S", 0.3)
        listening.hold.clear()
        assert again() == 1
        assert [row.last_error for row in rows(EVERYTHING)] == ["TimeoutError"]
        listening.hold.set()
        assert again() == 1
        assert [row.state for row in rows(EVERYTHING)] == ["delivered"]

    def test_it_trickles(
        self,
        signed_out: str,
        listening: Receiver,
        again: Callable[[], int],
        rows: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Each piece comes in time, the whole does not: the connection is cut."""
        monkeypatch.setattr(outbound, "DEADLINE_S", 0.5)
        listening.trickle = True
        started = time.monotonic()
        assert again() == 1
        assert time.monotonic() - started < 10
        assert [(row.state, row.last_error) for row in rows(EVERYTHING)] == [("waiting", "TimeoutError")]

    def test_it_is_given_up_in_the_end(
        self, signed_out: str, listening: Receiver, again: Callable[[], int], rows: Callable[..., Any]
    ) -> None:
        listening.answers = [500]
        for _ in range(leases.MAX_ATTEMPTS):
            assert again() == 1
        assert again() == 0
        assert [(row.state, row.last_error) for row in rows(EVERYTHING)] == [("given_up", "NotTaken")]

    def test_two_workers_tell_it_once(
        self, app: Flask, settings: Settings, signed_out: str, listening: Receiver
    ) -> None:
        listening.hold.clear()
        with ThreadPoolExecutor(2) as both:
            taken = [both.submit(deliver_all, app, settings) for _ in range(2)]
            listening.hold.set()
            assert sum(each.result() for each in taken) == 1
        assert len(listening.got) == 1


class TestNotIntoOurOwnNetwork:
    @pytest.mark.parametrize(
        "url",
        [
            "https://127.0.0.1/",
            "https://localhost/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://10.1.2.3/",
            "https://192.168.0.1:8443/",
            "https://172.16.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fec0::1]/",
            "https://[::7f00:1]/",
            "https://[::ffff:0:7f00:1]/",
            "https://[64:ff9b:1::7f00:1]/",
            "https://224.0.0.1/",
            "https://0.0.0.0/",
            "https://2130706433/",
            "https://0x7f.1/",
            "http://app.example/",
            "ftp://app.example/",
            "https:///x",
            "x",
        ],
    )
    def test_production_speaks_to_public_addresses_by_https_only(self, url: str) -> None:
        with pytest.raises(outbound.AddressNotPublic):
            outbound.post_form(url, {"logout_token": "x"}, public_only=True)

    def test_one_private_address_among_public_ones_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = [(2, 1, 6, "", ("93.184.215.14", 443)), (2, 1, 6, "", ("127.0.0.1", 443))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
        with pytest.raises(outbound.AddressNotPublic):
            outbound.post_form("https://rebound.example/", {}, public_only=True)

    def test_a_name_of_many_silent_addresses_is_given_up_after_a_few(
        self, monkeypatch: pytest.MonkeyPatch, listening: Receiver
    ) -> None:
        """Each may stay silent for seconds, and whoever owns the name says how many there are."""
        port, look_up = urlsplit(listening.url).port, socket.getaddrinfo
        many = [(2, 1, 6, "", (f"127.0.9.{n}", port)) for n in range(1, 10)] + [(2, 1, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *how, **more: many if host == "many.example" else look_up(host, *how, **more),
        )
        with pytest.raises(ConnectionRefusedError):
            outbound.post_form(f"http://many.example:{port}/", {}, public_only=False)
        assert listening.got == []

    @pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::808:808"])
    def test_public_ones_are_public(self, address: str) -> None:
        assert outbound.is_public(address)

    def test_nothing_leaves_towards_a_refused_address(
        self, app: Flask, settings: Settings, signed_out: str, listening: Receiver, rows: Callable[..., Any]
    ) -> None:
        assert deliver_all(app, replace(settings, environment="production")) == 1
        assert listening.got == []
        assert [row.last_error for row in rows(EVERYTHING)] == ["AddressNotPublic"]

    def test_a_certificate_nobody_vouches_for_is_refused(self, listening: Receiver) -> None:
        with pytest.raises(OSError, match="SSL"):
            outbound.post_form(listening.url.replace("http:", "https:"), {}, public_only=False)


class TestTheWorker:
    def test_a_real_one_tells_the_client_while_a_deaf_one_holds_up_no_mail(
        self,
        settings: Settings,
        signed_out: str,
        party: ThirdParty,
        listening: Receiver,
        rows: Callable[..., Any],
        tmp_path: Path,
    ) -> None:
        rows("UPDATE outbox SET state = 'given_up', payload_sealed = NULL WHERE topic <> 'logout'")
        listening.hold.clear()
        with worker_process(settings, log=tmp_path / "log") as process:
            until(lambda: bool(listening.got))
            rows(
                "INSERT INTO outbox (id, topic, payload_sealed) VALUES (gen_random_uuid(), 'mail', :sealed)",
                sealed=sealed(settings, {"to": "a@example.ac.jp", "subject": "s", "text": "t"}),
            )
            until(lambda: rows("SELECT state FROM outbox WHERE topic = 'mail' AND state = 'delivered'") != [])
            assert [row.state for row in rows(EVERYTHING)] == ["waiting"]
            listening.hold.set()
            until(lambda: [row.state for row in rows(EVERYTHING)] == ["delivered"])
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        log = (tmp_path / "log").read_text()
        assert "logout" in log
        assert listening.token() not in log
        assert signed_out not in log
        assert party.id not in log

    def test_its_log_names_nobody(
        self,
        app: Flask,
        settings: Settings,
        signed_out: str,
        member: Member,
        listening: Receiver,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        listening.answers = [500]
        with caplog.at_level(logging.DEBUG):
            deliver_all(app, settings)
        assert "not delivered (attempt 1): NotTaken" in caplog.text
        for secret in (listening.token(), signed_out, str(member.id)):
            assert secret not in caplog.text

    def test_what_waits_is_sealed(self, signed_out: str, member: Member, rows: Callable[..., Any]) -> None:
        ((payload,),) = rows("SELECT payload_sealed FROM outbox WHERE topic = 'logout'")
        assert signed_out.encode() not in payload
        assert str(member.id).encode() not in payload


def sealed(settings: Settings, said: dict[str, str]) -> bytes:
    return seal(settings.sealing_key, json.dumps(said).encode())


def until(condition: Callable[[], bool]) -> None:
    eventually(lambda: condition() or None)
