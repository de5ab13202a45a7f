"""Signing out as a client asks it (RP-Initiated Logout 1.0), and of every device."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import ECKey
from werkzeug.test import TestResponse

from app.db import transaction
from app.ids import new_id
from app.oauth import keys
from app.settings import Settings
from tests.oauth.conftest import Member, ThirdParty, hidden, sign_in

BACK = "https://app.example/bye?from=kumiai"
ISSUER = "http://localhost:8000"


@pytest.fixture
def party(new_third_party: Callable[..., ThirdParty]) -> ThirdParty:
    """An app that has registered where a member goes after signing out."""
    return new_third_party(post_logout_redirect_uris=[BACK])


Session = Callable[[Member], str]


@pytest.fixture
def session_of(rows: Callable[..., list[Any]]) -> Session:
    """The `sid` of a member's one session."""
    return lambda member: str(rows("SELECT id FROM member_session WHERE member_id = :id", id=member.id)[0][0])


Sign = Callable[..., str]


@pytest.fixture
def id_token(app: Flask, settings: Settings, party: ThirdParty) -> Sign:
    """An ID token for `party` as this server signs it, with changes; None leaves a claim out."""

    def sign(member: Member, *, key: ECKey | None = None, typ: str | None = None, **changes: Any) -> str:
        with app.app_context(), transaction():
            key = key or keys.current_key(sealing_key=settings.sealing_key)
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": party.id, "sub": str(member.id), "iat": now, "exp": now + 600, **changes}
        header = {"alg": "ES256", "kid": key.kid, **({"typ": typ} if typ else {})}
        return jwt.encode(header, {name: value for name, value in claims.items() if value is not None}, key)

    return sign


def ask(member: Member, *, headers: dict[str, str] | None = None, **query: str | None) -> TestResponse:
    given = {name: value for name, value in query.items() if value is not None}
    return member.browser.get(f"/oauth/logout?{urlencode(given)}", headers=headers)


def confirm(member: Member, page: TestResponse) -> TestResponse:
    action = page.text.split('method="post" action="')[1].split('"')[0].replace("&amp;", "&")
    return member.browser.post(action, data=hidden(page))


def is_signed_in(member: Member) -> bool:
    return member.browser.get("/login/done").status_code == 200


def test_discovery_says_so(app: Flask) -> None:
    said = app.test_client().get("/.well-known/openid-configuration").get_json()
    assert said["end_session_endpoint"] == f"{ISSUER}/oauth/logout"
    assert said["backchannel_logout_supported"] is True
    assert said["backchannel_logout_session_supported"] is True


