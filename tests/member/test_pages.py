"""Signing in and out, as a browser does it."""

from __future__ import annotations

import html
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from statistics import median
from threading import Barrier
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import ColumnElement, event, func, select, update
from werkzeug.test import TestResponse

from app.db import autocommit, transaction
from app.ids import keyed_hash
from app.limits import FloodCounter
from app.member import service, sessions
from app.member.models import Member, MemberSession, VerificationCode
from app.outbox import Outbox
from app.settings import Settings
from tests.live import free_port
from tests.member.conftest import PASSWORD, Person, other_code, post, register

LastCode = Callable[[str], str]
Mails = Callable[[str], list[dict[str, str]]]

NOBODY = "nobody@example.ac.jp"


def give_password(client: FlaskClient, person: Person, *, path: str = "/login") -> TestResponse:
    return post(client, path, email=person.email, password=PASSWORD)


def sign_in(client: FlaskClient, person: Person, last_code: LastCode) -> TestResponse:
    sent = give_password(client, person)
    return post(client, sent.location, code=last_code(person.email))


def without_token(page: TestResponse) -> str:
    return re.sub(r'name="csrf_token" value="[^"]+"', "", page.text)


def csrf_token(page: TestResponse) -> str:
    return page.text.split('name="csrf_token" value="')[1].split('"')[0]


def action(page: TestResponse) -> str:
    """Where the page's first form goes."""
    return html.unescape(page.text.split('method="post" action="')[1].split('"')[0])


def target(page: TestResponse) -> str:
    """Where the page sends the browser by itself."""
    return html.unescape(page.text.split('content="0;url=')[1].split('"')[0])


def is_signed_in(client: FlaskClient) -> bool:
    return client.get("/login/done").status_code == 200


def code_row(app: Flask, person: Person) -> VerificationCode:
    with app.app_context(), transaction() as session:
        row = session.scalars(select(VerificationCode).where(VerificationCode.member_id == person.id)).one()
        session.expunge(row)
        return row


def change(app: Flask, statement: object) -> None:
    with app.app_context(), transaction() as session:
        session.execute(statement)  # type: ignore[call-overload]


