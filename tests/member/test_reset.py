"""パスワードを忘れた場合: a code by mail, a new password, and nothing said about who is a member."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from app.db import transaction
from app.ids import secret_hash
from app.member import service
from app.member.errors import InvalidCredentials
from app.member.models import Member, VerificationCode
from app.messaging.worker import Worker
from app.oauth.models import OAuthToken
from app.settings import Settings
from app.worker import reset_codes
from tests import factories
from tests.live import Live
from tests.member.conftest import PASSWORD, Person, other_code, post, register
from tests.member.test_enumeration import WHO, counted

NEW = "きょうは雨、傘を忘れた"
NOBODY = "nobody@example.ac.jp"
Mails = Callable[[str], list[dict[str, str]]]
LastCode = Callable[[str], str]
Settle = Callable[[], None]


@pytest.fixture
def settle(app: Flask, settings: Settings) -> Settle:
    """Lets the worker find out whom the codes are for."""

    def deliver() -> None:
        worker = Worker(settings, deliver={"password_reset": reset_codes(app)})
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            while worker.deliver_one(connection):
                pass

    return deliver


def ask(client: FlaskClient, email: str) -> TestResponse:
    return post(client, "/login/forgot", email=email)


def answer(client: FlaskClient, code: str, *, new: str = NEW, again: str | None = None) -> TestResponse:
    return post(client, "/login/forgot/code", code=code, new=new, again=new if again is None else again)


def right(app: Flask, person: Person, password: str) -> bool:
    with app.app_context(), transaction():
        try:
            service.authenticate(email=person.email, password=password)
        except InvalidCredentials:
            return False
        return True


def test_a_code_and_a_new_password(
    app: Flask, client: FlaskClient, person: Person, settle: Settle, last_code: LastCode, mails: Mails
) -> None:
    assert 'href="/login/forgot"' in client.get("/login").text
    asked = post(client, "/login/forgot?next=/docs", email=f" {person.email.upper()} ")
    assert (asked.status_code, asked.location) == (303, "/login/forgot/code?next=/docs")
    assert "k•••••@example.ac.jp" in client.get(asked.location).text
    settle()
    assert mails(person.email)[-1]["subject"] == "【試験生協】パスワード再設定の確認コード"

    done = post(client, asked.location, code=last_code(person.email), new=NEW, again=NEW)

    assert (done.status_code, done.location) == (303, "/login?next=/docs&reset=1")
    assert "パスワードを再設定しました" in client.get(done.location).text
    assert right(app, person, NEW)
    assert not right(app, person, PASSWORD)
    assert mails(person.email)[-1]["subject"] == "【試験生協】パスワード変更のお知らせ"


def test_every_session_and_token_ends(
    app: Flask, client: FlaskClient, person: Person, settle: Settle, last_code: LastCode
) -> None:
    elsewhere = app.test_client()
    sent = post(elsewhere, "/login", email=person.email, password=PASSWORD)
    post(elsewhere, sent.location, code=last_code(person.email))
    assert elsewhere.get("/login/done").status_code == 200
    with app.app_context():
        client_id = factories.oauth_client().id
        token = factories.access_token(member_id=person.id, client_id=client_id, scopes=["openid"])
    ask(client, person.email)
    settle()
    answer(client, last_code(person.email))
    assert elsewhere.get("/login/done").status_code == 303
    with app.app_context(), transaction() as session:
        assert session.get_one(OAuthToken, secret_hash(token)).revoked_at is not None


def test_it_is_no_sign_in(client: FlaskClient, person: Person, settle: Settle, last_code: LastCode) -> None:
    ask(client, person.email)
    settle()
    answer(client, last_code(person.email))
    assert client.get("/login/done").status_code == 303


class TestTheCode:
    def test_a_wrong_one_is_counted_and_five_are_enough(
        self, app: Flask, client: FlaskClient, person: Person, settle: Settle, last_code: LastCode
    ) -> None:
        ask(client, person.email)
        settle()
        code = last_code(person.email)
        for tries in range(1, 6):
            said = answer(client, other_code(code))
            assert said.status_code == 422
            assert "確認コードが違うか、使えなくなっています" in said.text
            assert _tries(app, person) == tries
        assert answer(client, code).status_code == 422
        assert right(app, person, PASSWORD)

    def test_it_works_once(
        self, app: Flask, client: FlaskClient, person: Person, settle: Settle, last_code: LastCode
    ) -> None:
        ask(client, person.email)
        settle()
        code = last_code(person.email)
        kept = client.get_cookie("kumiai_session")
        assert kept
        assert answer(client, code).status_code == 303
        client.set_cookie("kumiai_session", kept.value)
        assert answer(client, code, new=f"{NEW}2").status_code == 422
        assert right(app, person, NEW)

    def test_one_for_signing_in_is_another(
        self, app: Flask, client: FlaskClient, person: Person, settle: Settle, last_code: LastCode
    ) -> None:
        ask(client, person.email)
        settle()
        post(app.test_client(), "/login", email=person.email, password=PASSWORD)
        for_signing_in = last_code(person.email)
        assert answer(client, for_signing_in).status_code == 422

    def test_another_browser_cannot_use_it(self, app: Flask, client: FlaskClient, person: Person) -> None:
        ask(client, person.email)
        refused = app.test_client().get("/login/forgot/code?next=/docs")
        assert (refused.status_code, refused.location) == (303, "/login/forgot?next=/docs")

    def test_a_password_that_may_not_be_chosen_does_not_use_it_up(
        self, app: Flask, client: FlaskClient, person: Person, settle: Settle, last_code: LastCode
    ) -> None:
        ask(client, person.email)
        settle()
        code = last_code(person.email)
        for new, said in (("short", "短すぎます"), ("password123", "推測されやすい"), (person.email, "推測されやすい")):
            refused = answer(client, code, new=new)
            assert refused.status_code == 422
            assert said in refused.text
        assert _tries(app, person) == 0
        assert answer(client, code).status_code == 303

    def test_delivered_twice_the_later_mail_counts(
        self, app: Flask, client: FlaskClient, person: Person, settle: Settle, last_code: LastCode
    ) -> None:
        """The worker delivers at least once."""
        ask(client, person.email)
        with client.session_transaction() as cookie:
            said = {"email": person.email, "code_id": cookie["password_reset"]["code"]}
        settle()
        reset_codes(app)(person.id, said)
        assert answer(client, last_code(person.email)).status_code == 303

    @pytest.mark.parametrize("form", [{"code": "12345"}, {"new": "", "again": ""}, {"again": "ちがう"}])
    def test_a_malformed_form_names_the_field(self, client: FlaskClient, person: Person, form: dict[str, str]) -> None:
        ask(client, person.email)
        said = post(client, "/login/forgot/code", **{"code": "123456", "new": NEW, "again": NEW, **form})
        assert said.status_code == 422
        assert said.text.count('class="error"') == 1


def _tries(app: Flask, person: Person) -> int:
    with app.app_context(), transaction() as session:
        mine = (VerificationCode.member_id == person.id, VerificationCode.purpose == "password_reset")
        return session.scalars(select(VerificationCode.tries).where(*mine)).one()


class TestNobodyLearnsWhoIsAMember:
    @pytest.mark.usefixtures("still_clock")
    @pytest.mark.parametrize("who", WHO[1:], ids=lambda who: who.__name__)
    def test_each_address_is_answered_alike_and_costs_the_same(
        self, app: Flask, settle: Settle, monkeypatch: pytest.MonkeyPatch, who: Callable[[Flask], str]
    ) -> None:
        def all_of_it(email: str) -> list[object]:
            browser, seen = app.test_client(), list[object]()
            for path, form in (
                ("/login/forgot", {"email": email}),
                ("/login/forgot/code", {"code": "000000", "new": NEW, "again": NEW}),
                ("/login/forgot/code", {"code": "000000", "new": "short", "again": "short"}),
            ):
                with counted(app, monkeypatch) as work:
                    said = post(browser, path, **form)
                settle()
                body = re.sub(r'name="csrf_token" value="[^"]+"', "", said.text)
                seen.append((said.status_code, said.location, re.sub(r"\S•••••@\S+", "…", body), work))
            return seen

        assert all_of_it(who(app)) == all_of_it(f"{who.__name__}@nobody.example")

    @pytest.mark.parametrize("status", ["suspended", "closed"])
    def test_only_an_active_member_gets_a_mail(
        self, app: Flask, client: FlaskClient, settle: Settle, mails: Mails, status: str
    ) -> None:
        person = register(app)
        with app.app_context(), transaction() as session:
            session.execute(update(Member).where(Member.id == person.id).values(status=status))
        for email in (person.email, NOBODY):
            ask(client, email)
            settle()
            assert mails(email) == []

    @pytest.mark.usefixtures("still_clock")
    def test_mails_are_limited_for_each_address_whoevers_it_is(self, app: Flask) -> None:
        def asked(email: str, address: str) -> list[int]:
            browser = app.test_client()
            browser.environ_base["REMOTE_ADDR"] = address
            return [ask(browser, email).status_code for _ in range(6)]

        known, unknown = asked(register(app).email, "203.0.113.81"), asked("no-one@example.ac.jp", "203.0.113.82")
        assert known == unknown == [303] * 5 + [429]

    @pytest.mark.parametrize("email", ["", "a" * 255, "a\0b"])
    def test_what_can_be_no_address(self, client: FlaskClient, email: str) -> None:
        said = ask(client, email)
        assert said.status_code == 422
        assert "メールアドレスを入力してください" in said.text


def test_no_other_site_can_ask(client: FlaskClient, person: Person) -> None:
    assert client.post("/login/forgot", data={"email": person.email}).status_code == 400


def test_over_http_with_a_real_worker(live_server: Live) -> None:
    person, browser = live_server.register(), requests.Session()

    def send(path: str, **form: str) -> requests.Response:
        token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(f"{live_server.url}{path}").text)
        assert token
        return browser.post(f"{live_server.url}{path}", data={"csrf_token": token[1], **form})

    send("/login/forgot", email=person.email)
    digits = live_server.mailed_code(person.email)
    done = send("/login/forgot/code", code=digits, new=NEW, again=NEW)
    assert done.url == f"{live_server.url}/login?reset=1"
    assert send("/login", email=person.email, password=person.password).status_code == 403
    assert send("/login", email=person.email, password=NEW).url == f"{live_server.url}/login/code"