class TestTheMemberIsAsked:
    def test_and_goes_back_with_the_state(self, party: ThirdParty, member: Member, id_token: Sign) -> None:
        page = ask(member, id_token_hint=id_token(member), post_logout_redirect_uri=BACK, state="st&te 1")
        assert page.status_code == 200
        assert "「試験アプリ」が、生協のアカウントからのログアウトを求めています。" in page.text
        assert "form-action 'self' https://app.example" in page.headers["Content-Security-Policy"]
        assert is_signed_in(member)

        gone = confirm(member, page)

        assert gone.status_code == 303
        assert gone.location.startswith(f"{BACK}&")
        assert parse_qs(urlsplit(gone.location).query) == {"from": ["kumiai"], "state": ["st&te 1"]}
        assert not is_signed_in(member)

    def test_client_id_does_without_a_hint(self, party: ThirdParty, member: Member) -> None:
        page = ask(member, client_id=party.id, post_logout_redirect_uri=BACK)
        assert confirm(member, page).location == BACK
        assert not is_signed_in(member)

    def test_without_an_address_it_ends_at_our_page(self, member: Member) -> None:
        gone = confirm(member, ask(member))
        assert gone.location == "/logout"
        assert "ログアウト済みです" in member.browser.get("/logout").text

    @pytest.mark.parametrize("sid", [None, "of another session", str(UUID(int=1))])
    def test_when_the_hint_is_not_of_this_session(self, member: Member, id_token: Sign, sid: str | None) -> None:
        page = ask(member, id_token_hint=id_token(member, sid=sid), post_logout_redirect_uri=BACK)
        assert page.status_code == 200
        assert is_signed_in(member)

    def test_when_the_hint_is_of_another_member(
        self, member: Member, new_member: Callable[..., Member], id_token: Sign, session_of: Session
    ) -> None:
        other = new_member()
        page = ask(member, id_token_hint=id_token(other, sid=session_of(member)), post_logout_redirect_uri=BACK)
        assert page.status_code == 200
        assert is_signed_in(member)

    @pytest.mark.parametrize(
        "headers", [{"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}, {"Sec-Fetch-Dest": "iframe"}]
    )
    def test_when_it_may_not_be_the_member_who_came(
        self, member: Member, id_token: Sign, session_of: Session, headers: dict[str, str]
    ) -> None:
        token = id_token(member, sid=session_of(member))
        assert ask(member, id_token_hint=token, headers=headers).status_code == 200
        assert is_signed_in(member)

    def test_and_the_answer_needs_our_forms_token(self, party: ThirdParty, member: Member) -> None:
        answer = member.browser.post(f"/oauth/logout/confirmed?client_id={party.id}")
        assert answer.status_code == 400
        assert is_signed_in(member)

    def test_and_the_request_is_checked_again_with_the_answer(self, party: ThirdParty, member: Member) -> None:
        page = ask(member, client_id=party.id, post_logout_redirect_uri=BACK)
        query = urlencode({"client_id": party.id, "post_logout_redirect_uri": "https://evil.example/"})
        answer = member.browser.post(f"/oauth/logout/confirmed?{query}", data=hidden(page))
        assert (answer.status_code, answer.location) == (400, None)
        assert is_signed_in(member)

    def test_in_the_language_that_the_client_asks_for(self, party: ThirdParty, member: Member) -> None:
        assert "Test app asks you to sign out" in ask(member, client_id=party.id, ui_locales="fr en-GB").text


class TestProofOfTheSession:
    def test_an_id_token_of_this_session_signs_out_at_once(
        self, member: Member, id_token: Sign, session_of: Session
    ) -> None:
        token = id_token(member, sid=session_of(member))
        gone = ask(member, id_token_hint=token, post_logout_redirect_uri=BACK, state="s")
        assert (gone.status_code, gone.location) == (303, f"{BACK}&state=s")
        assert not is_signed_in(member)

    def test_an_expired_one_too(self, member: Member, id_token: Sign, session_of: Session) -> None:
        token = id_token(member, sid=session_of(member), iat=1_000_000_000, exp=1_000_000_600)
        assert ask(member, id_token_hint=token).location == "/logout"
        assert not is_signed_in(member)

    def test_one_of_a_retired_key_too(
        self, member: Member, id_token: Sign, session_of: Session, rows: Callable[..., list[Any]]
    ) -> None:
        key = ECKey.generate_key("P-256", auto_kid=True)
        rows(
            "INSERT INTO signing_key (kid, alg, state, public_jwk, current_at, retired_at)"
            " VALUES (:kid, 'ES256', 'retired', CAST(:jwk AS jsonb), now(), now())",
            kid=key.kid,
            jwk=json.dumps({**key.as_dict(private=False), "kid": key.kid, "alg": "ES256", "use": "sig"}),
        )
        assert ask(member, id_token_hint=id_token(member, key=key, sid=session_of(member))).status_code == 303
        assert not is_signed_in(member)

    def test_only_this_browser_is_signed_out(
        self, app: Flask, member: Member, id_token: Sign, session_of: Session
    ) -> None:
        token, elsewhere = id_token(member, sid=session_of(member)), Member(id=member.id, browser=app.test_client())
        sign_in(app, elsewhere.browser, member.id)
        ask(member, id_token_hint=token)
        assert not is_signed_in(member)
        assert is_signed_in(elsewhere)

    def test_the_next_sign_in_keeps_nothing_of_it(
        self, app: Flask, member: Member, id_token: Sign, session_of: Session
    ) -> None:
        """An old ID token that somebody kept does not sign the member out of a later session."""
        token = id_token(member, sid=session_of(member))
        ask(member, id_token_hint=token)
        sign_in(app, member.browser, member.id)
        assert ask(member, id_token_hint=token).status_code == 200
        assert is_signed_in(member)


def test_nobody_signed_in_goes_back_at_once(app: Flask, party: ThirdParty) -> None:
    stranger = Member(id=new_id(), browser=app.test_client())
    assert ask(stranger, client_id=party.id, post_logout_redirect_uri=BACK).location == BACK
    assert ask(stranger, client_id=party.id).location == "/logout"


class TestNoOpenRedirector:
    @pytest.mark.parametrize(
        "uri",
        [
            "https://evil.example/",
            "https://app.example/bye",
            f"{BACK}&x=1",
            f"{BACK}#x",
            BACK.upper(),
            "https://app.example.evil.example/bye?from=kumiai",
            "//app.example/bye?from=kumiai",
            "javascript:alert(1)",
            "https://app.example/callback",
        ],
    )
    @pytest.mark.parametrize("signed_in", [True, False])
    def test_only_a_registered_address_will_do(
        self, app: Flask, party: ThirdParty, member: Member, uri: str, signed_in: bool
    ) -> None:
        who = member if signed_in else Member(id=new_id(), browser=app.test_client())
        answer = ask(who, client_id=party.id, post_logout_redirect_uri=uri)
        assert (answer.status_code, answer.location) == (400, None)
        assert "ログアウト後の戻り先が登録と異なります" in answer.text
        assert 'href="/logout"' in answer.text
        assert is_signed_in(member)

    def test_an_address_without_its_client(self, party: ThirdParty, member: Member) -> None:
        assert ask(member, post_logout_redirect_uri=BACK).status_code == 400

    def test_an_address_of_another_client(
        self, party: ThirdParty, new_third_party: Callable[..., ThirdParty], member: Member
    ) -> None:
        other = new_third_party()
        assert ask(member, client_id=other.id, post_logout_redirect_uri=BACK).status_code == 400

    @pytest.mark.parametrize("client_id", ["nobody_knows", "x", "\ufffd" * 9])
    def test_an_unknown_client(self, member: Member, client_id: str) -> None:
        answer = ask(member, client_id=client_id, post_logout_redirect_uri=BACK)
        assert answer.status_code == 400
        assert "登録されていないアプリです" in answer.text

    def test_a_client_that_the_office_stopped(
        self, party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
    ) -> None:
        rows("UPDATE oauth_client SET status = 'revoked' WHERE id = :id", id=party.id)
        assert ask(member, client_id=party.id, post_logout_redirect_uri=BACK).status_code == 400


class TestWrongHints:
    @pytest.fixture
    def refused(self, member: Member) -> Iterator[Callable[..., None]]:
        def check(token: str, **query: str) -> None:
            answer = ask(member, id_token_hint=token, **query)
            assert (answer.status_code, answer.location) == (400, None)
            assert "ログアウトの要求を確認できませんでした" in answer.text
            assert is_signed_in(member)

        yield check

    def test_signed_by_somebody_else(
        self, refused: Callable[..., None], member: Member, id_token: Sign, session_of: Session
    ) -> None:
        stranger = ECKey.generate_key("P-256", auto_kid=True)
        refused(id_token(member, key=stranger, sid=session_of(member)))

    def test_signed_by_somebody_else_under_our_kid(
        self, app: Flask, settings: Settings, refused: Callable[..., None], member: Member, id_token: Sign
    ) -> None:
        with app.app_context(), transaction():
            ours = keys.current_key(sealing_key=settings.sealing_key).kid
        refused(id_token(member, key=ECKey.generate_key("P-256", parameters={"kid": ours})))

    def test_not_signed_at_all(self, refused: Callable[..., None], member: Member, id_token: Sign) -> None:
        header, claims, _ = id_token(member).split(".")
        none = "eyJhbGciOiJub25lIn0"
        for token in (f"{none}.{claims}.", f"{header}.{claims}.", f"{header}.{claims}", claims):
            refused(token)

    @pytest.mark.parametrize(
        "changes",
        [
            {"iss": "https://other.example"},
            {"iss": None},
            {"aud": None},
            {"aud": ["a", "b"]},
            {"sub": None},
            {"sub": 7},
            {"sub": "hanako"},
            {"typ": "logout+jwt"},
            {"typ": "token-introspection+jwt"},
        ],
    )
    def test_not_an_id_token_of_ours(
        self, refused: Callable[..., None], member: Member, id_token: Sign, changes: dict[str, Any]
    ) -> None:
        refused(id_token(member, **changes))

    def test_of_another_client_than_the_one_that_asks(
        self, refused: Callable[..., None], member: Member, id_token: Sign, third_party: ThirdParty
    ) -> None:
        refused(id_token(member), client_id=third_party.id)

    @pytest.mark.parametrize(
        "header", ['{"alg":"ES256","kid":7}', '{"alg":"ES256","kid":"a\\u0000b"}', "[]", "[" * 5_00]
    )
    def test_a_header_that_names_no_key(self, refused: Callable[..., None], header: str) -> None:
        refused(base64.urlsafe_b64encode(header.encode()).rstrip(b"=").decode() + ".e30.e30")

    @pytest.mark.parametrize("token", ["x", "..", "a.b.c", "eyJ9.eyJ9.", "é", "\ud7ff.1.2", "e30.e30.e30"])
    def test_no_token_at_all(self, refused: Callable[..., None], token: str) -> None:
        refused(token)

    def test_of_a_client_that_is_gone(self, member: Member, id_token: Sign) -> None:
        assert ask(member, id_token_hint=id_token(member, aud="long_gone")).status_code == 400
        assert is_signed_in(member)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("client_id=a&client_id=b", "client_id"),
        ("x=1&x=2&state=a&state=b", "state"),
        ("state=a%00b", "state"),
        ("state=" + "a" * 2_049, "state"),
        ("id_token_hint=" + "a" * 9_000, "id_token_hint"),
        ("post_logout_redirect_uri=a%0d%0ab", "post_logout_redirect_uri"),
    ],
)
def test_a_malformed_request_names_the_parameter(member: Member, query: str, named: str) -> None:
    answer = member.browser.get(f"/oauth/logout?{query}")
    assert answer.status_code == 400
    assert f"リクエストに誤りがあります：{named}" in answer.text
    assert is_signed_in(member)


