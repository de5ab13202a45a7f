"""A new password: what may be chosen, who must prove what, and what ends with the old one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from app import clock
from app.db import autocommit, transaction
from app.errors import DomainError
from app.ids import secret_hash
from app.member import codes, passwords, service, sessions
from app.member.errors import CodeUnusable, InvalidCredentials, PasswordGuessable, PasswordTooShort, WrongPassword
from app.member.models import Member, MemberSession
from app.oauth import account
from app.oauth.models import OAuthToken
from tests import factories
from tests.member.conftest import PASSWORD, Person, post

NEW = "きょうは雨、傘を忘れた"
Mails = Callable[[str], list[dict[str, str]]]
LastCode = Callable[[str], str]


def sign_in(browser: FlaskClient, person: Person, last_code: LastCode, *, password: str = PASSWORD) -> TestResponse:
    sent = post(browser, "/login", email=person.email, password=password)
    assert sent.status_code == 303, sent.text
    return post(browser, sent.location, code=last_code(person.email))


@pytest.fixture
def browser(client: FlaskClient, person: Person, last_code: LastCode) -> FlaskClient:
    """Signed in as `person`."""
    sign_in(client, person, last_code)
    return client


def change(browser: FlaskClient, *, current: str = PASSWORD, new: str = NEW, again: str | None = None) -> TestResponse:
    return post(browser, "/account/password", current=current, new=new, again=new if again is None else again)


def right(app: Flask, person: Person, password: str) -> bool:
    with app.app_context(), transaction():
        try:
            service.authenticate(email=person.email, password=password)
        except InvalidCredentials:
            return False
        return True


def is_signed_in(browser: FlaskClient) -> bool:
    return browser.get("/login/done").status_code == 200


def secret(browser: FlaskClient) -> str:
    with browser.session_transaction() as cookie:
        found: str = cookie["sid"]
        return found


def access_token(app: Flask, person: Person) -> bytes:
    """A token of an app that the member has allowed; its hash."""
    with app.app_context():
        client_id = factories.oauth_client().id
        return secret_hash(factories.access_token(member_id=person.id, client_id=client_id, scopes=["openid"]))


def test_the_new_one_counts_and_the_old_one_does_not(app: Flask, browser: FlaskClient, person: Person) -> None:
    done = change(browser)
    assert (done.status_code, done.location) == (303, "/account/password?changed=1")
    assert "パスワードを変更しました" in browser.get(done.location).text
    assert right(app, person, NEW)
    assert not right(app, person, PASSWORD)


def test_every_other_session_and_every_token_ends_and_this_browser_stays(
    app: Flask, browser: FlaskClient, person: Person, last_code: LastCode
) -> None:
    elsewhere, token, before = app.test_client(), access_token(app, person), secret(browser)
    sign_in(elsewhere, person, last_code)
    assert is_signed_in(elsewhere)
    with app.app_context(), transaction() as session:
        ids = set(session.scalars(select(MemberSession.id).where(MemberSession.member_id == person.id)))

    change(browser)

    assert is_signed_in(browser)
    assert not is_signed_in(elsewhere)
    assert secret(browser) != before, "a copy of the old cookie is worth nothing"
    with app.app_context(), transaction() as session:
        living = session.scalars(
            select(MemberSession).where(MemberSession.member_id == person.id, MemberSession.revoked_at.is_(None))
        ).one()
        assert living.id not in ids
        assert session.get_one(OAuthToken, token).revoked_at is not None


def test_signing_in_fresh_is_not_pretended(app: Flask, browser: FlaskClient, person: Person) -> None:
    """auth_time is when password and code were given; a password alone is less."""
    an_hour_ago = clock.now() - sessions.LIFE / 12
    with app.app_context(), transaction() as session:
        mine = MemberSession.member_id == person.id
        session.execute(update(MemberSession).where(mine).values(auth_time=an_hour_ago))
    change(browser)
    with app.app_context(), transaction() as session:
        living = session.scalars(select(MemberSession).where(mine, MemberSession.revoked_at.is_(None))).one()
        assert living.auth_time == an_hour_ago
        assert living.expires_at == an_hour_ago + sessions.LIFE


def test_a_mail_tells_the_member(browser: FlaskClient, person: Person, mails: Mails) -> None:
    change(browser)
    mail = mails(person.email)[-1]
    assert mail["subject"] == "【試験生協】パスワード変更のお知らせ"
    assert "お心当たりのない場合は" in mail["text"]
    assert NEW not in mail["text"]


def test_a_sign_in_half_way_with_the_old_one_does_not_come_through(
    app: Flask, browser: FlaskClient, person: Person, last_code: LastCode
) -> None:
    thief = app.test_client()
    sent = post(thief, "/login", email=person.email, password=PASSWORD)
    code = last_code(person.email)
    change(browser)
    assert post(thief, sent.location, code=code).status_code == 422
    assert not is_signed_in(thief)


def test_a_sign_in_half_way_with_the_old_one_gets_no_other_code(
    app: Flask, browser: FlaskClient, person: Person, mails: Mails
) -> None:
    """Neither by asking for one again, nor where the password is changed just before the first is sent."""
    thief = app.test_client()
    post(thief, "/login", email=person.email, password=PASSWORD)
    with app.app_context(), transaction():
        mark = service.mark_of_password(service.authenticate(email=person.email, password=PASSWORD))
    change(browser)
    sent = len(mails(person.email))

    answer = post(thief, "/login/code/resend")

    assert (answer.status_code, answer.location) == (303, "/login")
    with app.app_context(), pytest.raises(CodeUnusable), transaction():
        service.send_code(person.id, password_mark=mark)
    assert len(mails(person.email)) == sent


class TestRefused:
    @pytest.mark.parametrize(
        ("form", "said"),
        [
            ({"current": "ちがう"}, "現在のパスワードが違います"),
            ({"current": ""}, "現在のパスワードを入力してください"),
            ({"new": "", "again": ""}, "新しいパスワードを入力してください"),
            ({"again": "ちがう"}, "新しいパスワードと同じものを"),
            ({"new": "x" * 1_025}, "新しいパスワードを入力してください"),
            ({"new": "七文字のもの!"}, "新しいパスワードが短すぎます"),
            ({"new": "Password123"}, "推測されやすいパスワードです"),
        ],
    )
    def test_it_says_what_is_wrong_and_changes_nothing(
        self, app: Flask, browser: FlaskClient, person: Person, form: dict[str, str], said: str, mails: Mails
    ) -> None:
        before, sent = secret(browser), len(mails(person.email))
        answer = change(browser, **form)
        assert answer.status_code == 422
        assert said in answer.text
        assert 'aria-invalid="true"' in answer.text
        assert right(app, person, PASSWORD)
        assert (secret(browser), len(mails(person.email))) == (before, sent)
        assert is_signed_in(browser)

    def test_the_same_again(self, app: Flask, browser: FlaskClient, person: Person) -> None:
        change(browser)
        answer = change(browser, current=NEW)
        assert answer.status_code == 422
        assert "現在のパスワードと同じです" in answer.text
        assert right(app, person, NEW)

    def test_nothing_that_was_typed_comes_back_on_the_page(self, browser: FlaskClient) -> None:
        assert NEW not in change(browser, current="ちがう").text

    def test_a_missing_field(self, browser: FlaskClient) -> None:
        answer = post(browser, "/account/password")
        assert answer.status_code == 422
        assert answer.text.count('class="error"') == 3

    def test_only_who_is_signed_in(self, client: FlaskClient) -> None:
        answer = client.get("/account/password")
        assert (answer.status_code, answer.location) == (303, "/login?next=/account/password")

    def test_no_other_site(self, app: Flask, browser: FlaskClient, person: Person) -> None:
        form = {"current": PASSWORD, "new": NEW, "again": NEW}
        assert browser.post("/account/password", data=form).status_code == 400
        token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/account/password").text)
        assert token
        form["csrf_token"] = token[1]
        answer = browser.post("/account/password", data=form, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 400
        assert right(app, person, PASSWORD)

    @pytest.mark.usefixtures("still_clock")
    def test_the_present_one_cannot_be_guessed_without_end(
        self, app: Flask, browser: FlaskClient, person: Person
    ) -> None:
        said = [change(browser, current=f"ちがう{number}").status_code for number in range(11)]
        assert said == [422] * 10 + [429]
        assert change(browser).status_code == 429
        assert right(app, person, PASSWORD)

    @pytest.mark.usefixtures("still_clock")
    def test_what_is_no_guess_is_not_counted(self, browser: FlaskClient) -> None:
        said = {change(browser, new="short").status_code for _ in range(12)}
        assert said == {422}
        assert change(browser).status_code == 303

    def test_a_suspended_member(self, app: Flask, browser: FlaskClient, person: Person) -> None:
        with app.app_context(), transaction():
            service.suspend(person.id)
        assert browser.post("/account/password", data={}).status_code in (303, 400)
        with app.app_context(), pytest.raises(WrongPassword), transaction():
            account.change_password(person.id, current=PASSWORD, new=NEW)


class TestWhatMayBeChosen:
    EMAIL = "hanako.kumiai@example.ac.jp"

    @pytest.mark.parametrize(
        "fine",
        [
            "aaaabbbb " + "c",
            "七文字より長い",
            "correct horse battery staple",
            "x" * 40 + "yz",
            "a" * 500 + "bc" + "d" * 500,
            "  leading and trailing  ",
            "🍙🍜🍣🍵🍙🍜🍣🍵",
        ],
    )
    def test_any_kind_of_character_and_no_mixture_of_kinds(self, fine: str) -> None:
        if len(fine) >= passwords.MIN_LENGTH:
            passwords.check_new(fine, email=self.EMAIL)
        else:
            with pytest.raises(PasswordTooShort):
                passwords.check_new(fine, email=self.EMAIL)

    @pytest.mark.parametrize(
        "bad",
        [
            EMAIL,
            EMAIL.upper(),
            "hanako.kumiai",
            "password",
            "PassWord1",
            "ｐａｓｓｗｏｒｄ１２３",
            " qwertyuiop ",
            "aaaaaaaaaaaa",
            "1212121212",
            "12345678",
        ],
    )
    def test_what_anybody_would_try_first_is_refused(self, bad: str) -> None:
        with pytest.raises(PasswordGuessable):
            passwords.check_new(bad, email=self.EMAIL)

    @pytest.mark.parametrize("short", ["", "1234567", "七文字のもの!", "ｱｶﾞｻﾞﾀﾞﾅ"])
    def test_the_length_is_that_of_what_is_kept(self, short: str) -> None:
        """Half-width kana with their marks are fewer characters than were typed (NFKC)."""
        with pytest.raises(PasswordTooShort):
            passwords.check_new(short, email=self.EMAIL)

    def test_what_keyboards_send_differently_is_the_same_password(self) -> None:
        kept = passwords.hash_password("ﾊﾟｽﾜｰﾄﾞ１２３")
        assert passwords.verify_password("パスワード123", password_hash=kept)

    def test_no_listed_one_is_written_in_a_way_that_is_never_found(self) -> None:
        listed = passwords._common()
        assert len(listed) > 200
        for word in listed:
            with pytest.raises(PasswordGuessable):
                passwords.check_new(word.upper(), email=self.EMAIL)


class TestAtTheSameMoment:
    def test_of_two_changes_one_counts(self, app: Flask, person: Person) -> None:
        barrier = Barrier(8)

        def one(number: int) -> str:
            with app.app_context():
                barrier.wait(30)
                try:
                    with transaction():
                        account.change_password(person.id, current=PASSWORD, new=f"{NEW}{number}")
                except DomainError as error:
                    return error.code
            return "done"

        with ThreadPoolExecutor(8) as threads:
            said = list(threads.map(one, range(8)))
        assert Counter(said) == {"done": 1, "wrong_password": 7}
        assert right(app, person, f"{NEW}{said.index('done')}")

    def test_a_renewed_hash_never_brings_the_old_password_back(self, app: Flask, person: Person) -> None:
        """A sign-in that renews an old hash has read it before the change, and writes after it."""
        weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
        with app.app_context():
            with transaction() as session:
                session.execute(update(Member).where(Member.id == person.id).values(password_hash=weak))
            with transaction() as session:
                stale = session.get_one(Member, person.id)
                assert stale.password_hash == weak
                new = passwords.hash_password(NEW)
                with autocommit().connect() as connection:
                    connection.execute(update(Member).where(Member.id == person.id).values(password_hash=new))
                service.authenticate(email=person.email, password=PASSWORD)  # as it read it
        assert right(app, person, NEW)
        assert not right(app, person, PASSWORD)

    def test_a_sign_in_that_ends_at_that_moment_ends_too_or_begins_after(self, app: Flask, person: Person) -> None:
        with app.app_context(), transaction():
            code = codes.issue(person.id, purpose="sign_in")
        with app.test_request_context("/"):
            with transaction():
                sessions.start_session(member_id=service.finish_sign_in(code_id=code.id, digits=code.digits))
            with transaction():
                account.change_password(person.id, current=PASSWORD, new=NEW)
            assert sessions.current_member() is None


@pytest.mark.parametrize("method", ["get", "head"])
def test_password_managers_find_the_page(client: FlaskClient, method: str) -> None:
    answer = getattr(client, method)("/.well-known/change-password")
    assert (answer.status_code, answer.location) == (303, "/account/password")