class TestSignIn:
    def test_password_then_code_then_session(self, client: FlaskClient, person: Person, last_code: LastCode) -> None:
        sent = post(client, "/login?next=/language/ja", email=f" {person.email.upper()}", password=PASSWORD)
        assert (sent.status_code, sent.location) == (303, "/login/code?next=/language/ja")
        page = client.get(sent.location).text
        assert "k•••••@example.ac.jp" in page
        assert person.email not in page
        assert 'inputmode="numeric" autocomplete="one-time-code"' in page
        assert not is_signed_in(client)
        given = post(client, sent.location, code=last_code(person.email))
        assert (given.status_code, given.location) == (303, "/login/done?next=/language/ja")
        assert target(client.get(given.location)) == "/language/ja"
        assert "生協 花子" in client.get("/logout").text

    def test_without_next_it_goes_to_the_member_page(
        self, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        assert target(client.get(sign_in(client, person, last_code).location)) == "http://localhost:8001"

    def test_the_cookie_is_for_this_site_and_not_for_scripts(
        self, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        cookie = sign_in(client, person, last_code).headers["Set-Cookie"]
        assert cookie.startswith("kumiai_session=")
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie

    def test_only_a_hash_of_the_session_is_stored(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        sign_in(client, person, last_code)
        with client.session_transaction() as cookie:
            secret = cookie["sid"]
        with app.app_context(), transaction() as session:
            row = session.scalars(select(MemberSession).where(MemberSession.member_id == person.id)).one()
            assert secret.encode() not in row.secret_hash
            assert row.expires_at - row.auth_time == timedelta(hours=12)

    def test_the_session_changes_at_every_sign_in_and_the_former_one_ends(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        sign_in(client, person, last_code)
        former = client.get_cookie("kumiai_session")
        assert former
        sign_in(client, person, last_code)
        assert is_signed_in(client)
        replay = app.test_client()
        replay.set_cookie("kumiai_session", former.value)
        assert not is_signed_in(replay)

    def test_a_cookie_planted_before_sign_in_is_worth_nothing_after(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        client.get("/login")
        planted = client.get_cookie("kumiai_session")
        assert planted
        sign_in(client, person, last_code)
        attacker = app.test_client()
        attacker.set_cookie("kumiai_session", planted.value)
        assert not is_signed_in(attacker)

    def test_the_mail_is_in_the_members_language_and_expires_with_the_code(
        self, app: Flask, client: FlaskClient, mails: Mails
    ) -> None:
        person = register(app, locale="en")
        give_password(client, person)
        (mail,) = mails(person.email)
        assert mail["subject"] == "Your code to sign in to Test Co-op"
        assert "within 10 minutes" in mail["text"]
        with app.app_context(), transaction() as session:
            expiries = set(session.scalars(select(Outbox.expires_at).where(Outbox.state == "waiting")))
        assert code_row(app, person).expires_at in expiries


class TestPassword:
    def test_unknown_address_and_wrong_password_look_the_same(self, client: FlaskClient, person: Person) -> None:
        wrong = post(client, "/login", email=person.email, password="ちがう")
        unknown = post(client, "/login", email=NOBODY, password="ちがう")
        assert wrong.status_code == unknown.status_code == 403
        assert "メールアドレスまたはパスワードが違います" in wrong.text
        assert without_token(wrong).replace(person.email, "…") == without_token(unknown).replace(NOBODY, "…")

    def test_unknown_address_and_wrong_password_take_the_same_time(self, app: Flask, person: Person) -> None:
        def seconds(email: str) -> float:
            started = time.thread_time()  # what other threads and other programs do meanwhile is not in it
            with app.app_context(), transaction(), pytest.raises(service.InvalidCredentials):
                service.authenticate(email=email, password="ちがう")
            return time.thread_time() - started

        wrong = median(seconds(person.email) for _ in range(5))
        unknown = median(seconds(NOBODY) for _ in range(5))
        assert 0.5 < unknown / wrong < 2

    def test_a_suspended_member_is_told_so_only_with_the_right_password(
        self, app: Flask, client: FlaskClient, person: Person, mails: Mails
    ) -> None:
        with app.app_context(), transaction():
            service.suspend(person.id)
        assert "このアカウントは停止されています" in give_password(client, person).text
        assert "停止" not in post(client, "/login", email=person.email, password="ちがう").text
        assert mails(person.email) == []

    @pytest.mark.parametrize(
        ("form", "said"),
        [
            ({"password": "x"}, "メールアドレスを入力してください"),
            ({"email": "", "password": "x"}, "メールアドレスを入力してください"),
            ({"email": "a\0b@example.ac.jp", "password": "x"}, "メールアドレスを入力してください"),
            ({"email": "a" * 255, "password": "x"}, "メールアドレスを入力してください"),
            ({"email": "a@example.ac.jp"}, "パスワードを入力してください"),
            ({"email": "a@example.ac.jp", "password": "x" * 1025}, "パスワードを入力してください"),
        ],
    )
    def test_a_field_that_cannot_be_used_is_named(self, client: FlaskClient, form: dict[str, str], said: str) -> None:
        answer = post(client, "/login", **form)
        assert answer.status_code == 422
        assert said in answer.text

    def test_without_the_forms_token_nothing_happens(self, client: FlaskClient, person: Person, mails: Mails) -> None:
        answer = client.post("/login", data={"email": person.email, "password": PASSWORD})
        assert answer.status_code == 400
        assert mails(person.email) == []


@pytest.mark.usefixtures("still_clock")
class TestGuessing:
    @pytest.mark.parametrize("known", [True, False], ids=["member", "unknown address"])
    def test_it_is_stopped_for_a_while(self, app: Flask, person: Person, known: bool) -> None:
        guesser, email = browser_at(app, "192.0.2.1"), person.email if known else f"x{person.email}"
        for _ in range(10):
            assert post(guesser, "/login", email=email, password="ちがう").status_code == 403
        refused = post(guesser, "/login", email=f" {email.upper()}", password=PASSWORD)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["Retry-After"]) <= 900
        assert post(guesser, "/login", email="b" + email, password="ちがう").status_code == 403

    def test_it_locks_nobody_else_out(self, app: Flask, person: Person) -> None:
        guesser = browser_at(app, "192.0.2.2")
        answers = [post(guesser, "/login", email=person.email, password="ちがう").status_code for _ in range(30)]
        assert answers == [403] * 10 + [429] * 20
        assert give_password(browser_at(app, "198.51.100.2"), person).status_code == 303
        assert counted(app, "sign_in_email", person.email) == 10, "what is refused unread is no try"

    def test_a_right_password_does_not_fill_a_mailbox(self, app: Flask, person: Person, mails: Mails) -> None:
        browser = browser_at(app, "192.0.2.6")
        answers = [give_password(browser, person).status_code for _ in range(22)]
        assert answers == [303] * 20 + [429] * 2
        assert len(mails(person.email)) == 20

    def test_signing_in_is_no_failure(self, app: Flask, person: Person) -> None:
        browser = browser_at(app, "192.0.2.3")
        assert {give_password(browser, person).status_code for _ in range(12)} == {303}
        for door, caller in (
            ("sign_in", f"{person.email} 192.0.2.3"),
            ("sign_in_email", person.email),
            ("sign_in_network", "192.0.2.3"),
        ):
            assert counted(app, door, caller) == 0

    def test_guesses_at_the_same_moment_do_not_get_past_together(self, app: Flask, person: Person) -> None:
        browsers = [browser_at(app, "192.0.2.4") for _ in range(20)]
        tokens = [csrf_token(browser.get("/login")) for browser in browsers]
        barrier = Barrier(20)

        def guess(number: int) -> int:
            form = {"csrf_token": tokens[number], "email": person.email, "password": "ちがう"}
            barrier.wait(30)
            return browsers[number].post("/login", data=form).status_code

        with ThreadPoolExecutor(20) as threads:
            assert Counter(threads.map(guess, range(20))) == {403: 10, 429: 10}

    @pytest.mark.parametrize(
        ("door", "limit", "within_s"),
        [("sign_in_email", 100, 3600), ("sign_in_network", 300, 600)],
        ids=["many networks, one address", "one network, many addresses"],
    )
    def test_guessing_from_all_sides_is_stopped_too(
        self, app: Flask, person: Person, door: str, limit: int, within_s: int
    ) -> None:
        network = f"2001:db8:{secrets.randbelow(65_536):x}:{secrets.randbelow(65_536):x}::/64"
        caller = person.email if door == "sign_in_email" else network
        guesser = browser_at(app, network.replace("/64", "5"))
        post(guesser, "/login", email=person.email, password="ちがう")
        set_count(app, door, caller, limit)
        refused = post(guesser, "/login", email=person.email, password="ちがう")
        assert refused.status_code == 429
        assert 0 < int(refused.headers["Retry-After"]) <= within_s
        assert counted(app, "sign_in", f"{person.email} {network}") == 1, "only what was read is counted"


def browser_at(app: Flask, address: str) -> FlaskClient:
    """A browser whose requests come from a network address."""
    browser = app.test_client()
    browser.environ_base["REMOTE_ADDR"] = address
    return browser


def flood_counter(app: Flask, door: str, caller: str) -> ColumnElement[bool]:
    key = app.extensions["kumiai.settings"].secret_key
    hashed = keyed_hash(key, purpose=f"flood:{door}", value=caller)
    return (FloodCounter.door == door) & (FloodCounter.caller_hash == hashed)


def counted(app: Flask, door: str, caller: str) -> int:
    with app.app_context(), transaction() as session:
        return session.scalars(select(FloodCounter.count).where(flood_counter(app, door, caller))).one()


def set_count(app: Flask, door: str, caller: str, count: int) -> None:
    change(app, update(FloodCounter).where(flood_counter(app, door, caller)).values(count=count))


class TestCode:
    @pytest.mark.parametrize("typed", ["{0} {1}", " {0}{1}\n", "{0}-{1}", "full-width"])
    def test_it_is_read_the_way_people_type_it(
        self, client: FlaskClient, person: Person, last_code: LastCode, typed: str
    ) -> None:
        sent = give_password(client, person)
        digits = last_code(person.email)
        full_width = digits.translate({ord("0") + n: ord("０") + n for n in range(10)})
        code = full_width if typed == "full-width" else typed.format(digits[:3], digits[3:])
        assert post(client, sent.location, code=code).status_code == 303

    @pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "12345\0", "١٢٣٤٥٦x", "1" * 5000])
    def test_what_is_not_six_digits_is_said_and_costs_no_try(
        self, app: Flask, client: FlaskClient, person: Person, typed: str
    ) -> None:
        sent = give_password(client, person)
        answer = post(client, sent.location, code=typed)
        assert answer.status_code == 422
        assert "6桁の数字を入力してください" in answer.text
        assert code_row(app, person).tries == 0

    def test_a_wrong_code_stays_counted_after_the_error(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        sent = give_password(client, person)
        wrong = other_code(last_code(person.email))
        for tries in (1, 2):
            answer = post(client, sent.location, code=wrong)
            assert answer.status_code == 422
            assert f"残りの入力回数：{5 - tries}回" in answer.text
            assert code_row(app, person).tries == tries

    def test_after_five_tries_only_a_new_code_helps(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        sent = give_password(client, person)
        digits = last_code(person.email)
        for _ in range(5):
            last = post(client, sent.location, code=other_code(digits))
        assert last.status_code == 422
        assert "残りの入力回数" not in last.text
        assert "「新しいコードを送信」を押して" in last.text
        assert code_row(app, person).tries == 5
        assert "この確認コードはもう使えません" in post(client, sent.location, code=digits).text
        resent = post(client, "/login/code/resend")
        assert "新しい確認コードを送信しました" in client.get(resent.location).text
        assert post(client, resent.location, code=last_code(person.email)).status_code == 303

    def test_a_new_code_replaces_the_former_one(self, client: FlaskClient, person: Person, last_code: LastCode) -> None:
        sent = give_password(client, person)
        former = last_code(person.email)
        post(client, "/login/code/resend?next=/docs")
        if former != last_code(person.email):  # one time in a million they are the same
            assert post(client, sent.location, code=former).status_code == 422
        assert post(client, sent.location, code=last_code(person.email)).status_code == 303

    def test_a_sign_in_elsewhere_makes_this_browsers_code_unusable(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        sent = give_password(client, person)
        give_password(app.test_client(), person)
        answer = post(client, sent.location, code=last_code(person.email))
        assert "この確認コードはもう使えません" in answer.text

    def test_it_works_once(self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode) -> None:
        sent = give_password(client, person)
        waiting = client.get_cookie("kumiai_session")
        assert waiting
        assert post(client, sent.location, code=last_code(person.email)).status_code == 303
        replay = app.test_client()
        replay.set_cookie("kumiai_session", waiting.value)
        assert "この確認コードはもう使えません" in post(replay, sent.location, code=last_code(person.email)).text

    def test_it_works_for_ten_minutes(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        sent = give_password(client, person)
        row = code_row(app, person)
        assert abs(row.expires_at - row.created_at - timedelta(minutes=10)) < timedelta(seconds=5)
        change(app, update(VerificationCode).where(VerificationCode.id == row.id).values(expires_at=func.now()))
        assert post(client, sent.location, code=last_code(person.email)).status_code == 422

    def test_suspended_between_password_and_code(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        sent = give_password(client, person)
        with app.app_context(), transaction():
            service.suspend(person.id)
        assert "停止されています" in post(client, sent.location, code=last_code(person.email)).text
        assert "停止されています" in post(client, "/login/code/resend").text
        assert not is_signed_in(client)

    def test_the_code_page_needs_the_password_first(self, client: FlaskClient) -> None:
        answer = client.get("/login/code?next=/docs")
        assert (answer.status_code, answer.location) == (303, "/login?next=/docs")

    @pytest.mark.parametrize("path", ["/login/code", "/login/code/resend"])
    def test_the_password_holds_for_half_an_hour(self, client: FlaskClient, person: Person, path: str) -> None:
        give_password(client, person)
        token = csrf_token(client.get("/login/code"))
        with client.session_transaction() as cookie:
            assert 1_790 < cookie["sign_in"]["until_s"] - time.time() <= 1_800
            cookie["sign_in"] = {**cookie["sign_in"], "until_s": time.time() - 1}
        answer = client.post(path, data={"csrf_token": token, "code": "000000"})
        assert (answer.status_code, answer.location) == (303, "/login")

    @pytest.mark.usefixtures("still_clock")
    def test_codes_are_not_sent_without_end(self, client: FlaskClient, person: Person, mails: Mails) -> None:
        give_password(client, person)
        answers = [post(client, "/login/code/resend").status_code for _ in range(6)]
        assert answers == [303] * 5 + [429]
        assert len(mails(person.email)) == 6

    @pytest.mark.usefixtures("still_clock")
    @pytest.mark.parametrize(("door", "by_network"), [("code_entry", False), ("code_entry_network", True)])
    def test_only_wrong_codes_are_counted_and_too_many_are_stopped(
        self, app: Flask, person: Person, last_code: LastCode, door: str, by_network: bool
    ) -> None:
        address = f"203.0.113.{1 + by_network}"
        browser, caller = browser_at(app, address), address if by_network else str(person.id)
        sent = give_password(browser, person)
        post(browser, sent.location, code=other_code(last_code(person.email)))
        assert counted(app, door, caller) == 1
        set_count(app, door, caller, 99)
        assert post(browser, sent.location, code=last_code(person.email)).status_code == 303
        assert counted(app, door, caller) == 99
        sent = give_password(browser, person)
        post(browser, sent.location, code=other_code(last_code(person.email)))
        assert post(browser, sent.location, code=last_code(person.email)).status_code == 429
        elsewhere = browser_at(app, "198.51.100.7")
        sent = give_password(elsewhere, person)
        answer = post(elsewhere, sent.location, code=last_code(person.email))
        assert answer.status_code == (303 if by_network else 429)


class TestNext:
    NASTY = (
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "\t//evil.example",
        "/\n/evil.example",
        "/%0a\r\nLocation: https://evil.example",
        "/a\\..\\evil",
        "evil.example",
        "",
        "/\0",
        "/\x7f/evil.example",
    )

    @pytest.mark.parametrize("nasty", NASTY)
    def test_it_never_leads_to_another_site(
        self, client: FlaskClient, person: Person, last_code: LastCode, nasty: str
    ) -> None:
        query = {"next": nasty}
        assert action(client.get("/login", query_string=query)) == "/login"
        sign_in(client, person, last_code)
        assert target(client.get("/login/done", query_string=query)) == "http://localhost:8001"

    def test_an_authorization_request_comes_through_unchanged(
        self, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        asked = "/oauth/authorize?state=" + "a%26b" * 200 + "&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&x=%E3%81%82"
        sent = give_password(client, person, path=action(client.get("/login", query_string={"next": asked})))
        given = post(client, sent.location, code=last_code(person.email))
        assert target(client.get(given.location)) == asked


class TestSession:
    def test_a_stranger_is_sent_to_sign_in_and_back(self, client: FlaskClient) -> None:
        answer = client.get("/login/done?next=/docs%3Fa%3Db")
        assert answer.status_code == 303
        assert answer.location == "/login?next=/login/done?next%3D/docs%253Fa%253Db"

    def test_it_is_read_with_one_query_per_request(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        sign_in(client, person, last_code)
        seen: list[str] = []
        with app.app_context():
            engine = autocommit()

        def remember(connection: object, cursor: object, statement: str, *rest: object) -> None:
            seen.append(statement)

        event.listen(engine, "before_cursor_execute", remember)
        try:
            client.get("/logout")
        finally:
            event.remove(engine, "before_cursor_execute", remember)
        assert len(seen) == 1

    @pytest.mark.parametrize("end", ["revoked", "suspended", "expired"])
    def test_it_can_be_ended_at_once(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode, end: str
    ) -> None:
        sign_in(client, person, last_code)
        with app.app_context(), transaction() as session:
            if end == "revoked":
                sessions.revoke_all_sessions(person.id)
            elif end == "suspended":
                service.suspend(person.id)
            else:
                mine = MemberSession.member_id == person.id
                session.execute(update(MemberSession).where(mine).values(expires_at=func.now()))
        assert not is_signed_in(client)

    def test_what_a_session_knows(self, app: Flask, person: Person) -> None:
        with app.test_request_context("/"):
            with transaction():
                sessions.start_session(member_id=person.id)
            member = sessions.current_member()
        assert member
        assert (member.id, member.email, member.name, member.locale) == (person.id, person.email, "生協 花子", "ja")
        assert abs(member.auth_time.timestamp() - time.time()) < 60

    def test_a_cookie_of_another_server_is_no_session(self, client: FlaskClient) -> None:
        client.set_cookie("kumiai_session", "eyJzaWQiOiJrc3NfeCJ9.aQ.x")
        assert not is_signed_in(client)


class TestSignOut:
    def test_it_asks_first_and_then_ends_the_session(
        self, app: Flask, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        sign_in(client, person, last_code)
        stolen = client.get_cookie("kumiai_session")
        assert stolen
        assert "ログアウトしますか" in client.get("/logout").text
        assert is_signed_in(client)
        answer = post(client, "/logout")
        assert (answer.status_code, answer.location) == (303, "/logout")
        assert "ログアウト済みです" in client.get("/logout").text
        replay = app.test_client()
        replay.set_cookie("kumiai_session", stolen.value)
        assert not is_signed_in(replay)

    def test_another_site_cannot_sign_a_member_out(
        self, client: FlaskClient, person: Person, last_code: LastCode
    ) -> None:
        sign_in(client, person, last_code)
        assert client.post("/logout").status_code == 400
        assert is_signed_in(client)


def test_while_the_database_is_away_the_page_speaks_of_no_balance(
    settings: Settings, new_app: Callable[[Settings], Flask]
) -> None:
    nowhere = replace(settings, database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/gone")
    answer = post(new_app(nowhere).test_client(), "/login", email="hanako@example.ac.jp", password=PASSWORD)
    assert answer.status_code == 503
    assert "ただいま処理できません" in answer.text
    assert "もう一度お試しください" in answer.text
    assert "残高" not in answer.text


def test_a_password_hash_of_old_parameters_is_renewed_at_sign_in(
    app: Flask, client: FlaskClient, person: Person
) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    change(app, update(Member).where(Member.id == person.id).values(password_hash=weak))
    assert give_password(client, person).location == "/login/code"
    assert "m=19456,t=2,p=1" in password_hash(app, person.id)
    assert give_password(client, person).location == "/login/code"


def password_hash(app: Flask, member_id: UUID) -> str:
    with app.app_context(), transaction() as session:
        return session.scalars(select(Member.password_hash).where(Member.id == member_id)).one()