def test_unknown_parameters_are_ignored(party: ThirdParty, member: Member) -> None:
    page = member.browser.get(f"/oauth/logout?client_id={party.id}&x=1&x=2&logout_hint=hanako")
    assert page.status_code == 200


class TestByPost:
    def test_it_leads_on_to_the_same_question(self, app: Flask, party: ThirdParty, member: Member) -> None:
        """From another site no cookie of ours comes with it."""
        form = {"client_id": party.id, "post_logout_redirect_uri": BACK, "state": "s", "x": "1"}
        led = app.test_client().post("/oauth/logout", data=form, headers={"Sec-Fetch-Site": "cross-site"})
        assert led.status_code == 303
        assert parse_qs(urlsplit(led.location).query).keys() == {"client_id", "post_logout_redirect_uri", "state"}
        page = member.browser.get(led.location)
        assert confirm(member, page).location == f"{BACK}&state=s"

    def test_it_signs_nobody_out_whatever_it_brings(self, member: Member, id_token: Sign, session_of: Session) -> None:
        form = {"id_token_hint": id_token(member, sid=session_of(member)), **hidden(member.browser.get("/logout"))}
        assert member.browser.post("/oauth/logout", data=form).status_code == 303
        assert is_signed_in(member)

    def test_a_wrong_one_leads_nowhere(self, member: Member, party: ThirdParty) -> None:
        form = {"client_id": party.id, "post_logout_redirect_uri": "https://evil.example"}
        answer = member.browser.post("/oauth/logout", data=form)
        assert (answer.status_code, answer.location) == (400, None)

    @pytest.mark.parametrize("how", [{"json": {"client_id": "x"}}, {"query_string": "client_id=x"}])
    def test_its_parameters_are_in_its_body(self, member: Member, how: dict[str, Any]) -> None:
        assert member.browser.post("/oauth/logout", **how).status_code == 400


class TestEverywhere:
    def test_sessions_tokens_and_codes_end_at_once(
        self, app: Flask, third_party: ThirdParty, member: Member, living: Callable[[str], int]
    ) -> None:
        elsewhere = Member(id=member.id, browser=app.test_client())
        sign_in(app, elsewhere.browser, member.id)
        tokens = third_party.tokens(member, scope="openid offline_access", ticked=[])
        code = third_party.code(member, scope="openid offline_access", ticked=[], prompt="consent")
        page = elsewhere.browser.get("/logout")
        assert "すべての端末からログアウト" in page.text

        done = elsewhere.browser.post("/logout", data={**hidden(page), "sessions": "all"})

        assert "すべての端末からログアウトしました" in elsewhere.browser.get(done.location).text
        assert not is_signed_in(member)
        assert not is_signed_in(elsewhere)
        assert living(third_party.id) == 0
        assert third_party.userinfo(tokens["access_token"]).status_code == 401
        assert third_party.refresh(tokens["refresh_token"]).get_json()["error"] == "invalid_grant"
        assert third_party.redeem(code).get_json()["error"] == "invalid_grant"

    def test_what_was_allowed_stays_allowed(self, app: Flask, third_party: ThirdParty, member: Member) -> None:
        third_party.tokens(member)
        member.browser.post("/logout", data={**hidden(member.browser.get("/logout")), "sessions": "all"})
        sign_in(app, member.browser, member.id)
        assert member.browser.get(third_party.address()).status_code == 303

    def test_another_member_is_not_touched(
        self, third_party: ThirdParty, member: Member, new_member: Callable[..., Member]
    ) -> None:
        other = new_member()
        tokens = third_party.tokens(other)
        member.browser.post("/logout", data={**hidden(member.browser.get("/logout")), "sessions": "all"})
        assert is_signed_in(other)
        assert third_party.userinfo(tokens["access_token"]).status_code == 200

    def test_another_site_cannot(self, member: Member) -> None:
        assert member.browser.post("/logout", data={"sessions": "all"}).status_code == 400
        assert is_signed_in(member)

    def test_the_ordinary_button_leaves_other_browsers_and_tokens(
        self, app: Flask, third_party: ThirdParty, member: Member
    ) -> None:
        elsewhere = Member(id=member.id, browser=app.test_client())
        sign_in(app, elsewhere.browser, member.id)
        tokens = third_party.tokens(member)
        member.browser.post("/logout", data=hidden(member.browser.get("/logout")))
        assert not is_signed_in(member)
        assert is_signed_in(elsewhere)
        assert third_party.userinfo(tokens["access_token"]).status_code == 200


class TestACodeOfTheSession:
    def test_is_worth_nothing_after_it(self, third_party: ThirdParty, member: Member) -> None:
        code = third_party.code(member)
        member.browser.post("/logout", data=hidden(member.browser.get("/logout")))
        assert third_party.redeem(code).get_json()["error"] == "invalid_grant"

    def test_is_good_until_then(self, app: Flask, third_party: ThirdParty, member: Member) -> None:
        code = third_party.code(member)
        elsewhere = Member(id=member.id, browser=app.test_client())
        sign_in(app, elsewhere.browser, member.id)
        elsewhere.browser.post("/logout", data=hidden(elsewhere.browser.get("/logout")))
        assert third_party.redeem(code).status_code == 200
